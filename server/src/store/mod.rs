//! The store: one SQLite file, one writer, a few readers.
//!
//! Everything that the server keeps goes through [`Store::write`] and [`Store::read`]. The boundary for a second
//! engine: SQL, its dialect and the mapping of rows belong below this module and nowhere else (`tests/tidy.rs` looks);
//! services hand values in and get values back. The generic `get_all` of the API is [`query`].
//!
//! A write is answered only after it is on the disk: the writer takes all jobs that wait, runs each in a savepoint of
//! its own inside one transaction, commits once, and only then answers all of them (group commit).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocols::clearml::error::ApiError;
use rusqlite::Connection;

use crate::signals::Signals;

mod check;
mod error;
mod migrations;
mod offline;
mod open;
mod prune;
mod pulse;
mod readers;
mod rows;
mod shared;
mod tx;
mod writer;

pub(crate) mod census;
pub(crate) mod events;
pub(crate) mod models;
pub(crate) mod projects;
pub(crate) mod query;
pub(crate) mod queues;
pub(crate) mod tasks;
pub(crate) mod time_series;
pub(crate) mod users;
pub(crate) mod workers;

pub(crate) use census::{log_of, sizes};
pub use error::OpenError;
pub(crate) use error::{StoreError, StoreResult};
pub(crate) use migrations::newest as newest_version;
pub(crate) use offline::Offline;
pub(crate) use prune::EndedTask;
pub(crate) use pulse::Pulse;
pub(crate) use rows::{parse_json, placeholders};
pub(crate) use tx::Tx;

/// The store as it is at one moment: what a query of [`Store::read`] works on, and what a [`Tx`] derefs to.
pub(crate) type Snapshot = Connection;

/// How long an attempt to write may take that only finds out whether it can be done.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Handle on the store; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: writer::Writer,
    readers: readers::Readers,
    pulse: Arc<Pulse>,
    path: PathBuf,
    probing: tokio::sync::Mutex<()>,
}

impl Store {
    /// Opens the database file `path`, creates or migrates its schema, and starts the writer. Changes that
    /// jobs announce reach `signals` after their commit.
    ///
    /// # Errors
    /// The file cannot be opened, is not a database, is damaged, or was written by a newer version.
    pub(crate) fn open(path: &Path, signals: Signals) -> Result<Self, OpenError> {
        let connection = open::writable(path)?;
        migrations::run(&connection, path)?;
        let readers = readers::Readers::new(path);
        let pulse = Arc::new(Pulse::default());
        let writer = writer::Writer::start(connection, signals, Arc::clone(&pulse));
        let probing = tokio::sync::Mutex::default();
        Ok(Self { inner: Arc::new(Inner { writer, readers, pulse, path: path.to_owned(), probing }) })
    }

    /// Runs `job` inside a transaction and answers when the result is durable. An error rolls back this job
    /// alone. The job must not block on anything but the database.
    pub(crate) async fn write<T, F>(&self, job: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> StoreResult<T> + Send + 'static,
    {
        self.inner.writer.run(job).await
    }

    /// Runs `query` on a read-only connection, off the reactor; all its statements see one snapshot, which
    /// holds every write that was answered before.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        self.inner.readers.run(query).await
    }

    /// What the writer has done so far.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.inner.pulse
    }

    /// Bytes of the database file and of its log.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        sizes(&self.inner.path)
    }

    /// Why writes cannot be taken in, if they cannot. After a failure it is tried whether that is still so: there may be
    /// nobody else who writes.
    pub(crate) async fn trouble(&self) -> Option<String> {
        let known = self.inner.pulse.trouble()?;
        // Whoever asks without credentials must not make the disk busy: one attempt at a time.
        let Ok(_probing) = self.inner.probing.try_lock() else { return Some(known) };
        let attempt = tokio::time::timeout(PROBE_LIMIT, self.write(users::probe)).await;
        match attempt {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.message),
            Err(_) => Some(known),
        }
    }

    /// Finishes the waiting writes and closes the database. Later writes fail.
    pub(crate) async fn close(&self) {
        self.inner.writer.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod tests;
