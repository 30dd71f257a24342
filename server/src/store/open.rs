//! Connections and their settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::OpenError;
use crate::store::query;

/// How long a connection waits for another one's lock. Only a checkpoint or an outside tool can hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that each connection keeps prepared.
const STATEMENT_CACHE: usize = 256;

/// Page cache of the writer. A change of a task touches a page in each of many indexes: with these at hand it reads
/// next to nothing.
const WRITER_CACHE_KIB: i64 = 16 << 10;

/// Pages of the log from which on the writer takes them over into the database file. A page that changed often meanwhile
/// is taken over once.
const CHECKPOINT_PAGES: i64 = 4000;

/// Opens the writer's connection and creates the file if it is missing, readable by its owner only.
pub(super) fn writable(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .and_then(|mut connection| {
            // A new file can give space back bit by bit; it must be said before the first page is written.
            connection.pragma_update(None, "auto_vacuum", "incremental")?;
            // WAL lets readers go on beside the writer; FULL makes a commit wait for the disk.
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            common(&mut connection)?;
            // Touches the file, so that a damaged or unwritable one is found now.
            connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
            Ok(connection)
        })
        .map_err(|source| classify(path, source))?;
    check(&connection, path)?;
    Ok(connection)
}

/// Opens a file that is there, to copy it, check it or clean it up, without changing how it is kept.
pub(super) fn existing(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .and_then(|mut connection| {
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            common(&mut connection)?;
            Ok(connection)
        })
        .map_err(|source| classify(path, source))?;
    check(&connection, path)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    common(&mut connection)?;
    Ok(connection)
}

fn common(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // A statement keeps its plan when other values are bound; by default many are prepared anew for each run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    query::watch_time(connection)?;
    query::register_functions(connection)
}

fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    // Reads the schema and the head of every table: cheap, and finds a truncated file.
    let verdict: String = connection
        .query_row("SELECT coalesce((SELECT 'ok' FROM sqlite_schema LIMIT 1), 'ok')", [], |row| row.get(0))
        .map_err(|source| classify(path, source))?;
    debug_assert_eq!(verdict, "ok", "the query has no other answer");
    Ok(())
}

fn classify(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, reason: source.to_string() }
        }
        Some(_) | None => OpenError::Open { path, source },
    }
}
