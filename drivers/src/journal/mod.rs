//! The journal store: one SQLite file, one writer thread, one fsync for many appends.
//!
//! Appends that wait together are committed together (group commit); each resolves when it is on the disk.
//! The order of the calls is the order of the journal. A lock file beside the store keeps a second daemon out.

mod error;
mod lock;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use protocols::ids::TaskId;
use protocols::journal::{JournalEntry, JournalRecord};

pub use error::JournalError;

use lock::JournalLock;
use store::Store;
use writer::{Answer, Command};

/// How far the console of one run has been shipped to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipping {
    /// Bytes of the console file that the server has.
    pub shipped: u64,
    /// What was about to be sent when this was written.
    pub intent: Option<ShipIntent>,
    /// Time stamp of the last event sent, in milliseconds since the epoch.
    pub last_timestamp_ms: i64,
}

/// A batch that may or may not have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShipIntent {
    /// Where in the console file the batch ends, in bytes.
    pub to: u64,
    /// Time stamp of its first event, in milliseconds since the epoch.
    pub first_timestamp_ms: i64,
    /// Time stamp of its last event, in milliseconds since the epoch.
    pub last_timestamp_ms: i64,
}

/// How a journal is opened.
///
/// The two crash points are for tests of recovery and end the process by `abort`, without any cleanup. Appends
/// are counted from 1 at every open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalOptions {
    /// Abort right after this append has become durable, before anybody is told.
    pub abort_after_append: Option<u64>,
    /// Abort right before this append is written; every earlier one is durable.
    pub abort_before_append: Option<u64>,
}

/// The open journal. Clones share it; it is closed, and its lock released, with the last of them.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    commands: Option<std::sync::mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
    reader: Mutex<Store>,
    commits: Arc<AtomicU64>,
    // Declared last: released when the writer has ended.
    _lock: JournalLock,
}

impl Journal {
    /// Opens, or creates, the journal at `path`. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::open_with(path, JournalOptions::default())
    }

    /// [`Journal::open`] with options. Blocks on the disk.
    pub fn open_with(path: &Path, options: JournalOptions) -> Result<Self, JournalError> {
        let lock = JournalLock::acquire(path)?;
        let writing = Store::open(path)?;
        let reader = Mutex::new(Store::open(path)?);
        let commits = Arc::new(AtomicU64::new(0));
        let (commands, writer) = writer::spawn(writing, options, commits.clone())?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_path_buf(),
                commands: Some(commands),
                writer: Some(writer),
                reader,
                commits,
                _lock: lock,
            }),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How many transactions were committed since it was opened; each is one fsync.
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }

    /// Appends a record of `task`, made at `at_ms` (milliseconds since the epoch).
    ///
    /// The record is queued by the call itself; the future resolves to its sequence number once it is durable.
    /// Dropping the future does not take the record back.
    pub fn append(
        &self,
        task: TaskId,
        record: JournalRecord,
        at_ms: i64,
    ) -> impl Future<Output = Result<u64, JournalError>> + Send + 'static + use<> {
        self.submit(|answer| Command::Append { task, record, at_ms, answer }).durable()
    }

    /// Every entry, oldest first. Blocks on the disk.
    pub fn load(&self) -> Result<Vec<JournalEntry>, JournalError> {
        self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner).load()
    }

    /// What [`Journal::put_shipping`] wrote last for this run. Blocks on the disk.
    pub fn shipping(&self, task: &TaskId, pull: u64) -> Result<Option<Shipping>, JournalError> {
        self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner).shipping(task, pull)
    }

    /// Replaces what is known of the shipping of one run: the task, and the sequence number of its pull.
    /// Queued by the call itself, in order with appends; durable when the future resolves.
    pub fn put_shipping(
        &self,
        task: &TaskId,
        pull: u64,
        shipping: Shipping,
    ) -> impl Future<Output = Result<(), JournalError>> + Send + 'static + use<> {
        let task = task.clone();
        self.submit(|answer| Command::PutShipping { task, pull, shipping, answer }).durable()
    }

    /// Removes everything of these tasks up to and including the entry `until`: for tasks whose runs up to
    /// there are settled. Later entries stay, and so does the shipping of later runs. Sequence numbers are never
    /// given again.
    pub fn forget_settled(
        &self,
        tasks: &[TaskId],
        until: u64,
    ) -> impl Future<Output = Result<(), JournalError>> + Send + 'static + use<> {
        let tasks = tasks.to_vec();
        self.submit(|answer| Command::Forget { tasks, until, answer }).durable()
    }

    /// Queues a command now; its result is waited for later.
    fn submit<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Submitted<T> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        if let Some(commands) = &self.inner.commands {
            // A writer that is gone drops the command, and with it the sender of the answer.
            let _ = commands.send(command(answer));
        }
        Submitted { answered, path: self.inner.path.clone() }
    }
}

/// A command that is queued. It does not keep the journal open.
struct Submitted<T> {
    answered: tokio::sync::oneshot::Receiver<Result<T, JournalError>>,
    path: PathBuf,
}

impl<T> Submitted<T> {
    async fn durable(self) -> Result<T, JournalError> {
        let Self { answered, path } = self;
        answered.await.unwrap_or(Err(JournalError::Closed { path }))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Journal").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends when it has written all that was queued and no sender is left.
        drop(self.commands.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the journal's writer panicked");
        }
    }
}
