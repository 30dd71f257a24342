//! Requests by endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::Histogram;

/// Upper bounds of the times of a request, in microseconds.
const BOUNDS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    60_000_000,
];

/// Endpoint and status of the answer.
type Key = (String, u16);

/// Requests that were answered.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_key: RwLock<BTreeMap<Key, Arc<Histogram>>>,
}

impl Requests {
    /// Counts a request. The caller sees to it that there are only so many names.
    pub(crate) fn observe(&self, endpoint: &str, status: u16, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let key = (endpoint.to_owned(), status);
        let known = self.by_key.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let histogram = known.unwrap_or_else(|| {
            let mut all = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Histogram::new(BOUNDS))))
        });
        histogram.observe(micros);
    }

    /// All of them, by endpoint and status.
    pub(crate) fn all(&self) -> Vec<(Key, Arc<Histogram>)> {
        let all = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(key, histogram)| (key.clone(), Arc::clone(histogram))).collect()
    }
}
