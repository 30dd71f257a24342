//! The files of a data directory, and the lock on it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::ServerError;
use crate::maintenance::MaintenanceError;
use crate::services::files;

/// The database, in the data directory.
pub(crate) const DATABASE_FILE: &str = "server.db";

/// The signing key of the tokens, in the data directory.
const KEY_FILE: &str = "token.key";

/// Held as long as a server, or a command in its place, works in the data directory.
const LOCK_FILE: &str = "server.lock";

/// Root of the uploaded files, in the data directory.
const FILES_DIR: &str = "files";

/// Where everything is in a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    data_dir: PathBuf,
}

/// Why a directory cannot be locked.
#[derive(Debug, Error)]
pub(crate) enum LockError {
    /// Somebody else has locked it.
    #[error("it is in use")]
    InUse,
    /// The lock cannot be made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Places {
    /// The places of a data directory; nothing is looked at yet.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE_FILE)
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.data_dir.join(KEY_FILE)
    }

    /// Root of the file layer.
    pub(crate) fn files(&self) -> PathBuf {
        self.data_dir.join(FILES_DIR)
    }

    /// The uploaded files by their paths.
    pub(crate) fn file_tree(&self) -> PathBuf {
        self.files().join(files::TREE)
    }

    /// Uploads that are not complete.
    pub(crate) fn partial_files(&self) -> PathBuf {
        self.files().join(files::PARTIAL)
    }

    /// The database of a server that was started here before.
    pub(crate) fn existing_database(&self) -> Result<PathBuf, MaintenanceError> {
        let database = self.database();
        if database.metadata().is_ok_and(|metadata| metadata.len() > 0) {
            return Ok(database);
        }
        Err(MaintenanceError::NoDatabase { directory: self.data_dir.clone() })
    }

    /// Locks the directory, which is made if it is missing. Only one process has the lock.
    pub(crate) fn lock(&self) -> Result<File, LockError> {
        make_durable(&self.file_tree())?;
        let lock = private_file(&self.data_dir.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// [`Self::lock`] for a server that starts: also makes the database file, readable by its owner only.
    pub(crate) fn prepare(&self) -> Result<File, ServerError> {
        let directory = || self.data_dir.clone();
        let lock = self.lock().map_err(|error| match error {
            LockError::InUse => ServerError::InUse { directory: directory() },
            LockError::Io(source) => ServerError::DataDir { directory: directory(), source },
        })?;
        // SQLite gives its log files the mode of the database file.
        private_file(&self.database())
            .and_then(|_| File::open(&self.data_dir)?.sync_all())
            .map_err(|source| ServerError::DataDir { directory: directory(), source })?;
        Ok(lock)
    }
}

impl LockError {
    pub(crate) fn into_maintenance(self, data_dir: &Path) -> MaintenanceError {
        let directory = data_dir.to_owned();
        match self {
            Self::InUse => MaintenanceError::InUse { directory },
            Self::Io(source) => MaintenanceError::File { action: "lock", path: directory, source },
        }
    }
}

/// Makes a directory and those above it, for the owner only. What is made has its name on the disk: a directory that is
/// lost with the power takes everything with it that was synced in it.
fn make_durable(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for parent in missing.iter().filter_map(|path| path.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
