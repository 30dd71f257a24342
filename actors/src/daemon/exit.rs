//! How a daemon ends, and why it may not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use drivers::clearml::ClientError;
use drivers::ipc::IpcError;
use drivers::journal::JournalError;
use protocols::journal::FoldError;

/// How a daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonExit {
    /// It left its tasks running; the next daemon takes them over.
    Detached,
    /// It stopped its tasks.
    Stopped,
    /// It finished its tasks and took nothing new.
    Drained,
    /// There was nothing to run: the one task that it was for is none, or is not to be run.
    NothingToRun(String),
    /// Something of its own failed; tasks live on. Exit code 70.
    Failed(String),
}

/// Why a daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The journal cannot be opened; another daemon may have it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal contradicts itself.
    #[error("the journal {} cannot be followed: {source}; move it away to start afresh", path.display())]
    Contradiction {
        /// The journal.
        path: PathBuf,
        /// Where.
        #[source]
        source: FoldError,
    },
    /// A socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] IpcError),
    /// The state directory cannot be made or written.
    #[error("cannot use the state directory {}", path.display())]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address for metrics cannot be used.
    #[error("cannot serve metrics at {address}")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The async runtime, or a signal handler, cannot be set up.
    #[error("cannot set up the runtime")]
    Runtime(#[source] io::Error),
    /// The server does not let us in, or is not a ClearML server.
    #[error(transparent)]
    Server(#[from] ClientError),
}
