//! What can be wrong with a journal.

use std::path::PathBuf;
use std::sync::Arc;

use protocols::journal::RecordError;

/// Why the journal cannot be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another daemon has it open.
    #[error("another daemon{} already uses the state directory {}", describe(*.pid), .directory.display())]
    Locked {
        /// The directory of the journal.
        directory: PathBuf,
        /// The other daemon, where its lock file tells.
        pid: Option<i32>,
    },
    /// A file or directory cannot be made, opened or locked.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The file is not a journal, or not a whole one any more.
    #[error(
        "the journal {} is damaged ({what}): move it away to start with an empty one; \
         tasks that this machine was running will then have to be reset by hand",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Made by a newer program.
    #[error("the journal {} has version {found}, this program knows up to {known}: use a newer hostler", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// One record cannot be read.
    #[error("cannot read entry {sequence} of the journal {}", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The entry.
        sequence: u64,
        /// Why.
        #[source]
        source: Arc<RecordError>,
    },
    /// Reading or writing failed: a full disk, for example.
    #[error("cannot {doing} the journal {}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// `read`, `write`, ..
        doing: &'static str,
        /// Why.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The journal's writer is gone.
    #[error("the journal {} is closed", .path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

impl JournalError {
    /// Whether the same call may succeed later without a person's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::Sqlite { .. } => true,
            Self::Io { .. } | Self::Damaged { .. } | Self::Newer { .. } | Self::Record { .. } | Self::Closed { .. } => {
                false
            }
        }
    }
}

fn describe(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
