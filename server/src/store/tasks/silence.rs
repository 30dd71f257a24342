//! Tasks in progress that nobody hears of.

use protocols::clearml::status::TaskStatus;
use rusqlite::Connection;

use super::{Task, TaskUpdate, Transition, transition};
use crate::auth::Identity;
use crate::store::{StoreResult, Tx};
use crate::time::Micros;

/// Why such a task was stopped; clients know it in this form.
const NON_RESPONSIVE: &str = "Forced stop (non-responsive)";

/// Whether a task is in progress that was last heard of before `before`.
pub(crate) fn has_silent(connection: &Connection, before: Micros) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM tasks WHERE status = 'in_progress' AND last_update < ?";
    Ok(connection.prepare_cached(sql)?.exists([before])?)
}

/// Stops those that were silent for longest, at most `most`; returns how many.
pub(crate) fn stop_silent(tx: &Tx<'_>, before: Micros, most: usize, by: &Identity) -> StoreResult<usize> {
    let sql = "SELECT id FROM tasks WHERE status = 'in_progress' AND last_update < ? ORDER BY last_update LIMIT ?";
    let mut statement = tx.prepare_cached(sql)?;
    let silent = statement.query_map(rusqlite::params![before, most as i64], |row| row.get(0))?;
    let silent: Vec<String> = silent.collect::<Result<_, _>>()?;
    for id in &silent {
        let wanted =
            Transition { to: TaskStatus::Stopped, reason: NON_RESPONSIVE, message: NON_RESPONSIVE, force: true };
        transition(tx, &Task::require(tx, id)?, wanted, by, TaskUpdate::default())?;
    }
    Ok(silent.len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::signals::Signals;
    use crate::store::{Store, tasks};

    #[tokio::test]
    async fn only_tasks_in_progress_that_were_silent_too_long_are_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db"), Signals::default()).unwrap();
        let by = Identity::nobody();
        let stopped = store
            .write(move |tx| {
                let body = Map::from_iter([("name".to_owned(), json!("task")), ("type".to_owned(), json!("training"))]);
                let mut ids = Vec::new();
                for (status, last_update) in
                    [("in_progress", 10), ("in_progress", 11), ("in_progress", 20), ("queued", 10), ("created", 10)]
                {
                    let id = tasks::create(tx, &body, &by)?;
                    let sql = "UPDATE tasks SET status = ?, last_update = ? WHERE id = ?";
                    tx.execute(sql, rusqlite::params![status, last_update, id])?;
                    ids.push(id);
                }
                assert!(has_silent(tx, 20)?);
                assert_eq!((stop_silent(tx, 20, 1, &by)?, stop_silent(tx, 20, 9, &by)?), (1, 1));
                assert!(!has_silent(tx, 20)?);
                ids.into_iter().map(|id| Ok(Task::require(tx, &id)?.status)).collect::<StoreResult<Vec<_>>>()
            })
            .await
            .unwrap();
        use TaskStatus::{Created, InProgress, Queued, Stopped};
        assert_eq!(stopped, [Stopped, Stopped, InProgress, Queued, Created]);
    }
}
