//! Numbers about the whole store, for metrics.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::StoreResult;
use crate::time::Micros;

/// Queues that are told by name; a server with more of them tells those with the most entries.
const QUEUES: i64 = 200;

/// What is in the store.
#[derive(Debug)]
pub(crate) struct Census {
    /// Queues: name, entries, when the oldest of them was added.
    pub(crate) queues: Vec<(String, i64, Option<Micros>)>,
    /// Tasks by status.
    pub(crate) tasks: Vec<(String, i64)>,
    /// Workers that are alive, by whether they run a task.
    pub(crate) idle_workers: i64,
    /// See `idle_workers`.
    pub(crate) busy_workers: i64,
    /// Bytes of the database that hold nothing: they are used before the file grows.
    pub(crate) unused_bytes: i64,
}

/// Counts.
pub(crate) fn census(connection: &Connection, now: Micros) -> StoreResult<Census> {
    let mut queues = connection.prepare_cached(
        "SELECT q.name, count(e.task) AS entries, min(e.added) FROM queues q
         LEFT JOIN queue_entries e ON e.queue = q.id GROUP BY q.id ORDER BY entries DESC, q.name LIMIT ?",
    )?;
    let queues = queues.query_map([QUEUES], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let tasks = tasks_by_status(connection)?;
    let (workers, busy_workers): (i64, i64) = connection
        .prepare_cached("SELECT count(*), count(nullif(task, '')) FROM workers WHERE expires > ?")?
        .query_row([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let unused_bytes = connection
        .prepare_cached("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")?
        .query_row([], |row| row.get(0))?;
    Ok(Census {
        queues: queues.collect::<Result<_, _>>()?,
        tasks,
        idle_workers: workers - busy_workers,
        busy_workers,
        unused_bytes,
    })
}

fn tasks_by_status(connection: &Connection) -> StoreResult<Vec<(String, i64)>> {
    let mut tasks = connection.prepare_cached("SELECT status, count(*) FROM tasks GROUP BY status ORDER BY status")?;
    let tasks = tasks.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(tasks.collect::<Result<_, _>>()?)
}

/// Names, and how many there are of each.
type Counts<Name> = Vec<(Name, i64)>;

/// How much there is of everything, and the tasks by status.
pub(crate) fn totals(connection: &Connection) -> StoreResult<(Counts<&'static str>, Counts<String>)> {
    let mut totals = Vec::new();
    for table in ["users", "projects", "tasks", "models", "queues", "workers"] {
        let count = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        totals.push((table, count));
    }
    Ok((totals, tasks_by_status(connection)?))
}

/// Bytes of the database file and of its log.
pub(crate) fn sizes(database: &Path) -> (u64, u64) {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    (bytes(database), bytes(&log_of(database)))
}

/// The log beside a database.
pub(crate) fn log_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}
