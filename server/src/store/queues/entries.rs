//! What waits in the queues. Every function is one step of the caller's transaction.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::{StoreResult, Tx};
use crate::signals::Change;
use crate::store::shared::Shared;
use crate::store::time_series::Shift;
use crate::time::{self, Micros};

/// One task in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Id of the task; there need not be such a task.
    pub(crate) task: String,
    /// When it was added.
    pub(crate) added: Micros,
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { task: row.get(0)?, added: row.get(1)? })
}

/// All entries, the next one first.
pub(super) fn list(connection: &Connection, queue: &str) -> StoreResult<Vec<Entry>> {
    let mut statement =
        connection.prepare_cached("SELECT task, added FROM queue_entries WHERE queue = ? ORDER BY position")?;
    let entries = statement.query_map([queue], entry)?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// The next entry.
pub(crate) fn head(connection: &Connection, queue: &str) -> StoreResult<Option<Entry>> {
    let mut statement =
        connection.prepare_cached("SELECT task, added FROM queue_entries WHERE queue = ? ORDER BY position LIMIT 1")?;
    Ok(statement.query_row([queue], entry).optional()?)
}

/// How many entries there are.
pub(crate) fn entry_count(connection: &Connection, queue: &str) -> StoreResult<i64> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM queue_entries WHERE queue = ?")?;
    Ok(statement.query_row([queue], |row| row.get(0))?)
}

/// Takes the next entry; when `expected` is given, only if it is that task's.
pub(crate) fn pop(tx: &Tx<'_>, queue: &str, expected: Option<&str>) -> StoreResult<Option<Entry>> {
    let mut statement =
        tx.prepare_cached("SELECT task, added, rowid FROM queue_entries WHERE queue = ? ORDER BY position LIMIT 1")?;
    let next: Option<(Entry, i64)> = statement.query_row([queue], |row| Ok((entry(row)?, row.get(2)?))).optional()?;
    let Some((next, row)) = next else { return Ok(None) };
    if expected.is_some_and(|task| task != next.task) {
        return Ok(None);
    }
    tx.prepare_cached("DELETE FROM queue_entries WHERE rowid = ?")?.execute([row])?;
    changed(tx, queue, Shift::Gone(next.added));
    Ok(Some(next))
}

/// Adds a task at the end.
pub(crate) fn add(tx: &Tx<'_>, queue: &str, task: &str) -> StoreResult<()> {
    let now = time::now();
    let added = tx
        .prepare_cached(
            "INSERT INTO queue_entries (queue, position, task, added)
             VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM queue_entries WHERE queue = ?1), ?2, ?3)
             ON CONFLICT (queue, task) DO NOTHING",
        )?
        .execute(params![queue, task, now])?;
    if added == 0 {
        return Err(ApiError::task_already_queued("", &[("task", &task)]).into());
    }
    changed(tx, queue, Shift::Came(now));
    tx.changed(Change::Queue(queue.to_owned()));
    Ok(())
}

/// Takes a task out; returns whether it was there.
pub(crate) fn remove(tx: &Tx<'_>, queue: &str, task: &str) -> StoreResult<bool> {
    let mut statement = tx.prepare_cached("DELETE FROM queue_entries WHERE queue = ? AND task = ? RETURNING added")?;
    let removed: Option<Micros> = statement.query_row([queue, task], |row| row.get(0)).optional()?;
    if let Some(added) = removed {
        changed(tx, queue, Shift::Gone(added));
    }
    Ok(removed.is_some())
}

/// Takes a task out of every queue; returns how many held it.
pub(crate) fn remove_from_all(tx: &Tx<'_>, task: &str) -> StoreResult<usize> {
    remove_from_others(tx, "", task)
}

/// Takes a task out of every queue but `queue`; returns how many held it.
pub(crate) fn remove_from_others(tx: &Tx<'_>, queue: &str, task: &str) -> StoreResult<usize> {
    // Most tasks are in no other queue, and to look is cheaper than to delete nothing.
    if !tx.prepare_cached("SELECT 1 FROM queue_entries WHERE task = ? AND queue != ?")?.exists([task, queue])? {
        return Ok(0);
    }
    let mut statement =
        tx.prepare_cached("DELETE FROM queue_entries WHERE task = ? AND queue != ? RETURNING queue, added")?;
    let removed = statement.query_map([task, queue], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let removed: Vec<(String, Micros)> = removed.collect::<Result<_, _>>()?;
    for (queue, added) in &removed {
        changed(tx, queue, Shift::Gone(*added));
    }
    Ok(removed.len())
}

/// Takes everything out; returns the tasks, the next one first.
pub(crate) fn clear(tx: &Tx<'_>, queue: &str) -> StoreResult<Vec<String>> {
    let tasks = list(tx, queue)?.into_iter().map(|entry| entry.task).collect();
    tx.prepare_cached("DELETE FROM queue_entries WHERE queue = ?")?.execute([queue])?;
    changed(tx, queue, Shift::Empty);
    Ok(tasks)
}

/// Moves a task by `offset` places, towards the front when negative, and clamps at the ends; returns its new
/// place, counted from 0.
pub(crate) fn move_entry(tx: &Tx<'_>, queue: &str, task: &str, offset: i64) -> StoreResult<i64> {
    let mut statement =
        tx.prepare_cached("SELECT rowid, position, task FROM queue_entries WHERE queue = ? ORDER BY position")?;
    let rows = statement.query_map([queue], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(i64, i64, String)> = rows.collect::<Result<_, _>>()?;
    let from = rows
        .iter()
        .position(|(_, _, other)| other == task)
        .ok_or_else(|| ApiError::task_not_queued("", &[("task", &task), ("queue", &queue)]))?;
    let last = rows.len() as i64 - 1;
    let to = (from as i64).saturating_add(offset).clamp(0, last) as usize;
    // The entries between shift by one place: the positions stay, their owners change.
    let span = from.min(to)..=from.max(to);
    let mut owners: Vec<i64> = rows[span.clone()].iter().map(|(row, ..)| *row).collect();
    if from < to {
        owners.rotate_left(1);
    } else {
        owners.rotate_right(1);
    }
    let mut update = tx.prepare_cached("UPDATE queue_entries SET position = ? WHERE rowid = ?")?;
    for ((_, position, _), owner) in rows[span].iter().zip(owners) {
        update.execute(params![position, owner])?;
    }
    if to == 0 {
        tx.changed(Change::Queue(queue.to_owned()));
    }
    Ok(to as i64)
}

/// Notes that the entries of a queue changed.
fn changed(tx: &Tx<'_>, queue: &str, shift: Shift) {
    tx.at_commit(Shared::Queue { id: queue.to_owned(), shift, now: time::now() });
}
