//! Removes what nobody needs any more, in transactions so small that a server beside them hardly waits.

use std::collections::HashSet;

use rusqlite::{Connection, TransactionBehavior, params};

use super::{StoreResult, events};
use crate::time::Micros;

/// Pages that are given back to the file system in one step.
const PAGES_PER_STEP: i64 = 2_000;

/// Digits of an id.
const ID_LENGTH: usize = 32;

/// A task that has ended and still has its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedTask {
    /// Its id.
    pub(crate) id: String,
    /// When it was last heard of.
    pub(crate) last_update: Micros,
}

/// A database that is being cleaned up.
#[derive(Debug)]
pub(crate) struct Pruning<'connection> {
    connection: &'connection mut Connection,
}

impl<'connection> Pruning<'connection> {
    pub(super) fn new(connection: &'connection mut Connection) -> Self {
        Self { connection }
    }

    /// Tasks with events that have ended and are not published, the one that ended first in front.
    pub(crate) fn ended_tasks(&self) -> StoreResult<Vec<EndedTask>> {
        let mut statement = self.connection.prepare(
            "SELECT t.id, t.last_update FROM event_owners o JOIN tasks t ON t.id = o.owner
             WHERE NOT o.is_model AND t.status IN ('stopped', 'closed', 'failed', 'completed')
             ORDER BY t.last_update, t.id",
        )?;
        let tasks = statement.query_map([], |row| Ok(EndedTask { id: row.get(0)?, last_update: row.get(1)? }))?;
        Ok(tasks.collect::<Result<_, _>>()?)
    }

    /// Removes the events of a task if it is still as old as it was; returns how many there were.
    pub(crate) fn remove_events(&mut self, task: &EndedTask) -> StoreResult<u64> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_same = transaction
            .prepare_cached("SELECT 1 FROM tasks WHERE id = ? AND last_update = ?")?
            .exists(params![task.id, task.last_update])?;
        let removed = if is_same { events::delete_owner(&transaction, &task.id)? } else { 0 };
        transaction.commit()?;
        self.finish_deletions()?;
        Ok(removed)
    }

    /// Removes the rows of events that were deleted.
    pub(crate) fn finish_deletions(&mut self) -> StoreResult<()> {
        loop {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let is_done = events::purge_step(&transaction)?;
            transaction.commit()?;
            if is_done {
                return Ok(());
            }
        }
    }

    /// Bytes of the pages that hold something.
    pub(crate) fn used_bytes(&self) -> StoreResult<u64> {
        let sql = "SELECT (page_count - freelist_count) * page_size
                   FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let bytes: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Gives free pages back to the file system. A database that was not made for that is written anew, which needs
    /// it for itself: `is_alone` says that no server is at work. Returns whether it could be done.
    pub(crate) fn give_back(&mut self, is_alone: bool) -> StoreResult<bool> {
        let mode: i64 = self.connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
        if mode == 2 {
            while self.give_back_some()? {}
        } else if is_alone {
            self.connection.execute_batch("PRAGMA auto_vacuum = incremental; VACUUM")?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// One step of it; returns whether there may be more.
    fn give_back_some(&self) -> StoreResult<bool> {
        let free = || self.connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        let before = free()?;
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        let after = free()?;
        Ok(after > 0 && after < before)
    }

    /// Which of these ids belong to no task, and are mentioned nowhere: in no address of a model, an artifact, an image
    /// or a plot, and in no setting of a task.
    pub(crate) fn unknown(&self, ids: HashSet<String>) -> StoreResult<HashSet<String>> {
        let mut unknown = ids;
        for source in [
            "SELECT id FROM tasks",
            "SELECT uri FROM models WHERE uri IS NOT NULL",
            "SELECT ui_cache || metadata FROM models",
            "SELECT url FROM image_events",
            "SELECT payload FROM payload_events",
            "SELECT script || execution || hyperparams || configuration || models || output FROM task_documents",
            "SELECT comment FROM tasks WHERE comment IS NOT NULL",
        ] {
            let mut statement = self.connection.prepare(source)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()?
                && !unknown.is_empty()
            {
                for id in ids_in(row.get_ref(0)?.as_bytes().unwrap_or_default()) {
                    unknown.remove(id);
                }
            }
        }
        Ok(unknown)
    }
}

/// Everything in a text that may be an id: the last digits of every run of hexadecimal digits that is long enough. An
/// escape like `%2e` in front of an id adds digits to the run.
fn ids_in(text: &[u8]) -> impl Iterator<Item = &str> {
    let runs = text.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let ids = runs.filter_map(|run| run.len().checked_sub(ID_LENGTH).map(|start| &run[start..]));
    ids.filter_map(|id| std::str::from_utf8(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_are() {
        let id = "0123456789abcdef0123456789abcdef";
        let text = format!("http://h/p/train%20a.{id}/x {id} a%2e{id}/y {}", &id[1..]);
        assert_eq!(ids_in(text.as_bytes()).collect::<Vec<_>>(), [id, id, id]);
    }
}
