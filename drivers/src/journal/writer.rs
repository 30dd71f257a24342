//! The writer: a plain thread that turns whatever is waiting into one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use protocols::ids::TaskId;
use protocols::journal::JournalRecord;
use tokio::sync::oneshot;

use super::store::{self, Store};
use super::{JournalError, JournalOptions, Shipping};

/// Most commands in one transaction: bounds how long the first of them waits.
const MAX_GROUP: usize = 512;

/// Where the result of a command goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

/// What the writer is asked for.
pub(super) enum Command {
    Append { task: TaskId, record: JournalRecord, at_ms: i64, answer: Answer<u64> },
    PutShipping { task: TaskId, pull: u64, shipping: Shipping, answer: Answer<()> },
    Forget { tasks: Vec<TaskId>, until: u64, answer: Answer<()> },
}

/// Starts the writer. It ends when every sender is gone and everything sent is written.
pub(super) fn spawn(
    store: Store,
    options: JournalOptions,
    commits: Arc<AtomicU64>,
) -> Result<(Sender<Command>, JoinHandle<()>), JournalError> {
    let (sender, receiver) = channel();
    let mut writer = Writer { store, options, commits, appends: 0 };
    let thread = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || writer.run(&receiver))
        .map_err(|source| JournalError::Io { path: "journal thread".into(), source: Arc::new(source) })?;
    Ok((sender, thread))
}

struct Writer {
    store: Store,
    options: JournalOptions,
    commits: Arc<AtomicU64>,
    /// Appends taken so far, for the crash points.
    appends: u64,
}

impl Writer {
    fn run(&mut self, receiver: &Receiver<Command>) {
        while let Ok(first) = receiver.recv() {
            let mut group = vec![first];
            group.extend(receiver.try_iter().take(MAX_GROUP - 1));
            self.write(group);
        }
    }

    /// Writes a group in order; cut in two where a crash point lies in it.
    fn write(&mut self, group: Vec<Command>) {
        let mut waiting = Vec::with_capacity(group.len());
        for command in group {
            if matches!(command, Command::Append { .. }) {
                self.appends += 1;
                if self.options.abort_before_append == Some(self.appends) {
                    self.commit(waiting);
                    std::process::abort();
                }
                if self.options.abort_after_append == Some(self.appends) {
                    waiting.push(command);
                    self.commit_and_abort(&waiting);
                }
            }
            waiting.push(command);
        }
        self.commit(waiting);
    }

    /// One transaction, one fsync, then everybody is told.
    fn commit(&mut self, group: Vec<Command>) {
        let result = self.store.transaction(|transaction| {
            group.iter().map(|command| apply(transaction, command)).collect::<rusqlite::Result<Vec<u64>>>()
        });
        match result {
            Ok(sequences) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                for (command, sequence) in group.into_iter().zip(sequences) {
                    acknowledge(command, Ok(sequence));
                }
            }
            Err(error) => {
                for command in group {
                    acknowledge(command, Err(error.clone()));
                }
            }
        }
    }

    fn commit_and_abort(&mut self, group: &[Command]) -> ! {
        let written = self
            .store
            .transaction(|transaction| group.iter().try_for_each(|command| apply(transaction, command).map(|_| ())));
        if let Err(error) = written {
            tracing::error!(%error, "the journal cannot reach its crash point");
        }
        std::process::abort()
    }
}

/// Does one command within the transaction; returns the sequence number of an append, else 0.
fn apply(transaction: &rusqlite::Transaction<'_>, command: &Command) -> rusqlite::Result<u64> {
    match command {
        Command::Append { task, record, at_ms, .. } => store::append(transaction, task, &record.to_bytes(), *at_ms),
        Command::PutShipping { task, pull, shipping, .. } => {
            store::put_shipping(transaction, task, *pull, shipping).map(|()| 0)
        }
        Command::Forget { tasks, until, .. } => {
            tasks.iter().try_for_each(|task| store::forget(transaction, task, *until)).map(|()| 0)
        }
    }
}

/// Tells the caller; one who has stopped waiting is no error.
fn acknowledge(command: Command, result: Result<u64, JournalError>) {
    let unheard = match command {
        Command::Append { answer, .. } => answer.send(result).is_err(),
        Command::PutShipping { answer, .. } | Command::Forget { answer, .. } => {
            answer.send(result.map(|_| ())).is_err()
        }
    };
    if unheard {
        tracing::trace!("a journal command was written for a caller who is gone");
    }
}
