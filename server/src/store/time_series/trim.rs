//! Forgets what is older than the retention, in steps so small that no other write waits for long.

use std::time::Duration;

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::time::MissedTickBehavior;

use crate::store::{Store, StoreResult, Tx, workers};
use crate::time::{self, Micros};

/// Rows that one transaction removes at most.
const ROWS_PER_STEP: i64 = 2_000;

/// How often it is looked for something to forget.
const TRIM_EVERY: Duration = Duration::from_secs(600);

/// Forgets what is older than `retention`, for ever: states of queues, reports and properties of workers, workers that
/// are gone. To be spawned once; it may be dropped at any time, the next one goes on where it was.
pub(crate) async fn trimmer(store: Store, retention: Duration) {
    let mut timer = tokio::time::interval(TRIM_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Err(error) = trim(&store, time::now(), retention).await {
            tracing::warn!(%error, "old statistics could not be removed from the database; tried again later");
        }
    }
}

/// Forgets what is older than `retention` at `now`.
pub(super) async fn trim(store: &Store, now: Micros, retention: Duration) -> Result<(), ApiError> {
    let before = now.saturating_sub(i64::try_from(retention.as_micros()).unwrap_or(i64::MAX));
    for series in store.read(move |connection| with_old_states(connection, before / 1000)).await? {
        while store.write(move |tx| trim_states(tx, series, before / 1000)).await? {}
    }
    for reporter in store.read(move |connection| with_old_reports(connection, before / 1000)).await? {
        while store.write(move |tx| trim_reports(tx, reporter, before / 1000)).await? {}
    }
    while store.write(move |tx| workers::forget_properties(tx, now, before, ROWS_PER_STEP)).await? {}
    while store.write(move |tx| workers::forget_expired(tx, now, ROWS_PER_STEP)).await? {}
    Ok(())
}

/// The series with more than one state before `before`; the last of these still says how the queue is.
fn with_old_states(connection: &Connection, before: i64) -> StoreResult<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT key FROM queue_series s WHERE EXISTS
            (SELECT 1 FROM queue_states WHERE series = s.key AND second < ?1 ORDER BY second DESC LIMIT 1 OFFSET 1)
         OR (NOT EXISTS (SELECT 1 FROM queues WHERE id = s.queue)
             AND NOT EXISTS (SELECT 1 FROM queue_states WHERE series = s.key AND second >= ?1))",
    )?;
    let series = statement.query_map([before.div_euclid(1000)], |row| row.get(0))?;
    Ok(series.collect::<Result<_, _>>()?)
}

/// Removes some states of a series, all but the last one before `before`; and the whole series of a queue that was
/// deleted before. Returns whether there is more to remove.
fn trim_states(tx: &Tx<'_>, series: i64, before: i64) -> StoreResult<bool> {
    let kept: Option<i64> = tx
        .prepare_cached("SELECT max(second) FROM queue_states WHERE series = ? AND second < ?")?
        .query_row(params![series, before.div_euclid(1000)], |row| row.get(0))?;
    if let Some(kept) = kept {
        let last: Option<i64> = tx
            .prepare_cached(
                "SELECT second FROM queue_states WHERE series = ? AND second < ? ORDER BY second LIMIT 1 OFFSET ?",
            )?
            .query_row(params![series, kept, ROWS_PER_STEP], |row| row.get(0))
            .optional()?;
        tx.prepare_cached("DELETE FROM queue_states WHERE series = ? AND second < ?")?
            .execute(params![series, last.unwrap_or(kept)])?;
        if last.is_some() {
            return Ok(true);
        }
    }
    let is_over = tx
        .prepare_cached(
            "DELETE FROM queue_series WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM queues WHERE id = queue)
             AND NOT EXISTS (SELECT 1 FROM queue_states WHERE series = ?1 AND second >= ?2)",
        )?
        .execute(params![series, before.div_euclid(1000)])?;
    if is_over > 0 {
        tx.prepare_cached("DELETE FROM queue_states WHERE series = ?")?.execute([series])?;
    }
    Ok(false)
}

/// Workers with reports from before `before`, and those of which no report is left.
fn with_old_reports(connection: &Connection, before: i64) -> StoreResult<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT key FROM reporters r WHERE coalesce((SELECT min(at) FROM worker_reports WHERE reporter = r.key), 0) < ?",
    )?;
    let reporters = statement.query_map([before], |row| row.get(0))?;
    Ok(reporters.collect::<Result<_, _>>()?)
}

/// Removes some reports from before `before`, and the worker with the last of them. Returns whether there is more.
fn trim_reports(tx: &Tx<'_>, reporter: i64, before: i64) -> StoreResult<bool> {
    let last: Option<i64> = tx
        .prepare_cached("SELECT at FROM worker_reports WHERE reporter = ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?")?
        .query_row(params![reporter, before, ROWS_PER_STEP], |row| row.get(0))
        .optional()?;
    tx.prepare_cached("DELETE FROM worker_reports WHERE reporter = ? AND at < ?")?
        .execute(params![reporter, last.unwrap_or(before)])?;
    tx.prepare_cached(
        "DELETE FROM reporters WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM worker_reports WHERE reporter = ?1)",
    )?
    .execute([reporter])?;
    Ok(last.is_some())
}
