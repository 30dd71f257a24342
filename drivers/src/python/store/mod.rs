//! The store of shared environments: each built once, immutable, used in place.
//!
//! A question leads to what it was resolved to, which leads to an environment: two questions with the same exact
//! packages share one. Everything that several processes could meet at is decided by file locks, which die with
//! their holders, and by renames: whatever is killed, at any moment, leaves nothing behind that would be used.
//!
//! ```text
//! environments/asked/KEY.json        what a question was answered with
//! environments/built/ID/venv/        an environment; scripts in it name this path
//! environments/built/ID/ready.json   there if, and only if, the environment is whole
//! environments/built/ID/lease        locked while the environment is in use
//! environments/built/ID/last_used    its modification time is the time of the last use
//! environments/tasks/TASK.json       what a task asked last, for `hostler env why`
//! environments/locks/                held while a question is answered, or an environment is built
//! environments/scratch/KEY/          input files of a build; they may hold secrets
//! environments/doomed/               what is being removed
//! ```

mod bytecode;
#[cfg(test)]
mod crash_tests;
mod downloads;
mod eviction;
mod folder;
mod inspect;
mod lease;
mod provide;
mod question;
mod record;
mod similar;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use self::bytecode::{sealing_command, start_sealing};
pub use self::eviction::{Limits, Pruned};
pub(crate) use self::folder::{Protected, protect, remove, walk};
pub use self::inspect::{Entry, Why};
pub use self::lease::Lease;
pub(crate) use self::provide::{Asker, BuildSite, Built, Found, Recipe};
pub use self::question::{Difference, Question};
pub(crate) use self::record::{FORMAT, write_atomically};
pub use self::record::{Nearest, Outcome, Ready, TaskRecord};
pub use self::verify::Damage;
use super::error::PythonError;

const READY_FILE: &str = "ready.json";
const LAST_USED_FILE: &str = "last_used";

/// All shared environments of the machine.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in a folder. Nothing is made before it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where an environment is, or would be.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.built().join(id)
    }

    /// The folder of all environments.
    pub fn built(&self) -> PathBuf {
        self.root.join("built")
    }

    fn doomed(&self) -> PathBuf {
        self.root.join("doomed")
    }

    fn asked(&self, key: &str) -> PathBuf {
        self.root.join("asked").join(format!("{key}.json"))
    }

    fn task(&self, task: &str) -> PathBuf {
        // Ids come from outside: they must not lead elsewhere.
        let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '_' };
        let name: String = task.chars().map(safe).take(128).collect();
        self.root.join("tasks").join(format!("{name}.json"))
    }

    fn scratch(&self, key: &str) -> PathBuf {
        self.root.join("scratch").join(key)
    }

    fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{name}.lock"))
    }

    /// What is known of an environment that is whole.
    fn ready(&self, id: &str) -> Option<Ready> {
        record::read::<Ready>(&self.folder(id).join(READY_FILE)).filter(|ready| ready.format == FORMAT)
    }
}

/// The file that says when an environment was used last.
fn touch(folder: &Path) -> Result<(), PythonError> {
    let path = folder.join(LAST_USED_FILE);
    let file = fs::File::options().create(true).truncate(true).write(true).open(&path);
    file.and_then(|file| file.set_modified(SystemTime::now())).map_err(PythonError::io("write", &path))
}

fn last_used(folder: &Path) -> SystemTime {
    fs::metadata(folder.join(LAST_USED_FILE)).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}
