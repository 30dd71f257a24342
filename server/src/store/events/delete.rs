//! Deletes events: they are invisible at once, their rows go in small steps.

use rusqlite::{Connection, OptionalExtension, params};

use super::series::{Owner, owner_of};
use crate::store::{Store, StoreResult};

/// Rows that one transaction removes at most, so that other writes wait for milliseconds only.
pub(super) const ROWS_PER_STEP: i64 = 5_000;

/// Deletes all events of a task or model and returns how many there were.
///
/// A few are removed in this transaction; many are only detached, and the [`housekeeper`](mod@super::housekeeper) removes their rows later.
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

/// Which console lines to remove, and how far that is.
#[derive(Clone, Debug)]
pub(crate) struct ClearLog {
    /// Lines older than this, in milliseconds since the epoch.
    pub(crate) before: i64,
    /// Lines of these metrics only; empty: of all.
    pub(crate) include: Vec<String>,
    /// No lines of these metrics.
    pub(crate) exclude: Vec<String>,
    /// The last line that was looked at.
    pub(crate) after: (i64, i64),
}

impl ClearLog {
    fn takes(&self, metric: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == metric);
        (self.include.is_empty() || named(&self.include)) && !named(&self.exclude)
    }
}

/// Looks at some more console lines of an owner, the oldest first, and removes those that `clear` takes. Returns how many
/// went, or `None` when there was nothing left to look at.
pub(crate) fn clear_log_step(connection: &Connection, owner: Owner, clear: &mut ClearLog) -> StoreResult<Option<u64>> {
    let mut select = connection.prepare_cached(
        "SELECT id, timestamp, length(CAST(message AS BLOB)), CAST(coalesce(json_extract(extra, '$.metric'), '') AS TEXT) \
         FROM console_lines WHERE owner = ?1 AND (timestamp, id) > (?2, ?3) AND timestamp < ?4 \
         ORDER BY timestamp, id LIMIT ?5",
    )?;
    let mut rows = select.query(params![owner.key, clear.after.0, clear.after.1, clear.before, ROWS_PER_STEP])?;
    let (mut ids, mut bytes, mut is_over) = (Vec::new(), 0_i64, true);
    while let Some(row) = rows.next()? {
        is_over = false;
        let id: i64 = row.get(0)?;
        clear.after = (row.get(1)?, id);
        let metric: String = row.get(3)?;
        if clear.takes(&metric) {
            bytes += row.get::<_, i64>(2)?;
            ids.push(id);
        }
    }
    drop(rows);
    if is_over {
        return Ok(None);
    }
    let mut delete = connection.prepare_cached("DELETE FROM console_lines WHERE id = ?1")?;
    for id in &ids {
        delete.execute([id])?;
    }
    connection
        .prepare_cached(
            "UPDATE event_owners SET log_lines = log_lines - ?2, log_bytes = log_bytes - ?3 WHERE key = ?1",
        )?
        .execute(params![owner.key, ids.len() as i64, bytes])?;
    Ok(Some(ids.len() as u64))
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
