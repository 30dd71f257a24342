//! Waiting for something to become true. Nothing here waits longer than it must, and nothing waits for ever.

use std::time::{Duration, Instant};

/// Long enough for anything that works, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `look` finds something. Panics with `what` and the last error when `deadline` is over.
#[track_caller]
pub(crate) fn within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + deadline;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) if Instant::now() >= end => panic!("{what}: not within {deadline:?}: {why}"),
            // Parks instead of polling hot; nobody unparks a test thread.
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}

/// Waits, with patience, until `look` is true.
#[track_caller]
pub(crate) fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    within(PATIENCE, what, || if look() { Ok(()) } else { Err("still false".to_owned()) });
}

/// Waits, with patience, until `look` gives something.
#[track_caller]
pub(crate) fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, || look().ok_or_else(|| "still nothing".to_owned()))
}
