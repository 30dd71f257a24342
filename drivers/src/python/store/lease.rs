//! Leases: an environment that is in use is not removed.
//!
//! A lease is a shared lock of the environment's file `lease`. It ends with the last process that has it, whatever
//! ends that process: there is nothing to clean up after a crash, of this program or of the machine.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::python::error::PythonError;

const LEASE_FILE: &str = "lease";

/// Keeps an environment for as long as it, or any process that inherited it, is there.
#[derive(Clone, Debug)]
pub struct Lease {
    file: Arc<File>,
}

impl Lease {
    /// The lease of a folder; `None` if there is no such folder, or if it is being removed.
    pub(super) fn take(folder: &Path) -> Result<Option<Self>, PythonError> {
        let path = folder.join(LEASE_FILE);
        let failed = |error| PythonError::io("lock", &path)(error);
        let file = match open(&path, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        // Exclusive locks are held for the time of a rename, by those who remove.
        loop {
            match file.try_lock_shared() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if is_same(&file, &path) => std::thread::yield_now(),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        // Whoever removes it moves it away under the lock: what is locked may be what was there before.
        let is_there = is_same(&file, &path);
        Ok(is_there.then(|| Self { file: Arc::new(file) }))
    }

    /// Lets child processes inherit it, so that it outlives this one.
    pub fn share_with_children(&self) -> io::Result<()> {
        fcntl(&*self.file, FcntlArg::F_SETFD(FdFlag::empty())).map(drop).map_err(io::Error::from)
    }

    /// A handle for the standard input of a child that is to have it.
    pub(super) fn for_child(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// The right to remove a folder that nobody has leased.
pub(super) struct Removal {
    _file: Option<File>,
}

impl Removal {
    /// `None` if somebody has leased it.
    pub(super) fn claim(folder: &Path) -> Result<Option<Self>, PythonError> {
        let path = folder.join(LEASE_FILE);
        let failed = |error| PythonError::io("lock", &path)(error);
        let file = match open(&path, false) {
            // Nobody has ever leased it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Self { _file: None })),
            opened => opened.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => Ok(is_same(&file, &path).then_some(Self { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Whether somebody has leased a folder.
pub(super) fn is_leased(folder: &Path) -> bool {
    let file = File::options().read(true).open(folder.join(LEASE_FILE));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Opens it to write, which some file systems ask of who locks, or, where that cannot be, to read.
fn open(path: &Path, create: bool) -> io::Result<File> {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match File::options().create(create).truncate(false).read(true).write(true).open(path) {
        Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => File::open(path),
        opened => opened,
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(here), Ok(there)) => identity(here) == identity(there),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_is_not_removed_and_what_is_removed_not_leased() {
        let store = tempfile::tempdir().unwrap();
        let folder = store.path().join("a");
        assert!(Lease::take(&folder).unwrap().is_none());
        fs::create_dir(&folder).unwrap();
        let (first, second) = (Lease::take(&folder).unwrap().unwrap(), Lease::take(&folder).unwrap());
        drop(first);
        assert!(is_leased(&folder) && Removal::claim(&folder).unwrap().is_none());
        drop(second);
        assert!(!is_leased(&folder));
        let removal = Removal::claim(&folder).unwrap().unwrap();
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lease::take(&folder).unwrap());
            fs::rename(&folder, store.path().join("b")).unwrap();
            drop(removal);
            waiting.join().unwrap()
        });
        assert!(waiting.is_none());
    }

    #[test]
    fn a_child_that_inherits_it_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::take(folder.path()).unwrap().unwrap();
        lease.share_with_children().unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        drop(lease);
        assert!(is_leased(folder.path()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_leased(folder.path()));
    }
}
