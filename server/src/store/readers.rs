//! The pool of read-only connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use protocols::clearml::error::ApiError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::{StoreError, StoreResult};
use super::open;

/// Connections at most, and so reads at one time; the rest wait without a thread.
const READERS: usize = 8;

/// Hands out read-only connections, opened at first need and kept.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Arc::default(), permits: Arc::new(Semaphore::new(READERS)) }
    }

    pub(super) async fn run<T, F>(&self, query: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match connection {
                Some(connection) => connection,
                None => open::read_only(&path)?,
            };
            let answer = in_snapshot(&connection, query);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        })
        .await;
        match answer {
            Ok(answer) => answer.map_err(ApiError::from),
            // The panic is reported by the panic hook; its connection was dropped with it.
            Err(_) => Err(ApiError::internal("the query failed unexpectedly", &[])),
        }
    }
}

fn in_snapshot<T>(connection: &Connection, query: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
    let snapshot = connection.unchecked_transaction()?;
    let answer = query(&snapshot);
    snapshot.finish().map_err(StoreError::from)?;
    answer
}
