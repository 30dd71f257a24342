//! From the states of queues to the points of a chart, by the rules of the stock server: pure arithmetic.

use crate::services::span::Span;
use crate::store::time_series::QueueState;

/// A queue in which nothing changes still gives a point so often, in milliseconds.
const REFRESH: i64 = 300_000;

/// How a queue was in one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Which interval, counted from the epoch.
    pub(super) bucket: i64,
    /// Average waiting time of its entries, in seconds.
    pub(super) wait: f64,
    /// Entries that waited.
    pub(super) length: i64,
}

/// The points of one queue from its states, the first of which may be from before the span. The queue is known up to
/// `now`; with `refresh` it is looked at now as well. An interval without a change or a refresh has no point; in the
/// others the moment with the longest waiting time counts, and among those the one with the most entries.
pub(super) fn points(states: &[QueueState], span: Span, now: i64, refresh: bool) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let first = span.from - span.interval;
    let mut look = |state: &QueueState, at: i64| {
        let bucket = at.div_euclid(span.interval);
        if bucket * span.interval < first || at > span.to {
            return;
        }
        let point = Point { bucket, wait: state.average_wait(at), length: state.length };
        match points.last_mut() {
            Some(last) if last.bucket == bucket => {
                if (point.wait, point.length) > (last.wait, last.length) {
                    *last = point;
                }
            }
            Some(_) | None => points.push(point),
        }
    };
    for (place, state) in states.iter().enumerate() {
        let end = states.get(place + 1).map_or(now, |next| next.at - 1).min(span.to);
        look(state, state.at);
        // The refreshes before the span are not worth counting.
        let skipped = ((first - state.at) / REFRESH).max(0);
        let mut at = state.at + (skipped + i64::from(skipped == 0)) * REFRESH;
        while at <= end {
            look(state, at);
            at += REFRESH;
        }
    }
    if let Some(last) = states.last().filter(|_| refresh) {
        look(last, now.max(last.at));
    }
    points
}

/// All queues as one: lengths added up, waiting times weighed by them. A queue without a point in an interval is as it
/// was before.
pub(super) fn total(queues: &[(Vec<QueueState>, Vec<Point>)], span: Span) -> Vec<Point> {
    let mut buckets: Vec<i64> = queues.iter().flat_map(|(_, points)| points).map(|point| point.bucket).collect();
    buckets.sort_unstable();
    buckets.dedup();
    let mut totals: Vec<Point> = buckets.into_iter().map(|bucket| Point { bucket, wait: 0.0, length: 0 }).collect();
    for (states, points) in queues {
        let mut points = points.iter().peekable();
        for total in &mut totals {
            let (wait, length) = match points.next_if(|point| point.bucket == total.bucket) {
                Some(point) => (point.wait, point.length),
                None => carried(states, total.bucket * span.interval),
            };
            total.length += length;
            total.wait += wait * length as f64;
        }
    }
    for total in totals.iter_mut().filter(|total| total.length > 0) {
        total.wait /= total.length as f64;
    }
    totals
}

fn carried(states: &[QueueState], at: i64) -> (f64, i64) {
    let before = states.partition_point(|state| state.at <= at);
    match states[..before].last() {
        Some(state) => (state.average_wait(at), state.length),
        None => (0.0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue from `at` seconds on, with entries that were added at these seconds.
    fn state(at: i64, added: &[i64]) -> QueueState {
        QueueState { at: at * 1000, length: added.len() as i64, added: added.iter().sum::<i64>() * 1000 }
    }

    fn span(from: i64, to: i64, interval: i64) -> Span {
        Span { from: from * 1000, to: to * 1000, interval: interval * 1000 }
    }

    #[track_caller]
    fn check(points: &[Point], expected: &[(i64, f64, i64)]) {
        let found: Vec<_> = points.iter().map(|point| (point.bucket, point.wait, point.length)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_longest_wait_of_an_interval_counts_and_then_the_length() {
        let states = [state(1000, &[1000]), state(1004, &[1000, 1004]), state(1006, &[1004]), state(1012, &[])];
        // Averages: 0 at 1000, 2 at 1004, 2 at 1006 with fewer entries, 0 at 1012.
        check(&points(&states, span(990, 1100, 10), 1_100_000, false), &[(100, 2.0, 2), (101, 0.0, 0)]);
        check(
            &points(&states, span(990, 1100, 1), 1_100_000, false),
            &[(1000, 0.0, 1), (1004, 2.0, 2), (1006, 2.0, 1), (1012, 0.0, 0)],
        );
        let same_wait = [state(1000, &[]), state(1001, &[1001]), state(1002, &[])];
        check(&points(&same_wait, span(990, 1100, 10), 1_100_000, false), &[(100, 0.0, 1)]);
    }

    #[test]
    fn a_queue_that_is_drained_is_empty_from_then_on() {
        let states = [state(1000, &[1000]), state(1015, &[])];
        let points = points(&states, span(1000, 2000, 10), 1_020_000, false);
        check(&points, &[(100, 0.0, 1), (101, 0.0, 0)]);
    }

    #[test]
    fn a_queue_at_rest_is_refreshed_up_to_now() {
        let states = [state(1000, &[1000])];
        check(&points(&states, span(1200, 9000, 60), 1_700_000, false), &[(21, 300.0, 1), (26, 600.0, 1)]);
        check(&points(&states, span(1610, 9000, 60), 1_700_000, true), &[(26, 600.0, 1), (28, 700.0, 1)]);
        // The interval before the span is shown, none before that.
        check(&points(&states, span(1300, 1310, 60), 1_700_000, false), &[(21, 300.0, 1)]);
        check(&points(&states, span(1380, 1390, 60), 1_700_000, false), &[]);
    }

    #[test]
    fn nothing_is_known_of_the_time_before_the_first_state_and_after_the_span() {
        let states = [state(1000, &[]), state(1500, &[1500])];
        check(&points(&states, span(0, 1400, 100), 2_000_000, true), &[(10, 0.0, 0), (13, 0.0, 0)]);
        check(&points(&[], span(0, 1400, 100), 2_000_000, true), &[]);
        // Thousands of years of refreshes are skipped, not walked through.
        let points = points(&[state(0, &[])], span(90_000_000_000, 90_000_000_301, 1), 90_000_000_301_000, false);
        assert_eq!(points.len(), 2);
    }

    #[test]
    fn a_total_adds_lengths_and_weighs_waits() {
        let span = span(1000, 1100, 10);
        let queue = |states: Vec<QueueState>| {
            let points = points(&states, span, 1_100_000, false);
            (states, points)
        };
        let first = queue(vec![state(900, &[900, 900]), state(1020, &[900])]);
        let second = queue(vec![state(1000, &[980]), state(1021, &[980, 981])]);
        let third = queue(vec![state(1050, &[])]);
        check(
            &total(&[first, second, third], span),
            &[
                // Of the first only the state before is known: two entries that wait for 100 s.
                (100, 220.0 / 3.0, 3),
                (102, (120.0 + 2.0 * 40.5) / 3.0, 3),
                // At 1050: one that waits since 900, two since 980.5.
                (105, (150.0 + 2.0 * 69.5) / 3.0, 3),
            ],
        );
        check(&total(&[], span), &[]);
    }
}
