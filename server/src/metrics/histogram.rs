//! Counts of values by size.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many values there were up to each of a few bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Each bound with the number of values up to it.
    pub(crate) up_to: Vec<(u64, u64)>,
    /// All values.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: u64,
}

impl Histogram {
    /// `bounds` ascend.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::default() }
    }

    /// Counts a value.
    pub(crate) fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The counts now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let mut up_to = Vec::with_capacity(self.bounds.len());
        for (place, one) in self.counts.iter().enumerate() {
            count += one.load(Ordering::Relaxed);
            if let Some(bound) = self.bounds.get(place) {
                up_to.push((*bound, count));
            }
        }
        Snapshot { up_to, count, sum: self.sum.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_every_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 1000] {
            histogram.observe(value);
        }
        let expected = Snapshot { up_to: vec![(1, 2), (10, 4), (100, 5)], count: 6, sum: 1024 };
        assert_eq!(histogram.snapshot(), expected);
    }
}
