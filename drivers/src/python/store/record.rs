//! What the store writes down. Each file is replaced by atomic rename, or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::question::{Difference, Question};
use crate::python::error::PythonError;

/// Changes whenever an environment of before would be built differently today.
pub(crate) const FORMAT: u32 = 2;

/// `asked/KEY.json`: what a question was answered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) question: Question,
    /// The environment; it may have been evicted since.
    pub(super) environment: String,
    /// Exact versions: with their hashes where they were resolved before they were installed, else as installed.
    pub(super) resolution: Option<Vec<String>>,
    /// The first task that asked.
    pub(super) task: String,
}

/// `built/ID/ready.json`: there if, and only if, the environment is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// The format of the program that built it.
    pub format: u32,
    /// Its interpreter within its folder; it leads to one of the machine.
    pub program: PathBuf,
    /// Version of its interpreter, for example `3.11.7`.
    pub python_version: String,
    /// What was asked for by the first task that needed it.
    pub question: Question,
    /// Installed packages as `pip freeze` writes them.
    pub packages: Vec<String>,
    /// Exact versions: with their hashes where they were resolved before they were installed, else as installed.
    pub resolution: Option<Vec<String>>,
    /// The task that it was built for.
    pub task: String,
    /// When it was built, in seconds since 1970.
    pub created: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// Whether its interpreter is that of a container's image, which this machine does not see.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_for_an_image: bool,
}

impl Ready {
    /// Whether the interpreter is there, as far as it can be seen from here: the link to it may lead into an image.
    pub(super) fn has_program(&self, folder: &Path) -> bool {
        let program = folder.join(&self.program);
        if self.is_for_an_image { program.symlink_metadata().is_ok() } else { program.exists() }
    }
}

/// How a task came to its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The same question had been answered before.
    Hit,
    /// Another question had the same exact packages as its answer.
    Shared,
    /// It was built.
    Built,
    /// It was built for this attempt alone, as it holds the task's own code.
    Private,
}

/// `tasks/TASK.json`: what a task asked last, and what it got.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task.
    pub task: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// What it asked.
    pub question: Question,
    /// How it was answered.
    pub outcome: Outcome,
    /// With which environment; empty for one of its own.
    pub environment: String,
    /// For a miss, the environment whose question differed least, and in what.
    pub nearest: Option<Nearest>,
}

/// An environment that is not the answer, though nearly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its id.
    pub environment: String,
    /// The first task that asked for it.
    pub task: String,
    /// What is different.
    pub difference: Difference,
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A record that is there and whole.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

/// Writes a record.
pub(super) fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), PythonError> {
    let text = serde_json::to_vec_pretty(record).map_err(|error| PythonError::io("write", path)(error.into()))?;
    write_atomically(path, &text)
}

/// Replaces a file by one that is whole, making its folder if need be.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), PythonError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().prefix(".new.").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(PythonError::io("write", path))
}

/// The entries of a folder that may not be there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, PythonError> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read,
    };
    let paths: io::Result<Vec<PathBuf>> =
        read.and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut paths = paths.map_err(PythonError::io("read", folder))?;
    paths.sort();
    Ok(paths)
}

/// The name of a file or folder without what follows its last dot.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
