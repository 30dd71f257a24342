//! How a report changes the summary of its series.

use super::model::SINGLE_VALUE_ITER;
use super::scalars::RawPoint;
use super::series::SeriesRow;

/// A series while a batch is appended to it.
#[derive(Debug)]
pub(super) struct OpenSeries {
    pub(super) row: SeriesRow,
    /// (iteration, timestamp) of the latest scalar of this batch.
    latest: Option<(i64, i64)>,
    /// Points of this batch at iterations that packs cover.
    pub(super) edits: Vec<RawPoint>,
}

impl OpenSeries {
    pub(super) fn new(row: SeriesRow) -> Self {
        Self { row, latest: None, edits: Vec::new() }
    }

    /// Counts an event of any kind; `is_new` says that no event was overwritten.
    pub(super) fn count(&mut self, iter: i64, timestamp: i64, is_new: bool) {
        self.row.reports += 1;
        self.row.events += i64::from(is_new);
        self.row.last_timestamp = self.row.last_timestamp.max(timestamp);
        if iter != SINGLE_VALUE_ITER {
            let (low, high) = self.row.iters.unwrap_or((iter, iter));
            self.row.iters = Some((low.min(iter), high.max(iter)));
        }
    }

    /// Adds a scalar to the summary. The last value is the one with the largest (iteration, timestamp) of the
    /// batch, whatever earlier batches held: a task that starts again from iteration 0 shows its new values.
    pub(super) fn fold_scalar(&mut self, iter: i64, timestamp: i64, value: f64) {
        if self.latest.is_none_or(|latest| latest <= (iter, timestamp)) {
            self.latest = Some((iter, timestamp));
            self.row.last = Some((value, iter));
        }
        if self.row.min.is_none_or(|(least, _)| value < least) {
            self.row.min = Some((value, iter));
        }
        if self.row.max.is_none_or(|(greatest, _)| value > greatest) {
            self.row.max = Some((value, iter));
        }
        self.row.first.get_or_insert((value, iter));
        self.row.sum += value;
        if iter != SINGLE_VALUE_ITER && self.row.packed_to.is_some_and(|to| iter <= to) {
            self.edits.push(RawPoint { iter, timestamp, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events::Kind;

    fn empty() -> SeriesRow {
        SeriesRow::new(1, Kind::Scalar, "loss".to_owned(), "train".to_owned())
    }

    #[test]
    fn a_summary_follows_what_is_reported() {
        let mut series = OpenSeries::new(empty());
        for (iter, timestamp, value) in [(3, 30, 0.5), (1, 10, 2.0), (2, 20, -1.0), (3, 30, 0.25)] {
            series.count(iter, timestamp, true);
            series.fold_scalar(iter, timestamp, value);
        }
        let row = series.row;
        assert_eq!(row.last, Some((0.25, 3)), "of the same iteration and time the later one counts");
        assert_eq!((row.min, row.max, row.first), (Some((-1.0, 2)), Some((2.0, 1)), Some((0.5, 3))));
        assert_eq!((row.iters, row.reports, row.last_timestamp), (Some((1, 3)), 4, 30));
        assert!((row.sum - 1.75).abs() < 1e-12);
    }

    #[test]
    fn a_new_batch_may_go_back_to_an_earlier_iteration() {
        let mut series = OpenSeries::new(empty());
        series.fold_scalar(100, 1, 1.0);
        let mut series = OpenSeries::new(series.row);
        series.fold_scalar(0, 2, 7.0);
        assert_eq!(series.row.last, Some((7.0, 0)));
    }

    #[test]
    fn single_values_do_not_widen_the_range_of_iterations() {
        let mut series = OpenSeries::new(empty());
        series.count(SINGLE_VALUE_ITER, 1, true);
        assert_eq!(series.row.iters, None);
        series.count(5, 1, false);
        assert_eq!((series.row.iters, series.row.events, series.row.reports), (Some((5, 5)), 1, 2));
    }
}
