//! Curves of scalars.

use rusqlite::{Connection, OptionalExtension, params};

use super::model::SINGLE_VALUE_ITER;
use super::series::SeriesRow;
use crate::store::StoreResult;

/// What is on the x axis of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// The iteration.
    Iteration,
    /// Milliseconds since the epoch.
    Timestamp,
}

/// A curve, reduced to a bearable number of points.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sampled {
    /// On the x axis, ascending.
    pub(crate) x: Vec<i64>,
    /// On the y axis.
    pub(crate) y: Vec<f64>,
}

/// A point as it was reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RawPoint {
    pub(crate) iter: i64,
    pub(crate) timestamp: i64,
    pub(crate) value: f64,
}

/// Reads a curve. From `samples` points on, those of each of `samples` equal parts of the x axis become their mean,
/// at the first x of the part.
pub(crate) fn sampled(connection: &Connection, series: &SeriesRow, axis: Axis, samples: usize) -> StoreResult<Sampled> {
    let mut statement = connection
        .prepare_cached("SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter > ?2")?;
    let mut rows = statement.query(params![series.key, SINGLE_VALUE_ITER])?;
    let is_long = usize::try_from(series.events).unwrap_or(0) >= samples;
    if let (Axis::Iteration, true, Some((low, high))) = (axis, is_long, series.iters) {
        // The primary key gives the order of the iterations: one pass, and memory for the samples only.
        let mut sampler = Sampler::new(low, high, samples);
        while let Some(row) = rows.next()? {
            sampler.add(row.get(0)?, row.get(2)?);
        }
        return Ok(sampler.finish());
    }
    let mut points: Vec<(i64, f64)> = Vec::new();
    let column = match axis {
        Axis::Iteration => 0,
        Axis::Timestamp => 1,
    };
    while let Some(row) = rows.next()? {
        points.push((row.get(column)?, row.get(2)?));
    }
    points.sort_by_key(|(x, _)| *x);
    Ok(reduce(&points, samples))
}

/// Reduces points that are in the order of x.
fn reduce(points: &[(i64, f64)], samples: usize) -> Sampled {
    let (Some((low, _)), Some((high, _))) = (points.first(), points.last()) else { return Sampled::default() };
    if points.len() < samples {
        return Sampled { x: points.iter().map(|(x, _)| *x).collect(), y: points.iter().map(|(_, y)| *y).collect() };
    }
    let mut sampler = Sampler::new(*low, *high, samples);
    for (x, y) in points {
        sampler.add(*x, *y);
    }
    sampler.finish()
}

/// Averages points that come in the order of x.
struct Sampler {
    low: i64,
    width: u128,
    part: Option<Part>,
    sampled: Sampled,
}

struct Part {
    number: u128,
    first_x: i64,
    mean: f64,
    points: f64,
}

impl Sampler {
    fn new(low: i64, high: i64, samples: usize) -> Self {
        let range = u128::from(high.abs_diff(low)) + 1;
        let width = range.div_ceil(samples.max(1) as u128);
        Self { low, width, part: None, sampled: Sampled::default() }
    }

    fn add(&mut self, x: i64, y: f64) {
        let number = u128::from(x.abs_diff(self.low)) / self.width;
        match &mut self.part {
            Some(part) if part.number == number => {
                part.points += 1.0;
                // In this form the sum of large values cannot overflow.
                part.mean += y / part.points - part.mean / part.points;
            }
            _ => {
                self.close();
                self.part = Some(Part { number, first_x: x, mean: y, points: 1.0 });
            }
        }
    }

    fn close(&mut self) {
        if let Some(part) = self.part.take() {
            self.sampled.x.push(part.first_x);
            self.sampled.y.push(part.mean);
        }
    }

    fn finish(mut self) -> Sampled {
        self.close();
        self.sampled
    }
}

/// At most `limit` points of the series after the iteration `after`, in order; single values are no points.
pub(crate) fn raw_points(
    connection: &Connection,
    series: i64,
    after: Option<i64>,
    limit: usize,
) -> StoreResult<Vec<RawPoint>> {
    let mut statement = connection.prepare_cached(
        "SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter > ?2 ORDER BY iter LIMIT ?3",
    )?;
    let after = after.unwrap_or(SINGLE_VALUE_ITER);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let points = statement.query_map(params![series, after, limit], point)?;
    Ok(points.collect::<Result<_, _>>()?)
}

/// The single value of a series, if it has one.
pub(crate) fn single_value(connection: &Connection, series: i64) -> StoreResult<Option<RawPoint>> {
    let mut statement = connection
        .prepare_cached("SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter = ?2")?;
    Ok(statement.query_row(params![series, SINGLE_VALUE_ITER], point).optional()?)
}

fn point(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawPoint> {
    Ok(RawPoint { iter: row.get(0)?, timestamp: row.get(1)?, value: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_curves_are_left_as_they_are() {
        let points = [(1, 0.5), (2, 0.25), (9, 4.0)];
        assert_eq!(reduce(&points, 4), Sampled { x: vec![1, 2, 9], y: vec![0.5, 0.25, 4.0] });
        assert_eq!(reduce(&[], 4), Sampled::default());
    }

    #[test]
    fn long_curves_become_means_of_equal_parts() {
        let points: Vec<(i64, f64)> = (0..1000).map(|x| (x, (x % 10) as f64)).collect();
        let sampled = reduce(&points, 100);
        assert_eq!(sampled.x, (0..100).map(|part| part * 10).collect::<Vec<_>>());
        assert!(sampled.y.iter().all(|y| (y - 4.5).abs() < 1e-9), "{:?}", sampled.y);
    }

    #[test]
    fn the_ends_of_the_number_range_do_not_overflow() {
        let points = [(i64::MIN, f64::MAX), (0, f64::MAX), (i64::MAX, f64::MAX)];
        let sampled = reduce(&points, 1);
        assert_eq!((sampled.x.len(), sampled.y[0].is_finite()), (1, true));
        assert_eq!(reduce(&points, 2).x, [i64::MIN, 0]);
    }
}
