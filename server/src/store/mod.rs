//! The store: one SQLite file, one writer, a few readers.
//!
//! Everything that the server keeps goes through [`Store::write`] and [`Store::read`]; SQL and row mapping stay
//! below this module and [`crate::query`]. A write is answered only after it is on the disk: the writer takes
//! all jobs that wait, runs each in a savepoint of its own inside one transaction, commits once, and only then
//! answers all of them (group commit).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use protocols::clearml::error::ApiError;
use rusqlite::Connection;

use crate::signals::Signals;

mod error;
mod migrations;
mod open;
mod readers;
mod rows;
mod tx;
mod writer;

pub(crate) mod events;
pub(crate) mod models;
pub(crate) mod projects;
pub(crate) mod queues;
pub(crate) mod tasks;
pub(crate) mod time_series;
pub(crate) mod users;
pub(crate) mod workers;

pub use error::OpenError;
pub(crate) use error::{StoreError, StoreResult};
pub(crate) use rows::{parse_json, placeholders};
pub(crate) use tx::Tx;

/// Handle on the store; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: writer::Writer,
    readers: readers::Readers,
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
        let writer = writer::Writer::start(connection, signals);
        Ok(Self { inner: Arc::new(Inner { writer, readers }) })
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
