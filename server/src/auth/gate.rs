//! Slows down whoever guesses passwords, and nobody else.
//!
//! Checks are dear, so only a few run at one time, whoever asks. Those from one address stand in one short line: one
//! is in front of the workers, some wait behind it, the rest is sent away. After a few failures each further one
//! waits before it gets to the front. So an address can neither guess quickly nor keep the workers from others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocols::clearml::error::ApiError;
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::Instant;

use super::Source;

/// Checks at one time.
const WORKERS: usize = 2;

/// Checks of one address that may wait or run.
const LINE: usize = 4;

/// Addresses that are remembered at one time.
const SOURCES: usize = 4096;

/// Failures without a pause.
const FREE_FAILURES: u32 = 3;

/// First pause; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// After this long without a failure an address begins anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Lets checks of passwords through.
#[derive(Debug)]
pub(crate) struct Gate {
    workers: Arc<Semaphore>,
    lines: Mutex<HashMap<Source, Line>>,
}

#[derive(Debug)]
struct Line {
    length: usize,
    failures: u32,
    last_failure: Instant,
    turn: Arc<Turn<()>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { workers: Arc::new(Semaphore::new(WORKERS)), lines: Mutex::default() }
    }

    /// Runs `check` on a blocking thread, when it is the turn of `source`.
    ///
    /// # Errors
    /// 429 when too many from there wait already.
    pub(crate) async fn pass(
        &self,
        source: Source,
        check: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, ApiError> {
        let place = self.stand_in_line(source)?;
        let turn = Arc::clone(&place.turn);
        let _turn = turn.lock().await;
        tokio::time::sleep(self.pause(source)).await;
        let permit = Arc::clone(&self.workers).acquire_owned().await.expect("the semaphore is never closed");
        let checking = tokio::task::spawn_blocking(move || {
            // A caller that goes away does not make room for another before the work is done.
            let _permit = permit;
            check()
        });
        let passed = checking.await.map_err(|_| ApiError::internal("the password cannot be checked", &[]))?;
        self.note(source, passed);
        Ok(passed)
    }

    fn stand_in_line(&self, source: Source) -> Result<Place<'_>, ApiError> {
        let too_many = || ApiError::new(429, 0, "Too many attempts to log in, try again later");
        let mut lines = self.lines();
        if lines.len() >= SOURCES && !lines.contains_key(&source) {
            lines.retain(|_, line| line.length > 0 || !line.is_forgiven());
            if lines.len() >= SOURCES {
                return Err(too_many());
            }
        }
        let line = lines.entry(source).or_insert_with(Line::new);
        if line.length >= LINE {
            return Err(too_many());
        }
        line.length += 1;
        Ok(Place { gate: self, source, turn: Arc::clone(&line.turn) })
    }

    fn pause(&self, source: Source) -> Duration {
        let lines = self.lines();
        let Some(line) = lines.get(&source).filter(|line| !line.is_forgiven()) else { return Duration::ZERO };
        match line.failures.checked_sub(FREE_FAILURES) {
            None => Duration::ZERO,
            Some(more) => FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE),
        }
    }

    fn note(&self, source: Source, passed: bool) {
        if let Some(line) = self.lines().get_mut(&source) {
            line.failures = match passed {
                true => 0,
                false if line.is_forgiven() => 1,
                false => line.failures.saturating_add(1),
            };
            line.last_failure = Instant::now();
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Source, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new() -> Self {
        Self { length: 0, failures: 0, last_failure: Instant::now(), turn: Arc::default() }
    }

    fn is_forgiven(&self) -> bool {
        self.failures == 0 || self.last_failure.elapsed() > FORGIVEN_AFTER
    }
}

/// A place in the line of a source, given up when dropped.
struct Place<'a> {
    gate: &'a Gate,
    source: Source,
    turn: Arc<Turn<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.gate.lines();
        if let Some(line) = lines.get_mut(&self.source) {
            line.length -= 1;
            if line.length == 0 && line.is_forgiven() {
                lines.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    fn source(number: u8) -> Source {
        Source::of([10, 0, 0, number].into())
    }

    #[tokio::test]
    async fn failures_of_an_address_slow_it_down_and_nobody_else() {
        let gate = Gate::new();
        for _ in 0..FREE_FAILURES {
            assert_eq!(gate.pause(source(1)), Duration::ZERO, "anybody mistypes");
            assert!(!gate.pass(source(1), || false).await.unwrap());
        }
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pauses.push(gate.pause(source(1)));
            gate.note(source(1), false);
        }
        assert_eq!(pauses[..4], [250, 500, 1000, 2000].map(Duration::from_millis));
        assert_eq!(pauses[4..], [LONGEST_PAUSE; 4]);
        assert_eq!(gate.pause(source(2)), Duration::ZERO, "another address does not wait");
        assert!(gate.pass(source(2), || true).await.unwrap());
        gate.note(source(1), true);
        assert_eq!(gate.pause(source(1)), Duration::ZERO, "who knows it begins anew");
    }

    #[tokio::test]
    async fn the_line_of_an_address_is_short_and_the_work_bounded() {
        let gate = Gate::new();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let check = || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                running.fetch_sub(1, Ordering::SeqCst);
                true
            }
        };
        let one = join_all((0..10).map(|_| gate.pass(source(1), check()))).await;
        assert_eq!(one.iter().filter(|outcome| outcome.is_ok()).count(), LINE);
        assert!(one.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| error.is(429, 0)));
        let many = join_all((0..100).map(|number| gate.pass(source(number), check()))).await;
        assert!(many.iter().all(Result::is_ok));
        assert!(most.load(Ordering::SeqCst) <= WORKERS);
        assert!(gate.lines().is_empty(), "who did nothing wrong is forgotten");
    }
}
