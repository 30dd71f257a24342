//! An outcome in the words that ClearML's users filter on.

use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::ids::WorkerId;
use protocols::lifecycle::{Exit, Outcome, StopReason};

/// How a task's end is told to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FinalStatus {
    /// `tasks.completed`.
    Completed,
    /// `tasks.failed`.
    Failed,
    /// `tasks.stopped`.
    Stopped,
    /// Somebody else has set it already: not touched.
    Untouched,
}

/// The closing line of the log, the status, and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Last line of the task's log; empty where there is no log any more to add to.
    pub(crate) line: String,
    /// Which call.
    pub(crate) status: FinalStatus,
    /// `status_reason`.
    pub(crate) reason: String,
}

/// Reasons and lines are those of the stock agent where it has one for the case. A failure whose message is among the
/// `last_words` of the console is not told twice.
pub(crate) fn closing(outcome: &Outcome, last_words: &str) -> Closing {
    let closing = |line: String, status, reason: String| Closing { line, status, reason };
    match outcome {
        Outcome::Completed => {
            closing("Process completed successfully".into(), FinalStatus::Completed, "worker execution done".into())
        }
        Outcome::Exited(Exit::Code(254) | Exit::Signal(2)) => {
            closing("Process terminated by user".into(), FinalStatus::Stopped, "user abort".into())
        }
        Outcome::Exited(exit) => {
            // A signal is a negative exit code to everybody who knows Python's subprocess.
            let code = match exit {
                Exit::Code(code) => *code,
                Exit::Signal(signal) => -signal,
            };
            closing(
                format!("Process failed, exit code {code}"),
                FinalStatus::Failed,
                format!("worker execution exit code {code}"),
            )
        }
        Outcome::Stopped(StopReason::UserAbort) => {
            closing("Process aborted by user".into(), FinalStatus::Stopped, "task was stopped by tasks.stop".into())
        }
        Outcome::Stopped(StopReason::DaemonStop) => {
            closing("Process terminated by user".into(), FinalStatus::Stopped, "user abort".into())
        }
        Outcome::Stopped(StopReason::StatusChanged) => {
            closing("Process terminated: the task's status was changed".into(), FinalStatus::Untouched, String::new())
        }
        Outcome::Stopped(StopReason::Reset | StopReason::Deleted) => {
            closing(String::new(), FinalStatus::Untouched, String::new())
        }
        Outcome::Stopped(StopReason::Gpu(stop)) => {
            failed(&TaskFailure::because(stop.trouble.class(), Phase::Running, stop.to_string()), last_words)
        }
        Outcome::Failed(failure) => failed(failure, last_words),
    }
}

fn failed(failure: &TaskFailure, last_words: &str) -> Closing {
    let line = if last_words.contains(&failure.message) {
        format!("Task failed, class {}", failure.class)
    } else {
        format!("Task failed: {failure}")
    };
    Closing { line, status: FinalStatus::Failed, reason: failure.to_string() }
}

/// The class of an outcome, as logs name it.
pub(crate) fn class_name(outcome: &Outcome) -> &'static str {
    outcome.class().map_or("none", FailureClass::as_str)
}

/// `status_message` of every status that an agent sets.
pub(crate) fn status_message(worker: &WorkerId) -> String {
    format!("Changed by clearml-agent {worker}")
}

#[cfg(test)]
mod tests {
    use protocols::gpu::{GpuStop, GpuTrouble};

    use super::*;

    #[track_caller]
    fn check(outcome: &Outcome, status: FinalStatus, reason: &str) {
        let closing = closing(outcome, "");
        assert_eq!((closing.status, closing.reason.as_str()), (status, reason));
    }

    #[test]
    fn reasons_are_the_stock_agents() {
        check(&Outcome::Completed, FinalStatus::Completed, "worker execution done");
        check(&Outcome::Exited(Exit::Code(3)), FinalStatus::Failed, "worker execution exit code 3");
        check(&Outcome::Exited(Exit::Signal(9)), FinalStatus::Failed, "worker execution exit code -9");
        check(&Outcome::Exited(Exit::Signal(2)), FinalStatus::Stopped, "user abort");
        check(&Outcome::Stopped(StopReason::UserAbort), FinalStatus::Stopped, "task was stopped by tasks.stop");
        check(&Outcome::Stopped(StopReason::Reset), FinalStatus::Untouched, "");
    }

    #[test]
    fn a_card_is_named_with_what_is_wrong_with_it() {
        let stopped = |trouble| Outcome::Stopped(StopReason::Gpu(GpuStop { index: 3, trouble }));
        check(
            &stopped(GpuTrouble::Xid(48)),
            FinalStatus::Failed,
            "infrastructure failure while running: GPU 3: XID 48 (memory error that could not be corrected)",
        );
        check(
            &stopped(GpuTrouble::OverBudget { used_mib: 30000, budget_mib: 20000 }),
            FinalStatus::Failed,
            "oom_gpu failure while running: GPU 3: the task uses 30000 MiB of its memory, and its share is 20000 MiB",
        );
    }

    #[test]
    fn a_failure_is_told_once() {
        let failure = TaskFailure::because(FailureClass::Code, Phase::Checkout, "no such commit");
        let outcome = Outcome::Failed(failure);
        assert_eq!(closing(&outcome, "").line, "Task failed: code failure while checkout: no such commit");
        assert_eq!(closing(&outcome, "hostler: no such commit\n").line, "Task failed, class code");
    }
}
