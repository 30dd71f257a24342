//! The file that holds everything the attempt prints.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing::warn;

/// The console file. The executor writes its own lines into it, and what the task's programs print into a pipe; see
/// [`super::console_pipe`].
#[derive(Debug)]
pub(super) struct Console {
    file: File,
}

impl Console {
    /// Opens the file for appending; what an earlier executor of the attempt wrote stays.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { file })
    }

    /// A console that keeps nothing, for an attempt that ends because it cannot have one.
    pub(super) fn nowhere() -> io::Result<Self> {
        OpenOptions::new().write(true).open("/dev/null").map(|file| Self { file })
    }

    /// Appends one line as it is, in one write, so that it is not torn by other writers.
    ///
    /// A line that cannot be written (a full disk) is lost: the task is not held up for it.
    pub(super) fn line(&self, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        if let Err(error) = (&self.file).write_all(&bytes) {
            warn!(%error, "console line not written");
        }
    }

    /// Appends one line that says who speaks.
    pub(super) fn say(&self, text: &str) {
        self.line(&format!("hostler: {text}"));
    }

    /// How long the file is, in bytes.
    pub(super) fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    /// Returns when everything that was written would survive a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self.file.sync_data() {
            // Not a file on a disk.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    /// The same file for another thread.
    pub(super) fn another(&self) -> io::Result<Self> {
        self.file.try_clone().map(|file| Self { file })
    }

    /// Appends bytes as they are; how many there was room for.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }
}
