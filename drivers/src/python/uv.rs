//! The `uv` program: the machine's own, or one that is installed from the package index at first use.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::PythonError;
use super::indexes::Indexes;
use super::interpreter::PythonInterpreter;
use super::probe::PYTHON_VARIABLES;
use super::reason;
use super::store::remove;
use crate::command::{CommandError, CommandLine, CommandRunner, Finished};
use crate::file_lock::FileLock;

/// Seconds without an answer after which an index is taken for unreachable: pip takes over.
const TIMEOUT_SECONDS: &str = "15";

/// Finds uv, or installs it.
pub(super) struct UvProvider<'a> {
    pub(super) cache_dir: &'a Path,
    pub(super) interpreter: &'a PythonInterpreter,
    pub(super) indexes: &'a Indexes,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

impl UvProvider<'_> {
    /// The program; `None`, with a line that says why, where pip has to do.
    pub(super) fn provide(&self) -> Result<Option<PathBuf>, PythonError> {
        if let Some(image) = self.commands.image() {
            let (cache_dir, indexes, commands, progress) = (self.cache_dir, self.indexes, self.commands, self.progress);
            let found = StaticUv { cache_dir, indexes, commands, here: image.here, progress }.provide()?;
            return Ok(found
                .map_err(|why| progress(&format!("uv cannot be had for containers ({why}); using the image's pip")))
                .ok());
        }
        for candidate in self.commands.find_all("uv") {
            if self.works(&candidate)? {
                return Ok(Some(candidate));
            }
        }
        let folder = self.cache_dir.join("tools/uv");
        let program = folder.join("bin/uv");
        if program.exists() {
            return Ok(Some(program));
        }
        let waiting = || (self.progress)("waiting for another task that installs uv");
        let lock = FileLock::acquire(&self.cache_dir.join("tools/uv.lock"), self.commands, waiting)?;
        if program.exists() {
            return Ok(Some(program));
        }
        (self.progress)("installing uv, once for this machine");
        let new = self.cache_dir.join("tools/uv.new");
        remove(&new)?;
        let failure = match self.install(&new, &lock)? {
            Ok(()) if self.works(&new.join("bin/uv"))? => {
                remove(&folder)?;
                fs::rename(&new, &folder).map_err(PythonError::io("move", &new))?;
                return Ok(Some(program));
            }
            Ok(()) => "it does not run on this machine".to_owned(),
            Err(failure) => failure,
        };
        remove(&new)?;
        (self.progress)(&format!("uv cannot be installed ({failure}); using pip"));
        Ok(None)
    }

    /// Installs into a folder of its own; the inner error is why it cannot be done.
    fn install(&self, into: &Path, lock: &FileLock) -> Result<Result<(), String>, PythonError> {
        let pip = CommandLine::new(&self.interpreter.path).arguments(["-m", "pip"]);
        let mut finished = self.run(pip_install(self.indexes, pip, into), lock)?;
        if finished.tail.iter().any(|line| line.contains("No module named pip")) {
            // An interpreter without pip may still make an environment that has one.
            let helper = self.cache_dir.join("tools/uv.pip");
            remove(&helper)?;
            let made =
                self.run(CommandLine::new(&self.interpreter.path).arguments(["-m", "venv"]).argument(&helper), lock)?;
            if made.is_success() {
                let pip = CommandLine::new(helper.join("bin/python")).arguments(["-m", "pip"]);
                finished = self.run(pip_install(self.indexes, pip, into), lock)?;
            }
            remove(&helper)?;
        }
        if finished.is_success() {
            return Ok(Ok(()));
        }
        Ok(Err(reason::reason(&finished.tail, self.indexes.scrubber())))
    }

    fn run(&self, command: CommandLine, lock: &FileLock) -> Result<Finished, PythonError> {
        let command = command.without_variables(PYTHON_VARIABLES).input(lock.for_child()?);
        Ok(self.commands.run(command, &mut |_| {})?)
    }

    fn works(&self, program: &Path) -> Result<bool, PythonError> {
        match self.commands.run(CommandLine::new(program).argument("--version"), &mut |_| {}) {
            Ok(finished) => Ok(finished.is_success()),
            Err(CommandError::Stopped { .. }) => Err(PythonError::Stopped),
            // What cannot be started does not work.
            Err(CommandError::NotFound { .. } | CommandError::Run { .. }) => Ok(false),
        }
    }
}

/// Finds or installs a uv that runs in every image, whatever its C library, and on this machine.
pub(super) struct StaticUv<'a> {
    pub(super) cache_dir: &'a Path,
    pub(super) indexes: &'a Indexes,
    /// Ends the wait for others.
    pub(super) commands: &'a dyn CommandRunner,
    /// This machine, with whose Python it is installed.
    pub(super) here: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

impl StaticUv<'_> {
    /// The program, or why there is none.
    pub(super) fn provide(&self) -> Result<Result<PathBuf, String>, PythonError> {
        let folder = self.cache_dir.join("tools/uv-static");
        let program = folder.join("bin/uv");
        if program.exists() {
            return Ok(Ok(program));
        }
        let waiting = || (self.progress)("waiting for another task that installs uv");
        let lock = FileLock::acquire(&self.cache_dir.join("tools/uv-static.lock"), self.commands, waiting)?;
        if program.exists() {
            return Ok(Ok(program));
        }
        let Some(python) = self.here.find("python3") else {
            return Ok(Err("this machine has no python3 to install it with".to_owned()));
        };
        (self.progress)("getting a uv for containers, once for this machine");
        let new = self.cache_dir.join("tools/uv-static.new");
        remove(&new)?;
        let pip = CommandLine::new(python).arguments(["-m", "pip"]);
        let platform = format!("musllinux_1_1_{}", std::env::consts::ARCH);
        let command = pip_install(self.indexes, pip, &new).argument("--platform").argument(platform);
        let command = command.without_variables(PYTHON_VARIABLES).input(lock.for_child()?);
        let finished = self.here.run(command, &mut |_| {})?;
        if finished.is_success() && new.join("bin/uv").exists() {
            remove(&folder)?;
            fs::rename(&new, &folder).map_err(PythonError::io("move", &new))?;
            return Ok(Ok(program));
        }
        remove(&new)?;
        Ok(Err(reason::reason(&finished.tail, self.indexes.scrubber())))
    }
}

fn pip_install(indexes: &Indexes, pip: CommandLine, into: &Path) -> CommandLine {
    let mut command = pip
        .arguments(["install", "--quiet", "--only-binary=:all:", "--retries", "1", "--timeout", TIMEOUT_SECONDS])
        .argument("--target")
        .argument(into)
        .argument("uv");
    command.variables.extend(indexes.pip_variables());
    command.without_variables(["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT"])
}
