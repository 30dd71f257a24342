//! The wall clock, as a thing that is passed in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A machine that believes to be before 1970.
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock for tests: it starts where it is told and follows tokio's time, so that in a paused runtime it
/// moves exactly with the timers. [`FakeClock::advance`] moves it alone.
#[cfg(any(test, feature = "fakes"))]
#[derive(Clone, Debug)]
pub struct FakeClock {
    start: tokio::time::Instant,
    offset_ms: std::sync::Arc<std::sync::atomic::AtomicI64>,
}

#[cfg(any(test, feature = "fakes"))]
impl FakeClock {
    /// A clock that shows `now_ms` now.
    pub fn at(now_ms: i64) -> Self {
        let offset_ms = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(now_ms));
        Self { start: tokio::time::Instant::now(), offset_ms }
    }

    /// Puts this clock, and every clone of it, forward; or back, with a negative number.
    pub fn advance(&self, ms: i64) {
        self.offset_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "fakes"))]
impl Clock for FakeClock {
    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.load(std::sync::atomic::Ordering::SeqCst).saturating_add(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_counts_milliseconds() {
        let now = SystemClock.now_ms();
        assert!(now > 1_700_000_000_000, "{now} is before this was written");
        assert!(now < 100_000_000_000_000, "{now} is not in milliseconds");
    }

    #[tokio::test]
    async fn the_fake_clock_moves_with_the_timers() {
        tokio::time::pause();
        let clock = FakeClock::at(1_000);
        let other = clock.clone();
        tokio::time::advance(std::time::Duration::from_millis(250)).await;
        assert_eq!(clock.now_ms(), 1_250);
        clock.advance(-50);
        assert_eq!(other.now_ms(), 1_200);
    }
}
