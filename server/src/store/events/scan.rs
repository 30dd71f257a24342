//! Reads the events of one series, whatever table they are in.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::json::{Content, Stored};
use super::model::Kind;
use super::series::SeriesRow;
use crate::store::StoreResult;

/// Where to begin in a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// With its first event in the direction of reading.
    Start,
    /// With this iteration.
    At(i64),
    /// After all events of this iteration.
    Beyond(i64),
    /// After the image of this iteration and key.
    AfterImage(i64, String),
}

/// SELECT of the events `e` of series `?1`; its columns are what [`read`] takes.
fn select(kind: Kind) -> &'static str {
    match kind {
        Kind::Scalar => {
            "SELECT e.iter, e.timestamp, s.worker, e.extra, e.value \
             FROM scalar_points e JOIN event_sources s ON s.key = e.source WHERE e.series = ?1"
        }
        Kind::Vector | Kind::Plot => {
            "SELECT e.iter, e.timestamp, s.worker, e.extra, e.payload \
             FROM payload_events e JOIN event_sources s ON s.key = e.source WHERE e.series = ?1"
        }
        Kind::Image => {
            "SELECT e.iter, e.timestamp, s.worker, e.extra, e.url, e.image_key \
             FROM image_events e JOIN event_sources s ON s.key = e.source WHERE e.series = ?1"
        }
    }
}

fn read(kind: Kind, row: &Row<'_>) -> rusqlite::Result<Stored> {
    let content = match kind {
        Kind::Scalar => Content::Number(row.get(4)?),
        Kind::Vector | Kind::Plot => Content::Text(row.get(4)?),
        Kind::Image => Content::Image { url: row.get(4)?, key: row.get(5)? },
    };
    Ok(Stored { iter: row.get(0)?, timestamp: row.get(1)?, worker: row.get(2)?, extra: row.get(3)?, content })
}

/// At most `limit` events of the series, in the order of their iterations, or against it with `descending`.
pub(super) fn events(
    connection: &Connection,
    series: &SeriesRow,
    from: &From,
    descending: bool,
    limit: usize,
) -> StoreResult<Vec<Stored>> {
    let (sign, order) = if descending { ("<", "DESC") } else { (">", "ASC") };
    let mut values = vec![Value::Integer(series.key)];
    let condition = match from {
        From::Start => String::new(),
        From::At(iter) | From::Beyond(iter) => {
            values.push(Value::Integer(*iter));
            let sign = if matches!(from, From::At(_)) { format!("{sign}=") } else { sign.to_owned() };
            format!(" AND e.iter {sign} ?")
        }
        From::AfterImage(iter, key) => {
            values.extend([Value::Integer(*iter), Value::Text(key.clone())]);
            format!(" AND (e.iter, e.image_key) {sign} (?, ?)")
        }
    };
    let by_key = if series.kind == Kind::Image { format!(", e.image_key {order}") } else { String::new() };
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!("{}{condition} ORDER BY e.iter {order}{by_key} LIMIT ?", select(series.kind));
    let mut statement = connection.prepare_cached(&sql)?;
    let events = statement.query_map(params_from_iter(values), |row| read(series.kind, row))?;
    Ok(events.collect::<Result<_, _>>()?)
}

/// The latest `count` iterations of the series that lie in `range`, or the earliest ones without `latest`. Images
/// whose file a later iteration has overwritten do not count.
pub(super) fn iterations(
    connection: &Connection,
    series: &SeriesRow,
    (low, high): (i64, i64),
    latest: bool,
    count: usize,
) -> StoreResult<Vec<i64>> {
    let order = if latest { "DESC" } else { "ASC" };
    let (table, condition) = table_of(series.kind);
    let sql = format!(
        "SELECT DISTINCT e.iter FROM {table} e WHERE e.series = ?1 AND e.iter BETWEEN ?2 AND ?3{condition} \
         ORDER BY e.iter {order} LIMIT ?4"
    );
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let iterations = statement.query_map(params![series.key, low, high, count], |row| row.get(0))?;
    Ok(iterations.collect::<Result<_, _>>()?)
}

/// The events of one iteration, without images whose file a later iteration has overwritten.
pub(super) fn at_iteration(connection: &Connection, series: &SeriesRow, iter: i64) -> StoreResult<Vec<Stored>> {
    let (_, condition) = table_of(series.kind);
    let sql = format!("{} AND e.iter = ?2{condition}", select(series.kind));
    let mut statement = connection.prepare_cached(&sql)?;
    let events = statement.query_map(params![series.key, iter], |row| read(series.kind, row))?;
    Ok(events.collect::<Result<_, _>>()?)
}

/// The table of a kind, and the condition of rows that are still worth showing.
fn table_of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Scalar => ("scalar_points", ""),
        Kind::Vector | Kind::Plot => ("payload_events", ""),
        Kind::Image => (
            "image_events",
            " AND NOT EXISTS (SELECT 1 FROM image_events later \
             WHERE later.series = e.series AND later.url = e.url AND later.iter > e.iter)",
        ),
    }
}
