//! What conda has downloaded and unpacked for environments of images, for the next one.
//!
//! Processes of conda do not expect others in one cache of packages, least of all from other containers, whose processes
//! they do not see. So each has a cache by itself while it runs: the first that is free, hence mostly the same one,
//! whatever the image. What is in a cache whose conda was ended in the middle of its work is given up.
//!
//! ```text
//! conda/1.lock           held while the first cache is in use
//! conda/1.json           which folder it is, and whether it is whole
//! conda/1/7/packages/    the packages
//! ```

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file_lock::FileLock;
use crate::python::error::PythonError;
use crate::python::made;
use crate::python::store::{remove, write_atomically};

/// A cache that nobody else has.
pub(super) struct Downloads {
    _lock: FileLock,
    place: PathBuf,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The folder. What was given up may still be written to: its name is not used again.
    folder: u64,
    /// Whether nothing was broken off in it.
    is_whole: bool,
}

impl Downloads {
    /// The first cache that is free. It is not whole before it is given back.
    pub(super) fn take(root: &Path) -> Result<Self, PythonError> {
        // Addresses of packages are in it, with the tokens of their channels.
        let closed = made(root).map(|root| fs::set_permissions(&root, Permissions::from_mode(0o700)));
        closed?.map_err(PythonError::io("close", root))?;
        let mut number = 1;
        let lock = loop {
            match FileLock::try_acquire(&root.join(format!("{number}.lock")))? {
                Some(lock) => break lock,
                None => number += 1,
            }
        };
        let place = root.join(number.to_string());
        let state = fs::read(state_file(&place)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let State { folder, is_whole } = state.unwrap_or_default();
        let this = Self {
            _lock: lock,
            state: State { folder: if is_whole { folder } else { folder + 1 }, is_whole: false },
            place,
        };
        this.write(this.state)?;
        if !is_whole {
            // Where something of it stays, it takes room and does no harm.
            let _ = remove(&this.place);
        }
        let packages = this.packages();
        fs::create_dir_all(&packages).map_err(PythonError::io("make", &packages))?;
        Ok(this)
    }

    /// Where packages are to be.
    pub(super) fn packages(&self) -> PathBuf {
        self.folder().join("packages")
    }

    /// Whatever else a program keeps.
    pub(super) fn folder(&self) -> PathBuf {
        self.place.join(self.state.folder.to_string())
    }

    /// Lets the next one have what is in it: conda has come to its own end.
    pub(super) fn give_back(self) -> Result<(), PythonError> {
        self.write(State { is_whole: true, ..self.state })
    }

    fn write(&self, state: State) -> Result<(), PythonError> {
        write_atomically(&state_file(&self.place), &serde_json::to_vec(&state).expect("numbers are JSON"))
    }
}

fn state_file(place: &Path) -> PathBuf {
    place.with_extension("json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_the_next_one_gets_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("conda");
        let (one, other) = (Downloads::take(&root).unwrap(), Downloads::take(&root).unwrap());
        assert_ne!(one.packages(), other.packages());
        fs::write(one.packages().join("a"), "").unwrap();
        fs::write(other.packages().join("b"), "").unwrap();
        let (first, second) = (one.packages(), other.packages());
        one.give_back().unwrap();
        // This one was killed.
        drop(other);
        let (one, other) = (Downloads::take(&root).unwrap(), Downloads::take(&root).unwrap());
        assert_eq!(one.packages(), first);
        assert!(first.join("a").exists());
        assert_ne!(other.packages(), second);
        assert!(!second.exists() && !other.packages().join("b").exists());
        // As this one is.
        drop(one);
        let again = Downloads::take(&root).unwrap();
        assert!(again.packages() != first && !first.exists());
    }

    #[test]
    fn a_state_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        Downloads::take(folder.path()).unwrap().give_back().unwrap();
        fs::write(folder.path().join("1.json"), "{").unwrap();
        let again = Downloads::take(folder.path()).unwrap();
        assert!(again.packages().is_dir());
    }
}
