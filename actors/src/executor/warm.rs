//! Keeping a container that is nobody's yet, until a task takes it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drivers::container::{WarmError, WarmShelf};
use drivers::process::become_session_leader;
use tokio::signal::unix::{SignalKind, signal};
use tracing::debug;

use super::exit::ExecutorExit;

/// How often it is looked whether the daemon still lives.
const LOOK_AT_DAEMON: Duration = Duration::from_millis(200);

/// Makes a container with this key on the shelf in `root`, and keeps it. Ends when it is taken, soon after SIGTERM, and
/// after the end of the daemon; the container with it, unless it was taken.
///
/// Takes the whole process, as [`run`](super::run()) does.
pub fn keep_warm(root: &Path, key: &str, daemon: u32) -> ExecutorExit {
    if let Err(error) = become_session_leader() {
        debug!(%error, "not a session leader: this process leads its group already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let kept = runtime.and_then(|runtime| runtime.block_on(keep(WarmShelf::new(root), key.to_owned(), daemon)));
    let message = match kept {
        Ok(Ok(_)) => return ExecutorExit::Reported,
        Ok(Err(error)) => {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
        Err(error) => error.to_string(),
    };
    ExecutorExit::NotStarted { message }
}

/// Keeps it on a blocking thread, and looks out for reasons to end meanwhile.
async fn keep(shelf: WarmShelf, key: String, daemon: u32) -> io::Result<Result<bool, WarmError>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut look = tokio::time::interval(LOOK_AT_DAEMON);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mut keeping = tokio::task::spawn_blocking(move || shelf.keep(&key, &|| stopped.load(Ordering::Relaxed)));
    loop {
        tokio::select! {
            kept = &mut keeping => return kept.map_err(io::Error::other),
            _ = terminated.recv() => stop.store(true, Ordering::Relaxed),
            _ = look.tick() => {
                if std::os::unix::process::parent_id() != daemon {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }
}
