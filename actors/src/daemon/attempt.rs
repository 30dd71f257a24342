//! An attempt's folder, seen by the daemon: writes the order, reads the record, clears away.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use protocols::ids::{AttemptId, TaskId};
use protocols::order::{
    CONSOLE_FILE, Ended, ExecutorOrder, ExecutorRecord, ORDER_FILE, Progress, RECORD_FILE, attempt_name, decode, encode,
};

use super::gpu::usage::GpuPeak;

/// In an attempt's folder: the most that the task used of each of its GPUs; replaced as a whole.
const PEAKS_FILE: &str = "gpu-peaks.mpk";

/// Where one attempt lives.
#[derive(Clone, Debug)]
pub(crate) struct AttemptDir {
    path: PathBuf,
    mark: String,
}

impl AttemptDir {
    pub(crate) fn new(attempts_dir: &Path, task: &TaskId, pull: u64, attempt: AttemptId) -> Self {
        let mark = attempt_name(task, pull, attempt);
        Self { path: attempts_dir.join(&mark), mark }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of the mark variable in the environment of every process of the attempt.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn executor_log(&self) -> PathBuf {
        self.path.join("executor.log")
    }

    /// Makes the folder (0700) and writes the order (0600), replacing what an earlier daemon left there.
    pub(crate) fn write_order(&self, order: &ExecutorOrder) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let temporary = self.path.join("order.tmp");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&encode(order))?;
        std::fs::rename(temporary, self.path.join(ORDER_FILE))
    }

    /// Writes down what a task used at most of its GPUs: the next daemon goes on from there.
    pub(crate) fn write_peaks(&self, peaks: &BTreeMap<u32, GpuPeak>) -> io::Result<()> {
        let temporary = self.path.join("gpu-peaks.tmp");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&encode(peaks))?;
        std::fs::rename(temporary, self.path.join(PEAKS_FILE))
    }

    /// What an earlier daemon saw; nothing where it saw nothing.
    pub(crate) fn read_peaks(&self) -> BTreeMap<u32, GpuPeak> {
        let read = || decode(&std::fs::read(self.path.join(PEAKS_FILE)).ok()?).ok();
        read().unwrap_or_default()
    }

    /// The order, where one was written.
    pub(crate) fn read_order(&self) -> Option<ExecutorOrder> {
        decode(&std::fs::read(self.path.join(ORDER_FILE)).ok()?).ok()
    }

    /// Removes it with everything in it, whosever that is. Blocks.
    fn remove(&self) -> io::Result<()> {
        let order = self.read_order();
        match (std::fs::remove_dir_all(&self.path), order) {
            (Err(error), Some(order)) if error.kind() == io::ErrorKind::PermissionDenied => {
                drivers::container::reclaim(&order);
                std::fs::remove_dir_all(&self.path)
            }
            (removed, _) => removed,
        }
    }

    /// The executor's own record.
    pub(crate) fn read_record(&self) -> Record {
        match std::fs::read(self.path.join(RECORD_FILE)) {
            Ok(bytes) => decode(&bytes).map_or(Record::Unreadable, |record| Record::Written(Box::new(record))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::Missing,
            Err(_) => Record::Unreadable,
        }
    }
}

/// The console files of a run, oldest attempt first. One stream for the server: a second try's output follows the
/// first's.
pub(crate) fn console_files(attempts_dir: &Path, task: &TaskId, pull: u64, last: AttemptId) -> Vec<PathBuf> {
    (1..=last.0)
        .map(|attempt| AttemptDir::new(attempts_dir, task, pull, AttemptId(attempt)).path.join(CONSOLE_FILE))
        .collect()
}

/// Removes the folders of every attempt of a run.
pub(crate) fn remove_attempts(attempts_dir: &Path, task: &TaskId, pull: u64) {
    for attempt in 1..=protocols::lifecycle::MAX_LOST_ATTEMPTS {
        let directory = AttemptDir::new(attempts_dir, task, pull, AttemptId(attempt));
        match directory.remove() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %directory.path.display(), %error, "cannot remove an attempt's folder");
            }
        }
    }
}

/// What is on disk of an executor's record.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// It has not written one.
    Missing,
    /// It has, and it cannot be read.
    Unreadable,
    /// This one.
    Written(Box<ExecutorRecord>),
}

/// Removes the folders of attempts that belong to none of the `open` runs, a task and its pull each: a daemon that
/// died between a settlement and the removal has left them.
pub(crate) fn remove_leftovers<'a>(attempts_dir: &Path, open: impl IntoIterator<Item = (&'a TaskId, u64)>) {
    let open: Vec<String> = open.into_iter().map(|(task, pull)| format!("{task}.{pull}.")).collect();
    let Ok(entries) = std::fs::read_dir(attempts_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if open.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        tracing::debug!(%name, "removing the folder of a settled attempt");
        if let Err(error) = (AttemptDir { path: entry.path(), mark: name.to_string() }).remove() {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an attempt's folder");
        }
    }
}

/// What a record proves about an attempt whose executor is dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) environment_ready: bool,
    pub(crate) user_started: bool,
    pub(crate) report: Option<protocols::order::EnvironmentReport>,
    pub(crate) ended: Option<Ended>,
}

impl Proof {
    pub(crate) fn of(record: &Record) -> Self {
        let record = match record {
            Record::Missing => return Self::default(),
            // Written once, and lost with the power: user code may have run, so it must not run again.
            Record::Unreadable => {
                return Self { environment_ready: true, user_started: true, ..Self::default() };
            }
            Record::Written(record) => record,
        };
        match &record.progress {
            Progress::Preparing => Self::default(),
            Progress::Ready(report) => {
                Self { environment_ready: true, report: Some(report.clone()), ..Self::default() }
            }
            Progress::Launching(report) | Progress::Running(report, _) => {
                Self { environment_ready: true, user_started: true, report: Some(report.clone()), ended: None }
            }
            Progress::Ended(report, ended) => Self {
                environment_ready: report.is_some(),
                user_started: matches!(ended, Ended::Exited(_)),
                report: report.clone(),
                ended: Some(ended.clone()),
            },
        }
    }
}
