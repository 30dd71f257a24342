//! What is done with the data directory of a server from outside: copies, checks, cleaning up.
//!
//! Everything but [`restore()`] works beside a server that runs. Nothing here blocks on anything but the disk, and all of
//! it blocks: call it off the reactor.

mod backup;
mod check;
mod files;
mod prune;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::store::{OpenError, StoreError};

pub use backup::{BackupOptions, BackupReport, backup};
pub use check::{CheckReport, Problem, check};
pub use prune::{PruneOptions, PruneReport, prune};
pub use restore::{RestoreReport, restore};

/// Why it could not be done.
#[derive(Debug, Error)]
pub enum MaintenanceError {
    /// No server ever worked in the directory.
    #[error("there is no database in {directory}", directory = directory.display())]
    NoDatabase {
        /// The directory.
        directory: PathBuf,
    },
    /// The target is there already.
    #[error("{path} exists already", path = path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// A server works in the directory.
    #[error("a server works in {directory}: stop it first", directory = directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The file cannot be what it is taken for.
    #[error("{path} is no backup that can be used: {reason}", path = path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be read or written.
    #[error("cannot {action} the database {path}: {reason}", path = path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Names an I/O error.
fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MaintenanceError {
    let path = path.to_owned();
    move |source| MaintenanceError::File { action, path, source }
}

/// Names an error of the database.
fn database_error(action: &'static str, path: &Path) -> impl FnOnce(StoreError) -> MaintenanceError {
    let path = path.to_owned();
    move |error| {
        let reason = match error {
            StoreError::Sql(error) => error.to_string(),
            StoreError::Api(error) => error.message,
            StoreError::Json(error) => error.to_string(),
        };
        MaintenanceError::Database { action, path, reason }
    }
}
