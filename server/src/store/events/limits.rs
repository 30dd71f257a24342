//! How much a task may keep, and the removal of what is too much: the oldest goes, so that a task that reports too
//! much goes on and shows its newest lines and points.

use rusqlite::{Connection, params};

use super::model::{Kind, SINGLE_VALUE_ITER};
use super::packs;
use super::series::SeriesRow;
use crate::config::EventLimits;
use crate::store::StoreResult;

/// Removes console lines of an owner that are too many or too large in all, the oldest first, at most `at_most` of
/// them. The last line stays whatever its size. Returns how many went.
pub(super) fn trim_log(connection: &Connection, owner: i64, limits: &EventLimits, at_most: i64) -> StoreResult<i64> {
    let (lines, bytes): (i64, i64) = connection
        .prepare_cached("SELECT log_lines, log_bytes FROM event_owners WHERE key = ?1")?
        .query_row([owner], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (most_lines, most_bytes) = (signed(limits.log_lines), signed(limits.log_bytes));
    if lines <= most_lines && bytes <= most_bytes {
        return Ok(0);
    }
    let mut oldest = connection.prepare_cached(
        "SELECT id, length(CAST(message AS BLOB)) FROM console_lines WHERE owner = ?1 ORDER BY timestamp, id LIMIT ?2",
    )?;
    let mut delete = connection.prepare_cached("DELETE FROM console_lines WHERE id = ?1")?;
    let (mut gone, mut gone_bytes) = (0, 0);
    let mut rows = oldest.query(params![owner, at_most.min(lines - 1)])?;
    let mut ids = Vec::new();
    while (lines - gone > most_lines || bytes - gone_bytes > most_bytes)
        && let Some(row) = rows.next()?
    {
        ids.push(row.get::<_, i64>(0)?);
        gone_bytes += row.get::<_, i64>(1)?;
        gone += 1;
    }
    drop(rows);
    for id in ids {
        delete.execute([id])?;
    }
    note_trimmed(connection, owner, gone, gone_bytes)?;
    Ok(gone)
}

/// Removes console lines of an owner that are older than `before`, at most `at_most` of them. Returns how many went.
pub(super) fn trim_old_lines(connection: &Connection, owner: i64, before: i64, at_most: i64) -> StoreResult<i64> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM console_lines WHERE id IN \
         (SELECT id FROM console_lines WHERE owner = ?1 AND timestamp < ?2 ORDER BY timestamp, id LIMIT ?3) \
         RETURNING length(CAST(message AS BLOB))",
    )?;
    let bytes = delete.query_map(params![owner, before, at_most], |row| row.get(0))?;
    let bytes: Vec<i64> = bytes.collect::<Result<_, _>>()?;
    note_trimmed(connection, owner, bytes.len() as i64, bytes.iter().sum())?;
    Ok(bytes.len() as i64)
}

fn note_trimmed(connection: &Connection, owner: i64, lines: i64, bytes: i64) -> StoreResult<()> {
    connection
        .prepare_cached(
            "UPDATE event_owners SET log_lines = log_lines - ?2, log_bytes = log_bytes - ?3, \
             trimmed_lines = trimmed_lines + ?2 WHERE key = ?1",
        )?
        .execute(params![owner, lines, bytes])?;
    Ok(())
}

/// Removes events of a series that are too many or too large in all, those of the lowest iterations first, at most
/// `at_most` of them. The row of the series is left to the caller to store. Returns how many went.
pub(super) fn trim_series(
    connection: &Connection,
    series: &mut SeriesRow,
    limits: &EventLimits,
    at_most: i64,
) -> StoreResult<i64> {
    let (most, most_bytes) = (signed(limits.series_events), signed(limits.series_bytes));
    if series.events <= most && series.bytes <= most_bytes {
        return Ok(0);
    }
    // A little more than must be, so that this is not the work of every batch.
    let spare = |most: i64| most - (most / 64).min(512);
    match series.kind {
        Kind::Scalar => remove_points(connection, series, (series.events - spare(most)).min(at_most)),
        Kind::Vector | Kind::Plot | Kind::Image => {
            remove_payloads(connection, series, (spare(most).max(1), spare(most_bytes)), at_most)
        }
    }
}

/// Removes the `count` points of the lowest iterations; a single value stays.
pub(super) fn remove_points(connection: &Connection, series: &mut SeriesRow, count: i64) -> StoreResult<i64> {
    let mut select = connection.prepare_cached(
        "SELECT max(iter) FROM (SELECT iter FROM scalar_points WHERE series = ?1 AND iter <> ?2 ORDER BY iter LIMIT ?3)",
    )?;
    let last: Option<i64> = select.query_row(params![series.key, SINGLE_VALUE_ITER, count], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let gone = connection
        .prepare_cached("DELETE FROM scalar_points WHERE series = ?1 AND iter <= ?2 AND iter <> ?3")?
        .execute(params![series.key, last, SINGLE_VALUE_ITER])? as i64;
    packs::cut(connection, series, last)?;
    series.events -= gone;
    let low: Option<i64> = connection
        .prepare_cached("SELECT min(iter) FROM scalar_points WHERE series = ?1 AND iter > ?2 AND iter <> ?3")?
        .query_row(params![series.key, last, SINGLE_VALUE_ITER], |row| row.get(0))?;
    series.iters = low.zip(series.iters).map(|(low, (_, high))| (low, high));
    Ok(gone)
}

/// Removes plots, vectors or images of the lowest iterations until at most `most` events with `most_bytes` bytes are
/// left; the last one stays whatever its size.
pub(super) fn remove_payloads(
    connection: &Connection,
    series: &mut SeriesRow,
    (most, most_bytes): (i64, i64),
    at_most: i64,
) -> StoreResult<i64> {
    let (table, content) = match series.kind {
        Kind::Image => ("image_events", "url"),
        Kind::Scalar | Kind::Vector | Kind::Plot => ("payload_events", "payload"),
    };
    let mut oldest = connection.prepare_cached(&format!(
        "SELECT id, length(CAST({content} AS BLOB)) FROM {table} WHERE series = ?1 ORDER BY iter LIMIT ?2"
    ))?;
    let mut rows = oldest.query(params![series.key, at_most])?;
    let mut ids = Vec::new();
    while (series.events > most || series.bytes > most_bytes)
        && (most == 0 || series.events > 1)
        && let Some(row) = rows.next()?
    {
        ids.push(row.get::<_, i64>(0)?);
        series.bytes -= row.get::<_, i64>(1)?;
        series.events -= 1;
    }
    drop(rows);
    let mut delete = connection.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?;
    for id in &ids {
        delete.execute([id])?;
    }
    let low: Option<i64> = connection
        .prepare_cached(&format!("SELECT min(iter) FROM {table} WHERE series = ?1 AND iter <> ?2"))?
        .query_row(params![series.key, SINGLE_VALUE_ITER], |row| row.get(0))?;
    series.iters = low.zip(series.iters).map(|(low, (_, high))| (low, high));
    Ok(ids.len() as i64)
}

/// A limit as the database counts.
pub(super) fn signed(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
