//! From the end of the task to the end of this program.

use actors::daemon::RunEnd;
use protocols::ids::TaskId;
use protocols::lifecycle::{Exit as ProgramExit, Outcome, StopReason};
use serde_json::json;

use super::super::context::Context;
use crate::exit::{ChildFailed, Exit, Problem};
use crate::output::note;

/// The stock agent's code for whatever was interrupted.
const STOPPED: u8 = 254;
/// What a shell adds to the number of a signal.
const SIGNALLED: i32 = 128;

/// Says how it ended, and gives the exit code.
pub(super) fn tell(context: &Context, task: &TaskId, end: &RunEnd) -> anyhow::Result<Exit> {
    let (code, why) = match end {
        RunEnd::Ended { outcome, .. } => (code(outcome), why(outcome)),
        RunEnd::NotTaken => (STOPPED, Some("stopped before the task was taken".to_owned())),
        RunEnd::Open => (STOPPED, Some("left before the task has ended".to_owned())),
    };
    if context.output.json {
        context.output.document(&json!({"id": task, "exit_code": code, "why": why}))?;
    }
    if let RunEnd::Ended { outcome: Outcome::Failed(failure), .. } = end {
        return Err(Problem::refused(format!("the task {task} failed: {failure}")));
    }
    if let Some(why) = why {
        note(&why);
    }
    match code {
        0 => Ok(Exit::Success),
        code => Err(ChildFailed(code).into()),
    }
}

fn code(outcome: &Outcome) -> u8 {
    let code = match outcome {
        Outcome::Completed => 0,
        Outcome::Exited(ProgramExit::Code(code)) => *code,
        Outcome::Exited(ProgramExit::Signal(signal)) => SIGNALLED + signal,
        Outcome::Stopped(StopReason::Gpu(_)) | Outcome::Failed(_) => Exit::Refused as i32,
        Outcome::Stopped(
            StopReason::UserAbort
            | StopReason::StatusChanged
            | StopReason::Reset
            | StopReason::Deleted
            | StopReason::DaemonStop,
        ) => i32::from(STOPPED),
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// What its console does not say.
fn why(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Completed | Outcome::Exited(ProgramExit::Code(_)) => None,
        Outcome::Exited(ProgramExit::Signal(signal)) => {
            Some(format!("the task's program was ended by signal {signal}"))
        }
        Outcome::Failed(failure) => Some(failure.to_string()),
        Outcome::Stopped(reason) => Some(match reason {
            StopReason::UserAbort => "the task was stopped on the server".to_owned(),
            StopReason::StatusChanged => "the task was stopped: its status on the server was changed".to_owned(),
            StopReason::Reset => "the task was stopped: it was reset".to_owned(),
            StopReason::Deleted => "the task was stopped: it is no longer on the server".to_owned(),
            StopReason::DaemonStop => "the task was stopped".to_owned(),
            StopReason::Gpu(stop) => stop.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_programs() {
        for (outcome, expected) in [
            (Outcome::Completed, 0),
            (Outcome::Exited(ProgramExit::Code(7)), 7),
            (Outcome::Exited(ProgramExit::Code(255)), 255),
            (Outcome::Exited(ProgramExit::Signal(9)), 137),
            (Outcome::Stopped(StopReason::UserAbort), 254),
            (Outcome::Stopped(StopReason::DaemonStop), 254),
        ] {
            assert_eq!(code(&outcome), expected, "{outcome:?}");
        }
    }
}
