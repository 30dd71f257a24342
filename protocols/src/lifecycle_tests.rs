//! The transition table, by example and by property.

use proptest::prelude::*;

use super::*;
use crate::failure::Phase;

const A1: AttemptId = AttemptId(1);
const A2: AttemptId = AttemptId(2);

#[track_caller]
fn check(events: &[TaskEvent], expected: TaskState) {
    let state = events.iter().cloned().try_fold(TaskState::INITIAL, TaskState::next);
    assert_eq!(state.map_err(|illegal| illegal.to_string()), Ok(expected));
}

#[track_caller]
fn check_illegal(events: &[TaskEvent]) {
    let state = events.iter().cloned().try_fold(TaskState::INITIAL, TaskState::next);
    assert!(state.is_err(), "{events:?} was accepted: {state:?}");
}

use TaskEvent::{AttemptStarted, EnvironmentReady, ExecutorLost, Exited, Settled, StopRequested, UserStarted};

#[test]
fn the_straight_way() {
    check(
        &[AttemptStarted(A1), EnvironmentReady(A1), UserStarted(A1), Exited(A1, Exit::Code(0)), Settled],
        TaskState::Settled(Outcome::Completed),
    );
}

#[test]
fn stop_wins_over_a_late_exit() {
    check(
        &[
            AttemptStarted(A1),
            EnvironmentReady(A1),
            UserStarted(A1),
            StopRequested(StopReason::UserAbort),
            Exited(A1, Exit::Code(0)),
        ],
        TaskState::Finished(Outcome::Stopped(StopReason::UserAbort)),
    );
}

#[test]
fn the_first_stop_reason_stays() {
    check(
        &[AttemptStarted(A1), StopRequested(StopReason::UserAbort), StopRequested(StopReason::Reset)],
        TaskState::Stopping(A1, StopReason::UserAbort),
    );
}

#[test]
fn an_executor_lost_before_user_code_is_tried_again() {
    check(&[AttemptStarted(A1), ExecutorLost(A1)], TaskState::Pulled { lost: 1 });
    check(&[AttemptStarted(A1), ExecutorLost(A1), AttemptStarted(A2)], TaskState::Preparing(A2));
}

#[test]
fn an_executor_lost_three_times_is_given_up() {
    let state = (1..=3)
        .flat_map(|attempt| [AttemptStarted(AttemptId(attempt)), ExecutorLost(AttemptId(attempt))])
        .try_fold(TaskState::INITIAL, TaskState::next)
        .unwrap();
    assert_eq!(state.outcome().and_then(Outcome::class), Some(FailureClass::Infrastructure));
}

#[test]
fn an_executor_lost_under_user_code_fails_the_task() {
    let events = [AttemptStarted(A1), EnvironmentReady(A1), UserStarted(A1), ExecutorLost(A1)];
    let state = events.into_iter().try_fold(TaskState::INITIAL, TaskState::next).unwrap();
    assert_eq!(state.outcome().and_then(Outcome::class), Some(FailureClass::Infrastructure));
}

#[test]
fn news_of_another_attempt_is_illegal() {
    check_illegal(&[AttemptStarted(A1), ExecutorLost(A1), AttemptStarted(A2), EnvironmentReady(A1)]);
    check_illegal(&[AttemptStarted(A1), EnvironmentReady(A2)]);
}

#[test]
fn nothing_happens_after_the_end() {
    check_illegal(&[StopRequested(StopReason::UserAbort), Settled, Settled]);
    check_illegal(&[StopRequested(StopReason::UserAbort), AttemptStarted(A1)]);
}

fn any_event() -> impl Strategy<Value = TaskEvent> {
    let attempt = (1u32..5).prop_map(AttemptId);
    let failure = TaskFailure::because(FailureClass::Code, Phase::Checkout, "no such commit");
    prop_oneof![
        attempt.clone().prop_map(AttemptStarted),
        attempt.clone().prop_map(EnvironmentReady),
        attempt.clone().prop_map(UserStarted),
        Just(StopRequested(StopReason::UserAbort)),
        attempt.clone().prop_map(|attempt| Exited(attempt, Exit::Code(0))),
        attempt.clone().prop_map(move |attempt| TaskEvent::PreparationFailed(attempt, failure.clone())),
        attempt.prop_map(ExecutorLost),
        Just(Settled),
    ]
}

proptest! {
    /// Whatever arrives in whatever order: no panic, an outcome never changes once there is one, and a lease
    /// that ended is never held again.
    #[test]
    fn any_history_is_safe(events in proptest::collection::vec(any_event(), 0..40)) {
        let mut state = TaskState::INITIAL;
        for event in events {
            let before = state.clone();
            if let Ok(after) = state.clone().next(event) {
                if let Some(outcome) = before.outcome() {
                    prop_assert_eq!(after.outcome(), Some(outcome));
                }
                prop_assert!(before.holds_lease() || !after.holds_lease());
                state = after;
            }
        }
    }

    /// A task never runs user code twice.
    #[test]
    fn user_code_starts_at_most_once(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut state = TaskState::INITIAL;
        let mut starts = 0;
        for event in events {
            let starts_user = matches!((&state, &event), (TaskState::Starting(_), UserStarted(_)));
            if let Ok(after) = state.clone().next(event) {
                if starts_user { starts += 1; }
                state = after;
            }
        }
        prop_assert!(starts <= 1);
    }
}
