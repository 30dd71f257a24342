//! The tables of the journal and every statement over them.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocols::ids::TaskId;
use protocols::journal::{JournalEntry, JournalRecord};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::{JournalError, ShipIntent, Shipping};

/// Marks the file as ours in its header: `HSTJ`.
pub(super) const APPLICATION_ID: i64 = 0x4853_544a;

/// Each brings the file from version `index` to `index + 1`. Never edit one: add the next.
const MIGRATIONS: [&str; 2] = [FIRST_TABLES, FAR_APART];

pub(super) const FIRST_TABLES: &str = "
    CREATE TABLE entry (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        task TEXT NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entry_by_task ON entry (task);
    CREATE TABLE shipping (
        task TEXT NOT NULL,
        pull INTEGER NOT NULL,
        shipped INTEGER NOT NULL,
        intent_to INTEGER,
        intent_first_ms INTEGER,
        intent_last_ms INTEGER,
        last_ms INTEGER NOT NULL,
        PRIMARY KEY (task, pull)
    ) STRICT, WITHOUT ROWID;
";

/// Two daemons of one machine can have had the same task, and the number of its pull is part of the mark by which its
/// processes and containers are found and killed: numbers of two journals must differ. 2^40 leaves room to count.
const FAR_APART: &str = "
    UPDATE sqlite_sequence SET seq = seq + abs(random() % 1099511627776) WHERE name = 'entry';
    INSERT INTO sqlite_sequence (name, seq)
        SELECT 'entry', abs(random() % 1099511627776)
        WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'entry');
";

const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// One connection to the file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens the file, creates it where it is missing, checks it and brings it up to date.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        // Created by us and not by SQLite, so that it, and the files that SQLite puts beside it, are private.
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| JournalError::Io { path: path.to_path_buf(), source: Arc::new(source) })?;
        let failed = |doing| move |source| classify(path, doing, source);
        let connection = Connection::open(path).map_err(failed("open"))?;
        let mut store = Self { path: path.to_path_buf(), connection };
        store.prepare().map_err(failed("open"))?;
        store.check()?;
        store.migrate()?;
        Ok(store)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(Duration::from_secs(10))?;
        self.connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        self.connection.pragma_update(None, "synchronous", "full")?;
        Ok(())
    }

    fn check(&self) -> Result<(), JournalError> {
        let damaged = |what: String| JournalError::Damaged { path: self.path.clone(), what };
        let application: i64 = self.pragma("application_id")?;
        let version: i64 = self.pragma("user_version")?;
        if application != APPLICATION_ID && (application, version) != (0, 0) {
            return Err(damaged("it belongs to another program".to_owned()));
        }
        if version > SCHEMA_VERSION {
            return Err(JournalError::Newer { path: self.path.clone(), found: version, known: SCHEMA_VERSION });
        }
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|source| classify(&self.path, "check", source))?;
        if verdict == "ok" { Ok(()) } else { Err(damaged(verdict)) }
    }

    fn pragma(&self, name: &str) -> Result<i64, JournalError> {
        self.connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|source| classify(&self.path, "read", source))
    }

    fn migrate(&mut self) -> Result<(), JournalError> {
        let version = usize::try_from(self.pragma("user_version")?).unwrap_or(0);
        for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            let upgrade = |connection: &mut Connection| {
                let transaction = connection.transaction()?;
                transaction.execute_batch(migration)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", index as i64 + 1)?;
                transaction.commit()
            };
            upgrade(&mut self.connection).map_err(|source| classify(&self.path, "upgrade", source))?;
        }
        Ok(())
    }

    /// Runs `work` in one transaction: all of it becomes durable, or none.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run(&mut self.connection).map_err(|source| classify(&self.path, "write", source))
    }

    /// Every entry, oldest first.
    pub(super) fn load(&self) -> Result<Vec<JournalEntry>, JournalError> {
        let read = || {
            let mut statement =
                self.connection.prepare_cached("SELECT sequence, at_ms, task, record FROM entry ORDER BY sequence")?;
            let rows = statement.query_map([], |row| {
                let record: Vec<u8> = row.get(3)?;
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, record))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|source| classify(&self.path, "read", source))?;
        rows.into_iter()
            .map(|(sequence, at_ms, task, bytes)| {
                let sequence = sequence.cast_unsigned();
                let record = JournalRecord::from_bytes(&bytes).map_err(|source| JournalError::Record {
                    path: self.path.clone(),
                    sequence,
                    source: Arc::new(source),
                })?;
                Ok(JournalEntry { sequence, at_ms, task: TaskId::from(task), record })
            })
            .collect()
    }

    /// The shipping of one run.
    pub(super) fn shipping(&self, task: &TaskId, pull: u64) -> Result<Option<Shipping>, JournalError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT shipped, intent_to, intent_first_ms, intent_last_ms, last_ms FROM shipping
                 WHERE task = ?1 AND pull = ?2",
            )?;
            statement
                .query_row(params![task.as_str(), pull.cast_signed()], |row| {
                    let to: Option<i64> = row.get(1)?;
                    let intent = match to {
                        None => None,
                        Some(to) => Some(ShipIntent {
                            to: to.cast_unsigned(),
                            first_timestamp_ms: row.get(2)?,
                            last_timestamp_ms: row.get(3)?,
                        }),
                    };
                    let shipped: i64 = row.get(0)?;
                    Ok(Shipping { shipped: shipped.cast_unsigned(), intent, last_timestamp_ms: row.get(4)? })
                })
                .optional()
        };
        read().map_err(|source| classify(&self.path, "read", source))
    }
}

/// Appends one record and returns its sequence number.
pub(super) fn append(
    transaction: &rusqlite::Transaction<'_>,
    task: &TaskId,
    record: &[u8],
    at_ms: i64,
) -> rusqlite::Result<u64> {
    transaction.prepare_cached("INSERT INTO entry (at_ms, task, record) VALUES (?1, ?2, ?3)")?.execute(params![
        at_ms,
        task.as_str(),
        record
    ])?;
    Ok(transaction.last_insert_rowid().cast_unsigned())
}

/// Replaces the shipping of one run.
pub(super) fn put_shipping(
    transaction: &rusqlite::Transaction<'_>,
    task: &TaskId,
    pull: u64,
    shipping: &Shipping,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO shipping
             (task, pull, shipped, intent_to, intent_first_ms, intent_last_ms, last_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            task.as_str(),
            pull.cast_signed(),
            shipping.shipped.cast_signed(),
            shipping.intent.map(|intent| intent.to.cast_signed()),
            shipping.intent.map(|intent| intent.first_timestamp_ms),
            shipping.intent.map(|intent| intent.last_timestamp_ms),
            shipping.last_timestamp_ms,
        ])?;
    Ok(())
}

/// Removes what is known of a task up to the entry `until`.
pub(super) fn forget(transaction: &rusqlite::Transaction<'_>, task: &TaskId, until: u64) -> rusqlite::Result<()> {
    let arguments = params![task.as_str(), until.cast_signed()];
    transaction.prepare_cached("DELETE FROM entry WHERE task = ?1 AND sequence <= ?2")?.execute(arguments)?;
    transaction.prepare_cached("DELETE FROM shipping WHERE task = ?1 AND pull <= ?2")?.execute(arguments)?;
    Ok(())
}

fn classify(path: &Path, doing: &'static str, source: rusqlite::Error) -> JournalError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            JournalError::Damaged { path: path.to_path_buf(), what: source.to_string() }
        }
        _ => JournalError::Sqlite { path: path.to_path_buf(), doing, source: Arc::new(source) },
    }
}
