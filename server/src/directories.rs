//! The files of a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::ServerError;

/// The database, in the data directory.
const DATABASE_FILE: &str = "server.db";

/// The signing key of the tokens, in the data directory.
const KEY_FILE: &str = "token.key";

/// Held as long as a server, or a command in its place, works in the data directory.
const LOCK_FILE: &str = "server.lock";

/// Root of the uploaded files, in the data directory.
const FILES_DIR: &str = "files";

/// Files of the data directory, and the right to use them.
#[derive(Debug)]
pub(crate) struct Directories {
    pub(crate) database: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) files: PathBuf,
    pub(crate) lock: File,
}

impl Directories {
    /// Makes the data directory, readable by its owner only, and locks it.
    pub(crate) fn prepare(data_dir: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::DataDir { directory: data_dir.to_owned(), source };
        let files = data_dir.join(FILES_DIR);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&files).map_err(failed)?;
        let lock = private_file(&data_dir.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServerError::InUse { directory: data_dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let database = data_dir.join(DATABASE_FILE);
        // SQLite gives its log files the mode of the database file.
        private_file(&database).map_err(failed)?;
        Ok(Self { database, key: data_dir.join(KEY_FILE), files, lock })
    }

    /// Locks a data directory that a server has worked in before.
    pub(crate) fn of_stopped(data_dir: &Path) -> Result<Self, ServerError> {
        if !data_dir.join(DATABASE_FILE).is_file() {
            return Err(ServerError::NoServer { directory: data_dir.to_owned() });
        }
        Self::prepare(data_dir)
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
