//! How the run of a task ended, as the journal of a daemon has it.

use std::path::Path;

use drivers::journal::Journal as Store;
use protocols::ids::TaskId;
use protocols::journal::Recovered;
use protocols::lifecycle::{Outcome, TaskState};

use super::exit::DaemonError;

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It was never taken.
    NotTaken,
    /// It has not ended, or it is not known whether it was taken: the next daemon goes on with it.
    Open,
    /// It has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Whether the server knows.
        is_settled: bool,
    },
}

/// Whether a daemon has ever written something down there.
pub fn has_journal(state_dir: &Path) -> bool {
    state_dir.join(super::settings::JOURNAL_FILE).exists()
}

/// The end of the last run of a task. For a state directory in which no daemon works any more.
pub fn run_end(state_dir: &Path, task: &TaskId) -> Result<RunEnd, DaemonError> {
    let path = state_dir.join(super::settings::JOURNAL_FILE);
    let entries = Store::open(&path)?.load()?;
    let mut recovered = Recovered::fold(&entries).map_err(|source| DaemonError::Contradiction { path, source })?;
    if recovered.intents.contains_key(task) {
        return Ok(RunEnd::Open);
    }
    Ok(match recovered.runs.remove(task).map(|run| run.state) {
        None => RunEnd::NotTaken,
        Some(TaskState::Finished(outcome)) => RunEnd::Ended { outcome, is_settled: false },
        Some(TaskState::Settled(outcome)) => RunEnd::Ended { outcome, is_settled: true },
        Some(
            TaskState::Pulled { .. }
            | TaskState::Preparing(_)
            | TaskState::Starting(_)
            | TaskState::Running(_)
            | TaskState::Stopping(..),
        ) => RunEnd::Open,
    })
}
