//! A gate that holds tasks back until the test opens it: no polling on either side.

use std::fs::File;
use std::path::{Path, PathBuf};

/// A file that the test holds locked while the gate is shut. A task passes with [`Gate::python`] or
/// `flock --shared FILE true`.
#[derive(Debug)]
pub(crate) struct Gate {
    path: PathBuf,
    held: Option<File>,
}

impl Gate {
    /// A shut gate.
    pub(crate) fn shut(path: &Path) -> Self {
        let held = File::create(path).unwrap();
        held.lock().unwrap();
        Self { path: path.to_path_buf(), held: Some(held) }
    }

    /// The file, for `flock --shared`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets everybody through who waits, and everybody who comes.
    pub(crate) fn open(&mut self) {
        self.held = None;
    }

    /// A Python statement that returns once the gate is open.
    pub(crate) fn python(&self) -> String {
        format!("__import__('fcntl').flock(open({:?}), __import__('fcntl').LOCK_SH)", self.path)
    }
}
