//! How often an actor may be rebuilt before its failing is the whole process's.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// At most `max` rebuilds `within` a time, each after `backoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// How many rebuilds.
    pub max: usize,
    /// Counted over this long.
    pub within: Duration,
    /// Wait before each.
    pub backoff: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { max: 5, within: Duration::from_secs(60), backoff: Duration::from_millis(100) }
    }
}

/// What to do about a child that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartDecision {
    /// Build it again after this wait.
    RestartAfter(Duration),
    /// It fails too often.
    GiveUp,
}

/// The rebuilds of one child.
#[derive(Clone, Debug, Default)]
pub struct RestartHistory {
    restarts: VecDeque<Instant>,
}

impl RestartHistory {
    /// Counts an end at `now`, and decides.
    pub fn decide(&mut self, policy: RestartPolicy, now: Instant) -> RestartDecision {
        while self.restarts.front().is_some_and(|first| now.duration_since(*first) > policy.within) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= policy.max {
            return RestartDecision::GiveUp;
        }
        self.restarts.push_back(now);
        RestartDecision::RestartAfter(policy.backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn too_many_in_a_row_is_given_up_and_old_ones_are_forgotten() {
        let policy = RestartPolicy { max: 2, within: Duration::from_secs(10), backoff: Duration::from_secs(1) };
        let mut history = RestartHistory::default();
        let again = RestartDecision::RestartAfter(Duration::from_secs(1));
        assert_eq!(history.decide(policy, Instant::now()), again);
        assert_eq!(history.decide(policy, Instant::now()), again);
        assert_eq!(history.decide(policy, Instant::now()), RestartDecision::GiveUp);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(history.decide(policy, Instant::now()), again);
    }
}
