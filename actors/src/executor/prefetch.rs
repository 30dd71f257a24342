//! Preparing a task whose turn has not come: its code into the mirror of its repository, its environment into the
//! store, and nothing else. The task finds both as if another task had needed them before it.

use std::path::Path;

use super::aside::work_aside;
use super::exit::ExecutorExit;
use super::steps;

/// Prepares what the order in `directory` says, and leaves word of how that went. Ends soon after SIGTERM, and after
/// the end of the daemon: nobody else would end it.
pub fn prefetch(directory: &Path, daemon: u32) -> ExecutorExit {
    work_aside(directory, daemon, steps::prefetch)
}
