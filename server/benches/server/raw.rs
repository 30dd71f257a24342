//! The limit: the same rows, straight through SQLite, with the durability of the server.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use crate::Outcome;
use crate::process::Process;

/// Jobs that share a commit at most, as in the server.
const JOBS_PER_COMMIT: usize = 256;

/// A copy of the server's database.
pub(crate) struct Raw {
    path: PathBuf,
}

impl Raw {
    /// Copies what the server has by now.
    pub(crate) fn copy_of(server: &Process, path: &Path) -> Outcome<Self> {
        let source = Connection::open_with_flags(server.database(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        source.execute("VACUUM INTO ?", [path.to_str().ok_or("the directory's name is not UTF-8")?])?;
        Ok(Self { path: path.to_owned() })
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// A connection with the settings of the server's writer.
    pub(crate) fn open(&self) -> Outcome<Connection> {
        let connection = Connection::open(&self.path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
        common(&connection)?;
        Ok(connection)
    }

    /// A connection with the settings of the server's readers.
    pub(crate) fn read_only(path: &Path) -> Outcome<Connection> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        common(&connection)?;
        Ok(connection)
    }
}

fn common(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(256);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Runs `step` in a transaction of its own.
pub(crate) fn alone<T>(
    connection: &mut Connection,
    step: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Outcome<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = step(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

type Step = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

/// One thread that writes for many: it takes every step that waits, runs them, commits once, and then answers all.
pub(crate) struct GroupWriter {
    steps: Option<mpsc::UnboundedSender<(Step, oneshot::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl GroupWriter {
    pub(crate) fn start(mut connection: Connection) -> Self {
        let (steps, mut waiting) = mpsc::unbounded_channel::<(Step, oneshot::Sender<()>)>();
        let thread = std::thread::spawn(move || {
            while let Some(first) = waiting.blocking_recv() {
                let mut batch = vec![first];
                while batch.len() < JOBS_PER_COMMIT
                    && let Ok(step) = waiting.try_recv()
                {
                    batch.push(step);
                }
                let answers = alone(&mut connection, |transaction| {
                    let run = |(step, answer): (Step, _)| step(transaction).map(|()| answer);
                    batch.into_iter().map(run).collect::<Result<Vec<_>, _>>()
                });
                // Whoever waits for a step that failed finds its answer dropped.
                for answer in answers.unwrap_or_default() {
                    let _ = answer.send(());
                }
            }
        });
        Self { steps: Some(steps), thread: Some(thread) }
    }

    /// Hands a step in and waits until it is durable.
    pub(crate) async fn run(
        &self,
        step: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Outcome<()> {
        let (answer, answered) = oneshot::channel();
        let steps = self.steps.as_ref().ok_or("the writer has ended")?;
        let step: Step = Box::new(step);
        steps.send((step, answer)).map_err(|_| "the writer has ended")?;
        answered.await.map_err(|_| "a step failed".into())
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        drop(self.steps.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The rows of `tasks.enqueue`.
pub(crate) fn enqueue(connection: &Connection, task: &str, queue: &str, project: &str) -> rusqlite::Result<()> {
    let now = now();
    connection
        .prepare_cached(
            "INSERT INTO queue_entries (queue, position, task, added)
             VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM queue_entries WHERE queue = ?1), ?2, ?3)",
        )?
        .execute(params![queue, task, now])?;
    touch(connection, queue, now)?;
    connection
        .prepare_cached(
            "UPDATE tasks SET enqueue_status = 'created', queue = ?2, last_update = ?3, status = 'queued',
             status_reason = '', status_message = '', status_changed = ?3, last_change = ?3, last_changed_by = user
             WHERE id = ?1",
        )?
        .execute(params![task, queue, now])?;
    connection.prepare_cached("UPDATE projects SET last_update = ?2 WHERE id = ?1")?.execute(params![project, now])?;
    Ok(())
}

/// The rows of `queues.get_next_task`.
pub(crate) fn pop(connection: &Connection, queue: &str) -> rusqlite::Result<()> {
    let head: Option<String> = connection
        .prepare_cached("SELECT task FROM queue_entries WHERE queue = ? ORDER BY position LIMIT 1")?
        .query_row([queue], |row| row.get(0))
        .optional()?;
    let Some(task) = head else { return Err(rusqlite::Error::QueryReturnedNoRows) };
    connection.prepare_cached("DELETE FROM queue_entries WHERE queue = ? AND task = ?")?.execute([queue, &task])?;
    touch(connection, queue, now())
}

fn touch(connection: &Connection, queue: &str, now: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE queues SET last_update = ? WHERE id = ?")?.execute(params![now, queue])?;
    Ok(())
}

/// Where the raw events go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventKeys {
    pub(crate) owner: i64,
    pub(crate) source: i64,
    pub(crate) series: i64,
}

impl EventKeys {
    /// Makes the rows that the events of a task refer to.
    pub(crate) fn make(connection: &Connection, task: &str) -> rusqlite::Result<Self> {
        let owner = connection.prepare("INSERT INTO event_owners (owner, is_model) VALUES (?, 0)")?.insert([task])?;
        let source =
            connection.prepare("INSERT INTO event_sources (worker, level) VALUES (?, 'raw')")?.insert([task])?;
        let series = connection
            .prepare(
                "INSERT INTO event_series (owner, kind, metric, variant, metric_hash, variant_hash)
                 VALUES (?, 1, 'loss', 'train', '', '')",
            )?
            .insert([owner])?;
        Ok(Self { owner, source, series })
    }
}

/// The rows of a batch of console lines.
pub(crate) fn add_lines(
    connection: &Connection,
    keys: EventKeys,
    task: &str,
    lines: &[(i64, String)],
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO console_lines (owner, timestamp, source, message, extra) VALUES (?1, ?2, ?3, ?4, NULL)",
    )?;
    let mut bytes = 0;
    for (timestamp, message) in lines {
        insert.execute(params![keys.owner, timestamp, keys.source, message])?;
        bytes += message.len() as i64;
    }
    connection
        .prepare_cached(
            "UPDATE event_owners SET log_lines = log_lines + ?2, log_bytes = log_bytes + ?3 WHERE key = ?1",
        )?
        .execute(params![keys.owner, lines.len() as i64, bytes])?;
    touch_task(connection, task, 0)
}

/// The rows of a batch of scalars.
pub(crate) fn add_points(
    connection: &Connection,
    keys: EventKeys,
    task: &str,
    iterations: std::ops::Range<usize>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO scalar_points (series, iter, timestamp, value, source, extra) VALUES (?1, ?2, ?3, ?4, ?5, NULL)",
    )?;
    let last = iterations.end as i64;
    for iter in iterations {
        insert.execute(params![keys.series, iter as i64, 1_700_000_000_000 + iter as i64, 0.5_f64, keys.source])?;
    }
    connection
        .prepare_cached(
            "UPDATE event_series SET events = ?2, reports = ?2, min_iter = 0, max_iter = ?2, last_timestamp = ?2,
             value = 0.5, value_iter = ?2, min_value = 0.5, min_value_iter = ?2, max_value = 0.5, max_value_iter = ?2,
             first_value = 0.5, first_value_iter = 0, value_sum = ?2 WHERE key = ?1",
        )?
        .execute(params![keys.series, last])?;
    touch_task(connection, task, last)
}

fn touch_task(connection: &Connection, task: &str, iteration: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE tasks SET last_update = ?2, last_change = ?2, last_changed_by = user, last_iteration = ?3
             WHERE id = ?1",
        )?
        .execute(params![task, now(), iteration])?;
    Ok(())
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
