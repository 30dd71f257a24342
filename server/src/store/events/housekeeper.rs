//! What is done to events in the background, in small steps, so that no other write waits for it: the rows of deleted
//! tasks go, and what is too old or, after a limit was lowered, too much.

use std::time::Duration;

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension, params};

use super::delete::{ROWS_PER_STEP, purge_deleted};
use super::limits::{remove_payloads, remove_points, signed, trim_log, trim_old_lines, trim_series};
use super::model::{Kind, SINGLE_VALUE_ITER};
use super::packs;
use super::series::SeriesRow;
use crate::config::EventLimits;
use crate::store::{Store, StoreResult};
use crate::time;

/// How often deleted events are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(20);

/// How often what is too old or too much is looked for, in units of [`PURGE_EVERY`].
const SWEEP_EVERY: u32 = 90;

/// Packs that one transaction makes at most.
const PACKS_PER_STEP: usize = 16;

/// Looks after the events, for ever. To be spawned once; it may be dropped at any time, the next one goes on where it
/// was.
pub(crate) async fn housekeeper(store: Store, limits: EventLimits) {
    let mut timer = tokio::time::interval(PURGE_EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u32.. {
        timer.tick().await;
        let mut outcome = purge_deleted(&store).await;
        if round == 0 {
            outcome = outcome.and(pack_left_over(&store).await);
        }
        if round % SWEEP_EVERY == 0 {
            outcome = outcome.and(sweep(&store, limits, time::now() / 1000).await);
        }
        if let Err(error) = outcome {
            tracing::warn!(%error, "events could not be removed from the database; tried again later");
        }
    }
}

/// Packs the curves of a database that an earlier version wrote.
pub(super) async fn pack_left_over(store: &Store) -> Result<(), ApiError> {
    let mut after = i64::MIN;
    while let Some(key) = store.read(move |connection| next_loose(connection, after)).await? {
        after = key;
        while !store.write(move |tx| pack_step(tx, key)).await? {}
    }
    Ok(())
}

fn next_loose(connection: &Connection, after: i64) -> StoreResult<Option<i64>> {
    let mut select = connection.prepare_cached(
        "SELECT key FROM event_series WHERE key > ?1 AND kind = ?2 AND events - packed >= ?3 ORDER BY key LIMIT 1",
    )?;
    Ok(select.query_row(params![after, Kind::Scalar.code(), packs::LOOSE_POINTS], |row| row.get(0)).optional()?)
}

fn pack_step(connection: &Connection, key: i64) -> StoreResult<bool> {
    let Some(mut series) = by_key(connection, key)? else { return Ok(true) };
    let done = packs::seal(connection, &mut series, PACKS_PER_STEP)?;
    series.save(connection)?;
    Ok(done)
}

fn by_key(connection: &Connection, key: i64) -> StoreResult<Option<SeriesRow>> {
    let mut select = connection.prepare_cached(&SeriesRow::sql("WHERE s.key = ?1"))?;
    let mut rows = select.query([key])?;
    rows.next()?.map(SeriesRow::read).transpose()
}

/// Removes what is too old or too much at `now` (milliseconds since the epoch). What is published stays.
pub(super) async fn sweep(store: &Store, limits: EventLimits, now: i64) -> Result<(), ApiError> {
    let before = |age: Option<Duration>| {
        age.map_or(i64::MIN, |age| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
    };
    let (lines_before, series_before) = (before(limits.log_age), before(limits.series_age));
    let mut after = i64::MIN;
    while let Some(key) = store.read(move |connection| next_log(connection, after, lines_before, &limits)).await? {
        after = key;
        while store
            .write(move |tx| {
                let old = trim_old_lines(tx, key, lines_before, ROWS_PER_STEP)?;
                Ok(old + trim_log(tx, key, &limits, ROWS_PER_STEP - old)?)
            })
            .await?
            > 0
        {}
    }
    let mut after = i64::MIN;
    while let Some(key) = store.read(move |connection| next_series(connection, after, series_before, &limits)).await? {
        after = key;
        while store.write(move |tx| series_step(tx, key, series_before, &limits)).await? > 0 {}
    }
    Ok(())
}

/// Owners `o` that are not published.
const NOT_PUBLISHED: &str = "o.owner IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = o.owner AND t.status IN ('published', 'publishing')) \
     AND NOT EXISTS (SELECT 1 FROM models m WHERE m.id = o.owner AND m.ready)";

fn next_log(connection: &Connection, after: i64, before: i64, limits: &EventLimits) -> StoreResult<Option<i64>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT o.key FROM event_owners o WHERE o.key > ?1 AND {NOT_PUBLISHED} AND \
         ((o.log_lines > ?3 OR o.log_bytes > ?4) AND o.log_lines > 1 \
          OR EXISTS (SELECT 1 FROM console_lines l WHERE l.owner = o.key AND l.timestamp < ?2)) \
         ORDER BY o.key LIMIT 1"
    ))?;
    let values = params![after, before, signed(limits.log_lines), signed(limits.log_bytes)];
    Ok(select.query_row(values, |row| row.get(0)).optional()?)
}

fn next_series(connection: &Connection, after: i64, before: i64, limits: &EventLimits) -> StoreResult<Option<i64>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT s.key FROM event_series s JOIN event_owners o ON o.key = s.owner WHERE s.key > ?1 AND s.events > 0 AND \
         (s.last_timestamp < ?2 OR (s.events > ?3 OR s.bytes > ?4) AND s.events > 1) AND {NOT_PUBLISHED} \
         ORDER BY s.key LIMIT 1"
    ))?;
    let values = params![after, before, signed(limits.series_events), signed(limits.series_bytes)];
    Ok(select.query_row(values, |row| row.get(0)).optional()?)
}

/// Removes some events of a series that is too old or too large. Its summary stays: a task shows its last values.
fn series_step(connection: &Connection, key: i64, before: i64, limits: &EventLimits) -> StoreResult<i64> {
    let Some(mut series) = by_key(connection, key)? else { return Ok(0) };
    let gone = if series.last_timestamp >= before {
        trim_series(connection, &mut series, limits, ROWS_PER_STEP)?
    } else if series.kind == Kind::Scalar {
        remove_all_points(connection, &mut series)?
    } else {
        remove_payloads(connection, &mut series, (0, 0), ROWS_PER_STEP)?
    };
    series.save(connection)?;
    Ok(gone)
}

fn remove_all_points(connection: &Connection, series: &mut SeriesRow) -> StoreResult<i64> {
    let gone = remove_points(connection, series, ROWS_PER_STEP)?;
    if gone > 0 {
        return Ok(gone);
    }
    let single = connection
        .prepare_cached("DELETE FROM scalar_points WHERE series = ?1 AND iter = ?2")?
        .execute(params![series.key, SINGLE_VALUE_ITER])? as i64;
    series.events -= single;
    Ok(single)
}
