//! Work of an executor that is no attempt: for whoever started it, and for as long as that lives.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drivers::process::{become_session_leader, become_subreaper, kill_descendants};
use protocols::order::{CONSOLE_FILE, ExecutorOrder, PREFETCHED_FILE, Prefetched, encode};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, warn};

use super::console::Console;
use super::exit::ExecutorExit;
use super::run::{LAST_KILL_PATIENCE, StartError, read_order};
use super::steps::StepError;

/// How often it is looked whether the starter still lives.
const LOOK_AT_STARTER: Duration = Duration::from_millis(200);

/// Does some work on the order in `directory`, and leaves word of how that went. Ends soon after SIGTERM, and after the
/// end of the process `starter`: nobody else would end it.
///
/// Takes the whole process, as [`run`](super::run()) does.
pub(super) fn work_aside<W>(directory: &Path, starter: u32, work: W) -> ExecutorExit
where
    W: FnOnce(&ExecutorOrder, &Console, Arc<AtomicBool>) -> Result<(), StepError> + Send + 'static,
{
    let word = match try_to_work(directory, starter, work) {
        Ok(word) => word,
        Err(error) => {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            Prefetched::Failed(chain.map(ToString::to_string).collect::<Vec<_>>().join(": "))
        }
    };
    // As after an attempt: what a step has left behind ends with it.
    let (_, left) = kill_descendants(LAST_KILL_PATIENCE);
    if !left.is_empty() {
        warn!(?left, "processes are left behind");
    }
    if let Err(error) = std::fs::write(directory.join(PREFETCHED_FILE), encode(&word)) {
        debug!(%error, "nobody will know how it went");
    }
    match word {
        Prefetched::Ready | Prefetched::Stopped => ExecutorExit::Reported,
        Prefetched::Failed(message) => ExecutorExit::NotStarted { message },
    }
}

fn try_to_work<W>(directory: &Path, starter: u32, work: W) -> Result<Prefetched, StartError>
where
    W: FnOnce(&ExecutorOrder, &Console, Arc<AtomicBool>) -> Result<(), StepError> + Send + 'static,
{
    let order = read_order(directory)?;
    if let Err(error) = become_session_leader() {
        debug!(%error, "not a session leader: this process leads its group already");
    }
    become_subreaper().map_err(|source| StartError::Subreaper { source })?;
    let path = order.attempt_dir.join(CONSOLE_FILE);
    let console = Console::open(&path).map_err(|source| StartError::Console { path, source })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| StartError::Runtime { source })?;
    let work = move |stop| work(&order, &console, stop);
    runtime.block_on(watch_over(work, starter)).map_err(|source| StartError::Runtime { source })
}

/// Works on a blocking thread, and looks out for reasons to stop meanwhile.
async fn watch_over(
    work: impl FnOnce(Arc<AtomicBool>) -> Result<(), StepError> + Send + 'static,
    starter: u32,
) -> io::Result<Prefetched> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut look = tokio::time::interval(LOOK_AT_STARTER);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mut working = tokio::task::spawn_blocking(move || work(stopped));
    let done = loop {
        tokio::select! {
            done = &mut working => break done,
            _ = terminated.recv() => stop.store(true, Ordering::Relaxed),
            _ = look.tick() => {
                if std::os::unix::process::parent_id() != starter {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    Ok(match done {
        Ok(Ok(())) => Prefetched::Ready,
        Ok(Err(StepError::Stopped)) => Prefetched::Stopped,
        Ok(Err(StepError::Failed(failure))) => Prefetched::Failed(failure.message),
        Err(panic) => Prefetched::Failed(format!("it ended unexpectedly, which is a defect of hostler: {panic}")),
    })
}
