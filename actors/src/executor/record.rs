//! The executor's record of its attempt, on disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use drivers::process::this_process;
use protocols::failure::Phase;
use protocols::ids::{AttemptId, ProcessId, TaskId};
use protocols::order::{ExecutorOrder, ExecutorRecord, ORDER_VERSION, Progress, RECORD_FILE, encode};

/// What a write of the record has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// `kill -9` of any process. For what a repetition would not harm.
    Process,
    /// A power failure too.
    Machine,
}

/// The record could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the attempt's record {}", path.display())]
pub(super) struct RecordError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A place in the order of writes, taken where the progress is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

/// The record file. Replaced by atomic rename: a reader sees one state or the next, never a part.
#[derive(Debug)]
pub(super) struct RecordFile {
    folder: PathBuf,
    task: TaskId,
    attempt: AttemptId,
    executor: ProcessId,
    next_turn: AtomicU64,
    written: Mutex<Option<Turn>>,
}

impl RecordFile {
    /// The record of this process' attempt; nothing is written yet.
    pub(super) fn new(order: &ExecutorOrder) -> Self {
        Self {
            folder: order.attempt_dir.clone(),
            task: order.task.id.clone(),
            attempt: order.attempt,
            executor: this_process(),
            next_turn: AtomicU64::new(0),
            written: Mutex::new(None),
        }
    }

    /// Takes the next turn. Writes happen on blocking threads, in any order; turns keep progress going forward.
    pub(super) fn turn(&self) -> Turn {
        Turn(self.next_turn.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes how far the attempt is, unless a later turn has been written already. Blocks.
    pub(super) fn write(
        &self,
        turn: Turn,
        phase: Phase,
        progress: Progress,
        durability: Durability,
    ) -> Result<(), RecordError> {
        let mut written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if written.is_some_and(|written| written > turn) {
            return Ok(());
        }
        let record = ExecutorRecord {
            version: ORDER_VERSION,
            task: self.task.clone(),
            attempt: self.attempt,
            executor: self.executor,
            phase,
            progress,
        };
        let path = self.folder.join(RECORD_FILE);
        replace(&self.folder, &path, &encode(&record), durability).map_err(|source| RecordError { path, source })?;
        *written = Some(turn);
        Ok(())
    }
}

fn replace(folder: &Path, path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    if durability == Durability::Machine {
        file.sync_data()?;
    }
    std::fs::rename(&temporary, path)?;
    if durability == Durability::Machine {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
