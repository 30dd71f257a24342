//! The intervals of a chart of workers, by the rules of the stock server: pure arithmetic.

use crate::services::span::Span;

/// Workers report every 30 s: shorter intervals, in milliseconds, would be empty in between.
const SHORTEST: i64 = 40_000;

/// Consecutive intervals, aligned to the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    first: i64,
    length: i64,
    /// How many there are.
    pub(super) count: usize,
}

impl Intervals {
    /// Those of statistics: up to one that is complete, or nearly so, at the end of the span.
    pub(super) fn of_statistics(span: Span) -> Self {
        let span = at_least_shortest(span);
        // One that begins in the last nine tenths of an interval is not shown.
        let end = span.to - span.interval * 9 / 10;
        Self::between(span, end.div_euclid(span.interval) + i64::from(end.rem_euclid(span.interval) > 0))
    }

    /// Those of activity: all but the last one, even if it is complete.
    pub(super) fn of_activity(span: Span) -> Self {
        let span = at_least_shortest(span);
        Self::between(span, span.to.div_euclid(span.interval))
    }

    fn between(span: Span, end: i64) -> Self {
        let first = span.from.div_euclid(span.interval);
        Self { first, length: span.interval, count: usize::try_from(end - first).unwrap_or(0) }
    }

    /// The interval that holds a moment.
    pub(super) fn place(&self, at: i64) -> Option<usize> {
        usize::try_from(at.div_euclid(self.length) - self.first).ok().filter(|place| *place < self.count)
    }

    /// When they begin, in milliseconds since the epoch.
    pub(super) fn dates(&self) -> Vec<i64> {
        (self.first..).take(self.count).map(|number| number * self.length).collect()
    }
}

/// The span with intervals that are not too short.
pub(super) fn at_least_shortest(span: Span) -> Span {
    Span { interval: span.interval.max(SHORTEST), ..span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64, interval: i64) -> Span {
        Span { from: from * 1000, to: to * 1000, interval: interval * 1000 }
    }

    #[test]
    fn statistics_end_with_a_nearly_complete_interval() {
        let cases: &[(i64, i64, i64, &[i64])] = &[
            (100, 400, 100, &[100, 200, 300]),
            (101, 400, 100, &[100, 200, 300]),
            (100, 390, 100, &[100, 200]),
            (100, 391, 100, &[100, 200, 300]),
            (100, 399, 100, &[100, 200, 300]),
            (100, 401, 100, &[100, 200, 300]),
            (0, 120, 1, &[0, 40, 80]),
            (100, 150, 100, &[]),
            (-250, -100, 100, &[-300, -200]),
        ];
        for (from, to, interval, expected) in cases {
            let dates = Intervals::of_statistics(span(*from, *to, *interval)).dates();
            let expected: Vec<i64> = expected.iter().map(|seconds| seconds * 1000).collect();
            assert_eq!(dates, expected, "{from}..{to} by {interval}");
        }
    }

    #[test]
    fn activity_ends_before_the_last_interval() {
        let cases: &[(i64, i64, i64, &[i64])] =
            &[(100, 400, 100, &[100, 200, 300]), (150, 399, 100, &[100, 200]), (0, 90, 1, &[0, 40]), (0, 39, 1, &[])];
        for (from, to, interval, expected) in cases {
            let dates = Intervals::of_activity(span(*from, *to, *interval)).dates();
            let expected: Vec<i64> = expected.iter().map(|seconds| seconds * 1000).collect();
            assert_eq!(dates, expected, "{from}..{to} by {interval}");
        }
    }

    #[test]
    fn moments_are_placed() {
        let intervals = Intervals::of_activity(span(100, 400, 100));
        let cases = [(99_999, None), (100_000, Some(0)), (199_999, Some(0)), (399_999, Some(2)), (400_000, None)];
        for (at, place) in cases {
            assert_eq!(intervals.place(at), place, "{at}");
        }
    }
}
