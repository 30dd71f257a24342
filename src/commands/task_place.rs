//! Where a task is kept while a command works on it, beside whatever daemons run on this machine.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use protocols::ids::TaskId;

use super::daemon::LOCK_FILE;
use super::{control, private_file};
use crate::exit::{Exit, Problem};

/// So much of an id names its folder: it is part of the names of sockets, which have to be short.
const NAME_LENGTH: usize = 16;

/// A state directory for one task, held as long as this lives.
pub(super) struct TaskPlace {
    directory: PathBuf,
    _lock: File,
}

impl TaskPlace {
    /// Whether an earlier process left something of this task.
    pub(super) fn is_there(states: &Path, task: &TaskId) -> bool {
        directory(states, task).join(LOCK_FILE).exists()
    }

    /// Takes the place; refused while another process has it.
    pub(super) fn take(states: &Path, task: &TaskId) -> anyhow::Result<Self> {
        loop {
            let directory = private_file::directory(&directory(states, task))?;
            let path = directory.join(LOCK_FILE);
            let lock = private_file::lock(&path)?.ok_or_else(|| in_use(&directory, task))?;
            // Whoever had it may have removed it in between: then this is the lock of a file that is gone.
            let is_it = |there: std::fs::Metadata| lock.metadata().is_ok_and(|held| held.ino() == there.ino());
            if path.metadata().is_ok_and(is_it) {
                return Ok(Self { directory, _lock: lock });
            }
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes everything: nothing of it is needed any more.
    pub(super) fn remove(self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(path = %self.directory.display(), %error, "cannot remove the state of the task");
        }
    }
}

fn directory(states: &Path, task: &TaskId) -> PathBuf {
    let letters = task.as_str().chars().filter(char::is_ascii_alphanumeric);
    states.join(letters.take(NAME_LENGTH).collect::<String>())
}

fn in_use(directory: &Path, task: &TaskId) -> anyhow::Error {
    let pid = control::status(directory).map(|status| format!(" (pid {})", status.pid)).unwrap_or_default();
    Problem::with(Exit::Unavailable, format!("another process{pid} on this machine works on the task {task}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_once_and_leaves_nothing() {
        let states = tempfile::tempdir().unwrap();
        let task = TaskId::from("0123456789abcdef0123456789abcdef");
        assert!(!TaskPlace::is_there(states.path(), &task));
        let place = TaskPlace::take(states.path(), &task).unwrap();
        assert!(place.directory().ends_with("0123456789abcdef") && TaskPlace::is_there(states.path(), &task));
        let error = TaskPlace::take(states.path(), &task).err().expect("it is held").to_string();
        assert!(error.contains(task.as_str()), "{error}");
        place.remove();
        assert_eq!(std::fs::read_dir(states.path()).unwrap().count(), 0);
        drop(TaskPlace::take(states.path(), &task).unwrap());
    }

    #[test]
    fn no_id_leads_out_of_the_folder() {
        assert_eq!(directory(Path::new("/s"), &TaskId::from("../../etc")), Path::new("/s/etc"));
    }
}
