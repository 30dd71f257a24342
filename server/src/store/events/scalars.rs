//! Curves of scalars.

use rusqlite::{Connection, OptionalExtension, params};

use super::model::SINGLE_VALUE_ITER;
use super::packs;
use super::sampler::{Sampled, Sampler};
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

/// A point as it was reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RawPoint {
    pub(crate) iter: i64,
    pub(crate) timestamp: i64,
    pub(crate) value: f64,
}

/// Reads a curve. From `samples` points on, those of each of `samples` equal parts of the x axis become their mean,
/// at the first x of the part. Single values are no points.
pub(crate) fn sampled(connection: &Connection, series: &SeriesRow, axis: Axis, samples: usize) -> StoreResult<Sampled> {
    if !is_long(connection, series, samples)? {
        return whole(connection, series, axis);
    }
    let ends = match axis {
        Axis::Iteration => series.iters,
        Axis::Timestamp => packs::times(connection, series)?,
    };
    let Some((low, high)) = ends else { return Ok(Sampled::default()) };
    let mut sampler = Sampler::new(low, high, samples);
    match axis {
        Axis::Iteration => packs::sample_by_iteration(connection, series, &mut sampler, low)?,
        Axis::Timestamp => packs::each_point(connection, series, |point| sampler.add(point.timestamp, point.value))?,
    }
    Ok(sampler.finish())
}

fn is_long(connection: &Connection, series: &SeriesRow, samples: usize) -> StoreResult<bool> {
    let points = usize::try_from(series.events).unwrap_or(0);
    // A single value is counted among the events.
    Ok(points > samples || points == samples && single_value(connection, series.key)?.is_none())
}

fn whole(connection: &Connection, series: &SeriesRow, axis: Axis) -> StoreResult<Sampled> {
    let mut points = raw_points(connection, series.key, None, usize::MAX)?;
    let x = match axis {
        Axis::Iteration => points.iter().map(|point| point.iter).collect(),
        Axis::Timestamp => {
            points.sort_by_key(|point| point.timestamp);
            points.iter().map(|point| point.timestamp).collect()
        }
    };
    Ok(Sampled { x, y: points.iter().map(|point| point.value).collect() })
}

/// At most `limit` points of the series after the iteration `after`, in order; single values are no points.
pub(crate) fn raw_points(
    connection: &Connection,
    series: i64,
    after: Option<i64>,
    limit: usize,
) -> StoreResult<Vec<RawPoint>> {
    let from = match after {
        None => i64::MIN,
        Some(i64::MAX) => return Ok(Vec::new()),
        Some(after) => after + 1,
    };
    let mut statement = connection.prepare_cached(
        "SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter >= ?2 AND iter <> ?3 \
         ORDER BY iter LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let points = statement.query_map(params![series, from, SINGLE_VALUE_ITER, limit], point)?;
    Ok(points.collect::<Result<_, _>>()?)
}

/// The single value of a series, if it has one.
pub(crate) fn single_value(connection: &Connection, series: i64) -> StoreResult<Option<RawPoint>> {
    let mut statement = connection
        .prepare_cached("SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter = ?2")?;
    Ok(statement.query_row(params![series, SINGLE_VALUE_ITER], point).optional()?)
}

/// Reads the columns `iter, timestamp, value`.
pub(super) fn point(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawPoint> {
    Ok(RawPoint { iter: row.get(0)?, timestamp: row.get(1)?, value: row.get(2)? })
}
