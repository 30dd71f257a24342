//! Interpreters that are not on this machine: uv gets them, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protocols::order::PythonSettings;

use super::error::PythonError;
use super::indexes::Indexes;
use super::interpreter::{PythonInterpreter, versions_below};
use super::probe::PYTHON_VARIABLES;
use super::reason;
use super::requirements::Requirements;
use super::store::write_atomically;
use super::uv::UvProvider;
use crate::command::{CommandLine, CommandRunner};
use crate::file_lock::FileLock;

/// How long it is remembered that a version cannot be had.
const FORGIVEN: Duration = Duration::from_secs(600);

/// Gets interpreters.
pub(super) struct Managed<'a> {
    pub(super) settings: &'a PythonSettings,
    pub(super) cache_dir: &'a Path,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

impl Managed<'_> {
    /// Interpreters of a version like `3.10`, got now if need be, or the reason why there is none. `other` is one
    /// that works, with which uv can be installed.
    pub(super) fn provide(
        &self,
        version: &str,
        other: &PythonInterpreter,
    ) -> Result<Result<Vec<PathBuf>, String>, PythonError> {
        let folder = self.cache_dir.join("interpreters/managed");
        let found = || versions_below(&folder, "cpython-", version);
        if !found().is_empty() {
            return Ok(Ok(found()));
        }
        if self.settings.without_uv || self.settings.skip_install || !version.starts_with("3.") {
            return Ok(Err(String::new()));
        }
        let refusal = folder.join(format!("{version}.refused"));
        if let Some(why) = remembered(&refusal) {
            return Ok(Err(why));
        }
        let indexes = Indexes::gather(self.settings, &Requirements::default(), self.commands);
        let (cache_dir, commands, progress) = (self.cache_dir, self.commands, self.progress);
        let provider = UvProvider { cache_dir, interpreter: other, indexes: &indexes, commands, progress };
        let Some(uv) = provider.provide()? else { return Ok(Err(String::new())) };
        let waiting = || progress("waiting for another task that gets the same Python");
        let lock = FileLock::acquire(&folder.join("lock"), commands, waiting)?;
        if !found().is_empty() {
            return Ok(Ok(found()));
        }
        progress(&format!("Python {version}, which the task asks for, is not on this machine: getting it"));
        let mut command = CommandLine::new(uv)
            .arguments(["python", "install", "--quiet", "--install-dir"])
            .argument(&folder)
            .argument(version)
            .directory(cache_dir)
            .without_variables(PYTHON_VARIABLES)
            .input(lock.for_child()?);
        command.variables.extend(indexes.uv_variables(&cache_dir.join("uv"), commands));
        // The last one counts. Nothing is put into the user's own folder of programs.
        command.variables.push(("UV_PYTHON_DOWNLOADS".into(), "manual".into()));
        command.variables.push(("UV_PYTHON_INSTALL_BIN".into(), "0".into()));
        let finished = commands.run(command, &mut |_| {})?;
        if finished.is_success() && !found().is_empty() {
            return Ok(Ok(found()));
        }
        let why = reason::reason(&finished.tail, indexes.scrubber());
        write_atomically(&refusal, why.as_bytes())?;
        Ok(Err(why))
    }
}

fn remembered(refusal: &Path) -> Option<String> {
    let modified = refusal.metadata().ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    fs::read_to_string(refusal).ok().filter(|_| age < FORGIVEN)
}
