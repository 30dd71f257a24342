//! The lock that keeps a second daemon out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;

/// Held for as long as the journal is open. The kernel releases it with the process, however that ends; the
/// file stays, with the pid of the last holder in it.
#[derive(Debug)]
pub(super) struct JournalLock {
    file: File,
}

impl JournalLock {
    /// Takes the lock of the journal at `path`, in the file `PATH.lock`; makes the directory where it is missing.
    pub(super) fn acquire(path: &Path) -> Result<Self, JournalError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(|source| io(directory, source))?;
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|source| io(&lock_path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The pid is only for the message: a file that cannot be read does not matter.
                let _ = file.read_to_string(&mut holder);
                return Err(JournalError::Locked {
                    directory: directory.to_path_buf(),
                    pid: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(&lock_path, source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| io(&lock_path, source))?;
        Ok(Self { file })
    }
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec still holds a copy of the descriptor.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the journal's lock could not be released");
        }
    }
}

fn io(path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io { path: path.to_path_buf(), source: Arc::new(source) }
}
