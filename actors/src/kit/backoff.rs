//! Waiting longer each time, not all at the same moment.

use std::time::Duration;

use rand::RngExt as _;

/// Exponential waits with jitter: the n-th lies between half and the whole of `first * 2^n`, at most `most`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    steps: u32,
}

impl Backoff {
    /// Waits that begin at `first` and never exceed `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, steps: 0 }
    }

    /// For calls to a server that is away: 0.2 s to 10 s.
    pub fn for_server() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(10))
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.first.saturating_mul(2u32.saturating_pow(self.steps.min(20))).min(self.most);
        self.steps = self.steps.saturating_add(1);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Sleeps for the next wait.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.steps = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_most() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..10).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[9] >= Duration::from_millis(500) && waits[9] <= Duration::from_secs(1));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
