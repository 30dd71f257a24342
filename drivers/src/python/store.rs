//! The store of shared environments: one folder per key, built once, used in place.
//!
//! ```text
//! environments/KEY.lock          held while KEY is built
//! environments/KEY/venv/         the environment; scripts in it name this path
//! environments/KEY/ready.json    there if, and only if, the environment is whole
//! environments/KEY/last_used     its modification time is the time of the last use
//! environments/KEY.old/          a half-built one, being removed
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Environment;
use super::error::PythonError;
use super::installer::{FORMAT, Installer};
use super::uv::remove;
use crate::file_lock::FileLock;

/// Name of the file that makes an environment count.
const READY_FILE: &str = "ready.json";
/// Name of the file whose modification time is the time of the last use.
const LAST_USED_FILE: &str = "last_used";

/// What is known of an environment that is whole.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    /// [`FORMAT`] of the program that built it.
    format: u32,
    /// Version of its interpreter, for example `3.11.7`.
    python_version: String,
    /// The interpreter that it was made with.
    interpreter: PathBuf,
    /// What was asked for, in canonical form, without secrets.
    requirements: Vec<String>,
    /// Installed packages as `pip freeze` writes them.
    packages: Vec<String>,
    /// When it was built, in seconds since 1970.
    created: u64,
}

/// All shared environments.
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store below the root of the caches.
    pub(super) fn new(cache_dir: &Path) -> Self {
        Self { folder: cache_dir.join("environments") }
    }

    /// The environment that was asked for; built if it is not there, by one of all who ask.
    pub(super) fn provide(&self, installer: &Installer<'_>) -> Result<Environment, PythonError> {
        let key = installer.key();
        let folder = self.folder.join(&key);
        if let Some(found) = self.find(&folder)? {
            return Ok(found);
        }
        let waiting = || (installer.progress)("waiting for another task that builds the same environment");
        let lock = FileLock::acquire(&self.folder.join(format!("{key}.lock")), installer.commands, waiting)?;
        if let Some(found) = self.find(&folder)? {
            return Ok(found);
        }
        self.clear(&folder)?;
        fs::create_dir_all(&folder).map_err(PythonError::io("make", &folder))?;
        match build(installer, &folder, Some(&lock)) {
            Ok(environment) => Ok(environment),
            Err(error) => {
                // Whether or not it can be removed: without its file it does not count, and the next one clears it.
                let _ = self.clear(&folder);
                Err(error)
            }
        }
    }

    fn find(&self, folder: &Path) -> Result<Option<Environment>, PythonError> {
        let ready = fs::read(folder.join(READY_FILE)).ok();
        let ready = ready.and_then(|bytes| serde_json::from_slice::<Ready>(&bytes).ok());
        let Some(ready) = ready.filter(|ready| ready.format == FORMAT) else { return Ok(None) };
        // The link leads to an interpreter that may have been removed.
        if !Installer::python_in(folder).exists() {
            return Ok(None);
        }
        touch(folder)?;
        Ok(Some(environment(folder, ready, true)))
    }

    /// Takes what is left of an earlier build out of the way first: whoever still writes into it, writes elsewhere.
    fn clear(&self, folder: &Path) -> Result<(), PythonError> {
        let old = folder.with_extension("old");
        remove(&old)?;
        match fs::rename(folder, &old) {
            Ok(()) => remove(&old),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(PythonError::io("move", folder)(error)),
        }
    }
}

/// Builds an environment of the attempt's own, replacing what an earlier try may have left.
pub(super) fn build_private(installer: &Installer<'_>, private_dir: &Path) -> Result<Environment, PythonError> {
    let folder = private_dir.join("environment");
    remove(&folder)?;
    fs::create_dir_all(&folder).map_err(PythonError::io("make", &folder))?;
    let folder = folder.canonicalize().map_err(PythonError::io("find", &folder))?;
    build(installer, &folder, None)
}

fn build(installer: &Installer<'_>, folder: &Path, lock: Option<&FileLock>) -> Result<Environment, PythonError> {
    let begun = Instant::now();
    let version = installer.interpreter.version_text();
    (installer.progress)(&format!("building an environment with Python {version}"));
    let packages = installer.build(folder, lock)?;
    let ready = Ready {
        format: FORMAT,
        python_version: version,
        interpreter: installer.interpreter.path.clone(),
        requirements: installer.requirements.canonical(),
        packages,
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let text = serde_json::to_vec_pretty(&ready).expect("paths of interpreters are UTF-8: they came as JSON");
    touch(folder)?;
    write_atomically(&folder.join(READY_FILE), &text)?;
    let (count, seconds) = (ready.packages.len(), begun.elapsed().as_secs_f64());
    (installer.progress)(&format!("{count} packages installed in {seconds:.1} s"));
    Ok(environment(folder, ready, false))
}

fn environment(folder: &Path, ready: Ready, reused: bool) -> Environment {
    let python = Installer::python_in(folder);
    Environment {
        bin_dir: python.parent().map(Path::to_owned),
        python,
        packages: Some(ready.packages),
        reused,
        python_version: ready.python_version,
    }
}

fn touch(folder: &Path) -> Result<(), PythonError> {
    let path = folder.join(LAST_USED_FILE);
    let file = fs::File::options().create(true).truncate(true).write(true).open(&path);
    file.and_then(|file| file.set_modified(SystemTime::now())).map_err(PythonError::io("write", &path))
}

/// Replaces a file by one that is whole, making its folder if need be.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), PythonError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(PythonError::io("write", path))
}
