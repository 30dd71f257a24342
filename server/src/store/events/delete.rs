//! Deletes events: they are invisible at once, their rows go in small steps.

use rusqlite::{Connection, OptionalExtension, params};

use super::series::{Owner, owner_of};
use crate::store::{Store, StoreResult};

/// Rows that one transaction removes at most, so that other writes wait for milliseconds only.
pub(super) const ROWS_PER_STEP: i64 = 5_000;

/// Deletes all events of a task or model and returns how many there were.
///
/// A few are removed in this transaction; many are only detached, and the [`housekeeper`](super::housekeeper) removes their rows later.
pub(crate) fn delete_owner(connection: &Connection, id: &str) -> StoreResult<u64> {
    let Some(owner) = owner_of(connection, id)? else { return Ok(0) };
    let stored: i64 = connection
        .prepare_cached("SELECT coalesce(sum(events), 0) FROM event_series WHERE owner = ?1")?
        .query_row([owner.key], |row| row.get(0))?;
    let events = stored + owner.log_lines;
    connection.prepare_cached("UPDATE event_owners SET owner = NULL WHERE key = ?1")?.execute([owner.key])?;
    if events <= ROWS_PER_STEP {
        while !purge_owner_step(connection, owner.key)? {}
    }
    Ok(u64::try_from(events).unwrap_or(0))
}

/// Deletes all events of these tasks, as [`delete_owner`] does, and returns how many there were.
pub(crate) fn delete_for_tasks(connection: &Connection, ids: &[String]) -> StoreResult<u64> {
    ids.iter().try_fold(0, |events, id| Ok(events + delete_owner(connection, id)?))
}

/// Removes the oldest console lines of an owner that are older than `before` (milliseconds since the epoch), at most one
/// step of them. Returns how many; to be called again until that is 0.
pub(crate) fn clear_log_step(connection: &Connection, owner: Owner, before: i64) -> StoreResult<u64> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM console_lines WHERE id IN \
         (SELECT id FROM console_lines WHERE owner = ?1 AND timestamp < ?2 ORDER BY timestamp, id LIMIT ?3) \
         RETURNING length(CAST(message AS BLOB))",
    )?;
    let mut rows = delete.query(params![owner.key, before, ROWS_PER_STEP])?;
    let (mut lines, mut bytes) = (0_i64, 0_i64);
    while let Some(row) = rows.next()? {
        lines += 1;
        bytes += row.get::<_, i64>(0)?;
    }
    connection
        .prepare_cached(
            "UPDATE event_owners SET log_lines = log_lines - ?2, log_bytes = log_bytes - ?3 WHERE key = ?1",
        )?
        .execute(params![owner.key, lines, bytes])?;
    Ok(u64::try_from(lines).unwrap_or(0))
}

/// Removes the rows of deleted events until none is left.
pub(super) async fn purge_deleted(store: &Store) -> Result<(), protocols::clearml::error::ApiError> {
    while let Some(key) = store.read(next_deleted).await? {
        while !store.write(move |tx| purge_owner_step(tx, key)).await? {}
    }
    Ok(())
}

/// One step of the removal of rows of deleted events; returns whether none is left.
pub(crate) fn purge_step(connection: &Connection) -> StoreResult<bool> {
    let Some(key) = next_deleted(connection)? else { return Ok(true) };
    purge_owner_step(connection, key)?;
    Ok(false)
}

fn next_deleted(connection: &Connection) -> StoreResult<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT key FROM event_owners WHERE owner IS NULL LIMIT 1")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

const PURGE_PACKS: &str =
    "DELETE FROM scalar_packs WHERE key IN (SELECT key FROM scalar_packs WHERE series = ?1 LIMIT ?2)";

/// Removes some rows of a deleted owner; returns whether nothing is left of it.
fn purge_owner_step(connection: &Connection, owner: i64) -> StoreResult<bool> {
    let mut room = ROWS_PER_STEP;
    let lines = "DELETE FROM console_lines WHERE id IN (SELECT id FROM console_lines WHERE owner = ?1 LIMIT ?2)";
    room -= execute(connection, lines, owner, room)?;
    while room > 0 {
        let series: Option<i64> = connection
            .prepare_cached("SELECT key FROM event_series WHERE owner = ?1 LIMIT 1")?
            .query_row([owner], |row| row.get(0))
            .optional()?;
        let Some(series) = series else {
            connection.prepare_cached("DELETE FROM event_owners WHERE key = ?1")?.execute([owner])?;
            return Ok(true);
        };
        // A pack is as much work as some rows.
        room -= 8 * execute(connection, PURGE_PACKS, series, (room + 7) / 8)?;
        if room <= 0 {
            break;
        }
        for delete in [
            "DELETE FROM scalar_points WHERE series = ?1 AND iter IN \
             (SELECT iter FROM scalar_points WHERE series = ?1 LIMIT ?2)",
            "DELETE FROM payload_events WHERE id IN (SELECT id FROM payload_events WHERE series = ?1 LIMIT ?2)",
            "DELETE FROM image_events WHERE id IN (SELECT id FROM image_events WHERE series = ?1 LIMIT ?2)",
        ] {
            room -= execute(connection, delete, series, room)?;
        }
        if room > 0 {
            connection.prepare_cached("DELETE FROM event_series WHERE key = ?1")?.execute([series])?;
            room -= 1;
        }
    }
    Ok(false)
}

fn execute(connection: &Connection, sql: &str, key: i64, room: i64) -> StoreResult<i64> {
    let removed = connection.prepare_cached(sql)?.execute(params![key, room])?;
    Ok(i64::try_from(removed).unwrap_or(room))
}
