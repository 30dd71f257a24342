//! Preparing a task whose turn has not come: its image into the engine, its code into the mirror of its repository, its
//! environment into the store, and nothing else. The task finds them as if another task had needed them before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drivers::container;
use protocols::order::ExecutorOrder;
use tracing::warn;

use super::aside::work_aside;
use super::console::Console;
use super::exit::ExecutorExit;
use super::steps::{self, StepError};

/// Prepares what the order in `directory` says, and leaves word of how that went. Ends soon after SIGTERM, and after
/// the end of the daemon: nobody else would end it.
pub fn prefetch(directory: &Path, daemon: u32) -> ExecutorExit {
    work_aside(directory, daemon, prepare)
}

fn prepare(order: &ExecutorOrder, console: &Console, stop: Arc<AtomicBool>) -> Result<(), StepError> {
    let done = steps::prefetch(order, console, stop);
    remove_containers(order);
    done
}

/// Removes those in which environments were built. A daemon prepares one task at a time, so that all of its are this
/// one's.
fn remove_containers(order: &ExecutorOrder) {
    let (Some(container), Some(owner)) = (&order.container, order.attempt_dir.parent()) else { return };
    if let Err(error) = container::remove_leftovers(&container.socket, owner, &|_| false) {
        // The daemon does it after us, or the next one at its start.
        warn!(error = &error as &dyn std::error::Error, "containers of a preparation are not removed yet");
    }
}
