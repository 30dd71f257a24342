//! How the writer does: what health answers and metrics tell of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::Histogram;

/// A transaction that takes longer than this is a store that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// Upper bounds of the sizes of batches.
const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Upper bounds of the times of a commit, in microseconds.
const COMMIT_BOUNDS: &[u64] =
    &[250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// Counts what the writer does. It is written by the writer's thread alone.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Jobs that shared a commit.
    pub(crate) batches: Histogram,
    /// Microseconds from the start of a transaction to the end of its commit.
    pub(crate) commits: Histogram,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    working_since: Option<Instant>,
    failed: u64,
    last_failure: Option<String>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { batches: Histogram::new(BATCH_BOUNDS), commits: Histogram::new(COMMIT_BOUNDS), state: Mutex::default() }
    }
}

impl Pulse {
    /// A transaction begins.
    pub(super) fn begin(&self) {
        self.lock().working_since = Some(Instant::now());
    }

    /// The transaction has ended; `failure` says why nothing of it is stored.
    pub(super) fn end(&self, jobs: usize, failure: Option<String>) {
        let mut state = self.lock();
        let took = state.working_since.take().map(|since| since.elapsed()).unwrap_or_default();
        state.failed += u64::from(failure.is_some());
        state.last_failure = failure;
        drop(state);
        self.batches.observe(jobs as u64);
        self.commits.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Commits that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.lock().failed
    }

    /// Why writes cannot be taken in: the last commit failed, or one hangs.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.lock();
        if state.working_since.is_some_and(|since| since.elapsed() > HANGS_AFTER) {
            return Some("a write hangs".to_owned());
        }
        state.last_failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_ends_with_the_next_commit_that_goes_well() {
        let pulse = Pulse::default();
        assert_eq!(pulse.trouble(), None);
        pulse.begin();
        pulse.end(3, Some("disk full".to_owned()));
        assert_eq!((pulse.trouble().as_deref(), pulse.failed()), (Some("disk full"), 1));
        pulse.begin();
        assert_eq!(pulse.trouble().as_deref(), Some("disk full"), "not before it ended");
        pulse.end(1, None);
        assert_eq!((pulse.trouble(), pulse.failed()), (None, 1));
        assert_eq!(pulse.batches.snapshot().count, 2);
    }
}
