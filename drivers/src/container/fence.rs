//! Ends what a dead executor, or a dead daemon, left behind in containers.

use std::path::Path;
use std::time::{Duration, Instant};

use protocols::order::{ATTEMPT_LABEL, OWNER_LABEL};
use tracing::warn;

use super::engine::{Container, Engine};
use super::error::EngineError;
use super::warm;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Removes every container of an attempt, with what runs in it. How many are left: none, unless the engine is away
/// for longer than it is given, or cannot end one.
///
/// Blocks that long at most. To be called like the methods of [`Engine`].
pub fn fence(socket: &Path, mark: &str, patience: Duration) -> usize {
    let left = fence_until(socket, mark, Instant::now() + patience);
    // What still runs in a container may need it.
    super::forget_run_folder(mark);
    left
}

fn fence_until(socket: &Path, mark: &str, deadline: Instant) -> usize {
    loop {
        let error = match try_to_fence(socket, mark) {
            Ok(()) => return 0,
            // Where there is no engine any more there are no containers that it could show; one that comes back
            // shows them again, to the next start of the daemon.
            Err(error) if Instant::now() >= deadline => {
                warn!(error = &error as &dyn std::error::Error, mark, "containers of a dead attempt are not removed");
                return 1;
            }
            Err(error) => error,
        };
        warn!(error = &error as &dyn std::error::Error, mark, "cannot remove the containers of a dead attempt yet");
        pause(PAUSE);
    }
}

fn try_to_fence(socket: &Path, mark: &str) -> Result<(), EngineError> {
    let engine = Engine::connect(socket)?;
    let labelled = engine.labelled(&format!("{ATTEMPT_LABEL}={mark}"))?;
    // One that idled before has another's label.
    let taken = engine.named(&warm::taken_name(mark))?;
    let its = labelled.into_iter().chain(taken).filter(|container| mark_of(container) == Some(mark));
    let mut all = Ok(());
    for container in its {
        all = all.and(engine.remove(&container.id));
    }
    all
}

/// Removes the containers of a daemon's attempts that are over, by the folder of its attempts; how many there were. One
/// that cannot be removed, which is the error then, keeps no other one.
pub fn remove_leftovers(socket: &Path, attempts: &Path, is_open: &dyn Fn(&str) -> bool) -> Result<usize, EngineError> {
    let engine = Engine::connect(socket)?;
    let ours = engine.labelled(&format!("{OWNER_LABEL}={}", attempts.display()))?;
    let over = ours.into_iter().filter(|container| mark_of(container).is_none_or(|mark| !is_open(mark)));
    let mut count = Ok(0);
    for container in over {
        let removed = engine.remove(&container.id);
        if removed.is_ok()
            && let Some(mark) = mark_of(&container)
        {
            super::forget_run_folder(mark);
        }
        count = count.and_then(|count| removed.map(|()| count + 1));
    }
    count
}

/// Whose it is.
fn mark_of(container: &Container) -> Option<&str> {
    container.labels.get(ATTEMPT_LABEL).map(|label| warm::owner(label, &container.names))
}

#[expect(clippy::disallowed_methods, reason = "on a thread made for blocking; the engine has no event for it")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
