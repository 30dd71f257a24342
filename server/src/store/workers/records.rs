//! Workers. One is gone when its time has passed; nothing needs to clean it up for that.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use crate::store::{StoreResult, Tx};
use crate::time::Micros;

/// A worker as its last report left it.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// `worker_<company>_<user>_<id>`: the same id under two users is two workers.
    pub(crate) key: String,
    /// The name that the agent gave it.
    pub(crate) id: String,
    /// Who runs it.
    pub(crate) user: String,
    /// Where it is.
    pub(crate) ip: Option<String>,
    /// What it runs.
    pub(crate) task: Option<String>,
    /// The queue that the task came from.
    pub(crate) queue: Option<String>,
    /// The queues that it serves.
    pub(crate) queues: Vec<String>,
    /// When it registered.
    pub(crate) register_time: Micros,
    /// Seconds after which it is gone without a report.
    pub(crate) register_timeout: i64,
    /// When it was heard of.
    pub(crate) last_activity_time: Micros,
    /// When it reported.
    pub(crate) last_report_time: Option<Micros>,
    /// When it is gone.
    pub(crate) expires: Micros,
    /// Tags of users.
    pub(crate) tags: Vec<String>,
    /// Tags of programs.
    pub(crate) system_tags: Vec<String>,
    /// What it says that it has.
    pub(crate) resources: Value,
    /// Its newest figures.
    pub(crate) machine_stats: Value,
}

const COLUMNS: &str = "key, id, user, ip, task, queue, queues, register_time, register_timeout, last_activity_time, \
                       last_report_time, expires, tags, system_tags, resources, machine_stats";

fn worker(row: &Row<'_>) -> rusqlite::Result<Worker> {
    let list = |column| -> rusqlite::Result<Vec<String>> {
        let text: String = row.get(column)?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    };
    let json = |column| -> rusqlite::Result<Value> {
        let text: String = row.get(column)?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    };
    Ok(Worker {
        key: row.get("key")?,
        id: row.get("id")?,
        user: row.get("user")?,
        ip: row.get("ip")?,
        task: row.get("task")?,
        queue: row.get("queue")?,
        queues: list("queues")?,
        register_time: row.get("register_time")?,
        register_timeout: row.get("register_timeout")?,
        last_activity_time: row.get("last_activity_time")?,
        last_report_time: row.get("last_report_time")?,
        expires: row.get("expires")?,
        tags: list("tags")?,
        system_tags: list("system_tags")?,
        resources: json("resources")?,
        machine_stats: json("machine_stats")?,
    })
}

/// The worker of this key, if it is still there at `now`.
pub(crate) fn get(connection: &Connection, key: &str, now: Micros) -> StoreResult<Option<Worker>> {
    let sql = format!("SELECT {COLUMNS} FROM workers WHERE key = ? AND expires > ?");
    Ok(connection.prepare_cached(&sql)?.query_row(params![key, now], worker).optional()?)
}

/// Every worker that is there at `now`, in the order of their ids.
pub(crate) fn list(connection: &Connection, now: Micros) -> StoreResult<Vec<Worker>> {
    let sql = format!("SELECT {COLUMNS} FROM workers WHERE expires > ? ORDER BY id, key");
    let mut statement = connection.prepare_cached(&sql)?;
    let workers = statement.query_map([now], worker)?;
    Ok(workers.collect::<Result<_, _>>()?)
}

/// Whether a worker that is there at `now` serves the queue.
pub(crate) fn is_watched(connection: &Connection, queue: &str, now: Micros) -> StoreResult<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM workers WHERE expires > ? AND EXISTS (SELECT 1 FROM json_each(queues) WHERE value = ?)",
    )?;
    Ok(statement.exists(params![now, queue])?)
}

/// Stores a worker as it is now.
pub(crate) fn put(tx: &Tx<'_>, company: &str, worker: &Worker) -> StoreResult<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO workers (key, id, user, company, ip, task, queue, queues, register_time,
         register_timeout, last_activity_time, last_report_time, expires, tags, system_tags, resources, machine_stats)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        worker.key,
        worker.id,
        worker.user,
        company,
        worker.ip,
        worker.task,
        worker.queue,
        Value::from(worker.queues.clone()).to_string(),
        worker.register_time,
        worker.register_timeout,
        worker.last_activity_time,
        worker.last_report_time,
        worker.expires,
        Value::from(worker.tags.clone()).to_string(),
        Value::from(worker.system_tags.clone()).to_string(),
        worker.resources.to_string(),
        worker.machine_stats.to_string(),
    ])?;
    Ok(())
}

/// Forgets a worker.
pub(crate) fn remove(tx: &Tx<'_>, key: &str) -> StoreResult<()> {
    tx.prepare_cached("DELETE FROM workers WHERE key = ?")?.execute([key])?;
    Ok(())
}

/// Removes the rows of some workers that are gone at `now`, at most `most`; returns whether there may be more.
pub(crate) fn forget_expired(tx: &Tx<'_>, now: Micros, most: i64) -> StoreResult<bool> {
    let removed = tx
        .prepare_cached("DELETE FROM workers WHERE key IN (SELECT key FROM workers WHERE expires <= ? LIMIT ?)")?
        .execute([now, most])?;
    Ok(removed as i64 == most)
}
