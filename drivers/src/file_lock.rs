//! Advisory locks between processes (`flock`): they die with their holder, so that none is ever stale.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::CommandRunner;

/// How often a busy lock is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// An exclusive lock, held until it is dropped and every child that got [`FileLock::for_child`] is dead.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
    path: PathBuf,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// The file cannot be opened or locked.
    #[error("cannot lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The task was stopped while it waited.
    #[error("stopped while waiting for {path}")]
    Stopped {
        /// The lock file.
        path: PathBuf,
    },
}

impl FileLock {
    /// Waits for the lock of a file, which is made where it is missing and never removed. `waiting` is called once
    /// if somebody else holds it.
    pub(crate) fn acquire(
        path: &Path,
        commands: &dyn CommandRunner,
        waiting: impl FnOnce(),
    ) -> Result<Self, LockError> {
        let failed = |source: io::Error| LockError::Io { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file, path: path.to_owned() }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            if commands.is_stopped() {
                return Err(LockError::Stopped { path: path.to_owned() });
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            pause();
        }
    }

    /// The lock of a file, if nobody else holds it.
    pub(crate) fn try_acquire(path: &Path) -> Result<Option<Self>, LockError> {
        let failed = |source: io::Error| LockError::Io { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// A handle for a child's standard input: with it the lock outlives its holder until that child is dead too.
    pub(crate) fn for_child(&self) -> Result<File, LockError> {
        self.file.try_clone().map_err(|source| LockError::Io { path: self.path.clone(), source })
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "flock can be waited for blindly or polled, and a stop must end the wait"
)]
fn pause() {
    std::thread::sleep(RETRY_EVERY);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::command::{CommandLine, SystemCommands};

    #[test]
    fn one_holds_it_and_a_stop_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/lock");
        let stop = Arc::new(AtomicBool::new(false));
        let commands = SystemCommands::inheriting(Arc::clone(&stop));
        let held = FileLock::acquire(&path, &commands, || panic!("nobody else has it")).unwrap();
        let refused = FileLock::acquire(&path, &commands, || stop.store(true, Ordering::Relaxed));
        assert!(matches!(refused, Err(LockError::Stopped { .. })));
        drop(held);
        FileLock::acquire(&path, &commands, || panic!("it was let go")).unwrap();
    }

    #[test]
    fn a_child_keeps_it_after_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let commands = SystemCommands::inheriting(Arc::default());
        let held = FileLock::acquire(&path, &commands, || {}).unwrap();
        let command = CommandLine::new("sh").arguments(["-c", "echo up; sleep 60"]).input(held.for_child().unwrap());
        let (up, is_up) = std::sync::mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let child = SystemCommands::inheriting(Arc::clone(&stop));
        std::thread::scope(|scope| {
            scope.spawn(move || child.run(command, &mut |_| up.send(()).unwrap()));
            is_up.recv().unwrap();
            drop(held);
            let again = File::options().write(true).open(&path).unwrap();
            assert!(matches!(again.try_lock(), Err(TryLockError::WouldBlock)));
            stop.store(true, Ordering::Relaxed);
            FileLock::acquire(&path, &commands, || {}).unwrap();
        });
    }
}
