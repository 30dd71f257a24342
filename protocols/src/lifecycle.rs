//! The life of a task on this machine: one state, one table of transitions, no panic.
//!
//! ```text
//! Pulled -> Preparing -> Starting -> Running -> Finished(outcome) -> Settled(outcome)
//!              |            |           |            ^
//!              +------------+-----------+-> Stopping +
//! ```
//!
//! Invariant L1: only the task's `TaskRunner` applies events. Being attached to an executor is not a state.

use serde::{Deserialize, Serialize};

pub use crate::exit::Exit;
use crate::failure::{FailureClass, TaskFailure};
use crate::gpu::GpuStop;
use crate::ids::AttemptId;

/// Why a task is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// `tasks.stop`: status `in_progress` with status message `stopping`.
    UserAbort,
    /// The task's status on the server was changed to one that a running task does not have.
    StatusChanged,
    /// The task was reset while it ran.
    Reset,
    /// The task is no longer on the server.
    Deleted,
    /// `hostler daemon --stop`, or a second termination signal.
    DaemonStop,
    /// One of its GPUs failed, or it uses more of one than it may. Its end is a failure.
    Gpu(GpuStop),
}

impl StopReason {
    /// What an executor is told, which may be of an earlier version; to it, every reason is the same.
    #[must_use]
    pub fn for_executor(self) -> Self {
        match self {
            Self::Gpu(_) => Self::DaemonStop,
            other @ (Self::UserAbort | Self::StatusChanged | Self::Reset | Self::Deleted | Self::DaemonStop) => other,
        }
    }
}

/// How the task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The user's process returned 0.
    Completed,
    /// The user's process ended otherwise.
    Exited(Exit),
    /// It was stopped on request.
    Stopped(StopReason),
    /// It could not be run, or was lost.
    Failed(TaskFailure),
}

impl Outcome {
    /// The failure class of this outcome, where it is a failure.
    pub fn class(&self) -> Option<FailureClass> {
        match self {
            Self::Completed => None,
            Self::Exited(_) => Some(FailureClass::User),
            Self::Stopped(StopReason::Gpu(stop)) => Some(stop.trouble.class()),
            Self::Stopped(_) => Some(FailureClass::Aborted),
            Self::Failed(failure) => Some(failure.class),
        }
    }
}

/// A journalled fact of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEvent {
    /// An executor is about to be started for this attempt.
    AttemptStarted(AttemptId),
    /// Code and environment are ready.
    EnvironmentReady(AttemptId),
    /// User code is about to run: from here on there is no retry on this machine.
    UserStarted(AttemptId),
    /// Somebody wants the task to end.
    StopRequested(StopReason),
    /// The user's process ended, and every descendant of it is dead.
    Exited(AttemptId, Exit),
    /// Preparation failed for a reason that another try does not mend; every descendant is dead.
    PreparationFailed(AttemptId, TaskFailure),
    /// The executor is gone, and everything it left behind has been killed.
    ExecutorLost(AttemptId),
    /// The server has acknowledged the outcome, or no longer knows the task.
    Settled,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Taken from its queue; nothing started yet, or a lost attempt waits to be tried again.
    Pulled {
        /// The attempts that were lost so far.
        lost: u32,
    },
    /// Checkout and environment.
    Preparing(AttemptId),
    /// The environment is ready, user code is about to start.
    Starting(AttemptId),
    /// User code runs, or may run.
    Running(AttemptId),
    /// On its way down: signal, grace, kill.
    Stopping(AttemptId, StopReason),
    /// Ended; nothing of it is alive. The lease is released.
    Finished(Outcome),
    /// Ended, and the server knows.
    Settled(Outcome),
}

/// An event that makes no sense in a state. Never a panic: the sender is wrong, not the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is illegal in state {from:?}")]
pub struct IllegalTransition {
    /// The state that the task was in.
    pub from: TaskState,
    /// The event that arrived.
    pub event: TaskEvent,
}

/// How many executors may be lost before user code ran until the task is given up.
pub const MAX_LOST_ATTEMPTS: u32 = 3;

impl TaskState {
    /// The state of a task that was just pulled.
    pub const INITIAL: Self = Self::Pulled { lost: 0 };

    /// The state after `event`, or why there is none.
    ///
    /// Stop wins over a late exit. An executor that is lost before user code ran leads back to `Pulled`, at
    /// most [`MAX_LOST_ATTEMPTS`] times; one that is lost later fails the task with class `infrastructure`.
    pub fn next(self, event: TaskEvent) -> Result<Self, Box<IllegalTransition>> {
        use {Outcome as O, TaskEvent as E, TaskState as S};
        Ok(match (self, event) {
            (S::Pulled { lost }, E::AttemptStarted(attempt)) if attempt.0 == lost + 1 => S::Preparing(attempt),
            (S::Pulled { .. }, E::StopRequested(reason)) => S::Finished(O::Stopped(reason)),

            (S::Preparing(a), E::EnvironmentReady(b)) if a == b => S::Starting(a),
            (S::Starting(a), E::UserStarted(b)) if a == b => S::Running(a),

            (S::Preparing(a) | S::Starting(a), E::PreparationFailed(b, failure)) if a == b => {
                S::Finished(O::Failed(failure))
            }
            (S::Preparing(a) | S::Starting(a), E::ExecutorLost(b)) if a == b => {
                if a.0 < MAX_LOST_ATTEMPTS {
                    S::Pulled { lost: a.0 }
                } else {
                    S::Finished(O::Failed(TaskFailure::because(
                        FailureClass::Infrastructure,
                        crate::failure::Phase::Starting,
                        format!("its executor died {} times before user code ran", a.0),
                    )))
                }
            }
            (S::Running(a), E::Exited(b, exit)) if a == b => S::Finished(match exit {
                Exit::Code(0) => O::Completed,
                Exit::Code(_) | Exit::Signal(_) => O::Exited(exit),
            }),
            (S::Running(a), E::PreparationFailed(b, failure)) if a == b => S::Finished(O::Failed(failure)),
            (S::Running(a), E::ExecutorLost(b)) if a == b => S::Finished(O::Failed(TaskFailure::because(
                FailureClass::Infrastructure,
                crate::failure::Phase::Running,
                "its executor died while user code ran",
            ))),

            (S::Preparing(a) | S::Starting(a) | S::Running(a), E::StopRequested(reason)) => S::Stopping(a, reason),
            (S::Stopping(a, reason), E::EnvironmentReady(b) | E::UserStarted(b)) if a == b => S::Stopping(a, reason),
            (S::Stopping(a, reason), E::StopRequested(_)) => S::Stopping(a, reason),
            (S::Stopping(a, reason), E::Exited(b, _) | E::PreparationFailed(b, _) | E::ExecutorLost(b)) if a == b => {
                S::Finished(O::Stopped(reason))
            }

            (S::Finished(outcome), E::StopRequested(_)) => S::Finished(outcome),
            (S::Finished(outcome), E::Settled) => S::Settled(outcome),
            (from, event) => return Err(Box::new(IllegalTransition { from, event })),
        })
    }

    /// The attempt that is alive, or may be.
    pub fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Preparing(attempt)
            | Self::Starting(attempt)
            | Self::Running(attempt)
            | Self::Stopping(attempt, _) => Some(*attempt),
            Self::Pulled { .. } | Self::Finished(_) | Self::Settled(_) => None,
        }
    }

    /// Whether the task holds a lease: from the pull until everything of it is dead.
    pub fn holds_lease(&self) -> bool {
        match self {
            Self::Pulled { .. } | Self::Preparing(_) | Self::Starting(_) | Self::Running(_) | Self::Stopping(..) => {
                true
            }
            Self::Finished(_) | Self::Settled(_) => false,
        }
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Finished(outcome) | Self::Settled(outcome) => Some(outcome),
            Self::Pulled { .. } | Self::Preparing(_) | Self::Starting(_) | Self::Running(_) | Self::Stopping(..) => {
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
