//! Builds one environment: with uv where it can be had, else with the interpreter's own `venv` and pip.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;
use sha2::{Digest, Sha256};

use super::error::PythonError;
use super::indexes::Indexes;
use super::installed;
use super::interpreter::PythonInterpreter;
use super::probe::PYTHON_VARIABLES;
use super::reason;
use super::requirements::Requirements;
use super::uv::UvProvider;
use crate::command::{CommandLine, CommandRunner, Finished};
use crate::file_lock::FileLock;

/// Changes whenever an environment of before would be built differently today.
pub(super) const FORMAT: u32 = 1;
/// Requirement options that uv takes on its command line, from its environment, or not at all.
const NOT_FOR_UV: [&str; 5] = ["--pre", "--trusted-host", "--prefer-binary", "--require-hashes", "--use-feature"];
/// What every environment has besides what was asked for; programs call pip, old packages import setuptools.
const SEEDS: [&str; 3] = ["pip", "setuptools", "wheel"];

/// All that decides on an environment, and the means to build it.
pub(super) struct Installer<'a> {
    pub(super) cache_dir: &'a Path,
    pub(super) settings: &'a PythonSettings,
    pub(super) interpreter: &'a PythonInterpreter,
    pub(super) requirements: &'a Requirements,
    pub(super) indexes: &'a Indexes,
    pub(super) working_dir: Option<&'a Path>,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

enum Engine {
    Uv(PathBuf),
    Pip,
}

/// One folder being filled.
struct Site<'a> {
    environment: PathBuf,
    python: PathBuf,
    /// Where the installer runs, and where its input files are.
    folder: &'a Path,
    lock: Option<&'a FileLock>,
}

impl Installer<'_> {
    /// Equal for questions that have the same answer: requirements, indexes and interpreter, without secrets.
    pub(super) fn key(&self) -> String {
        let interpreter = self.interpreter;
        let real = interpreter.path.canonicalize().unwrap_or_else(|_| interpreter.path.clone());
        let mut lines = vec![
            format!("format {FORMAT}"),
            format!("python {} {}", real.display(), interpreter.version_text()),
            format!("kind {} {}", interpreter.implementation, interpreter.platform),
            format!("base {}", interpreter.base_prefix.display()),
            format!("system site packages {}", self.settings.system_site_packages),
        ];
        lines.extend(self.indexes.canonical());
        lines.push("requirements".to_owned());
        lines.extend(self.requirements.canonical());
        hex::encode(&Sha256::digest(lines.join("\n").as_bytes())[..20])
    }

    /// Path of the environment within a folder.
    pub(super) fn environment_in(folder: &Path) -> PathBuf {
        folder.join("venv")
    }

    /// Path of the interpreter within a folder.
    pub(super) fn python_in(folder: &Path) -> PathBuf {
        Self::environment_in(folder).join("bin/python")
    }

    /// Builds the environment in an empty folder. Returns its packages as `pip freeze` writes them.
    pub(super) fn build(&self, folder: &Path, lock: Option<&FileLock>) -> Result<Vec<String>, PythonError> {
        let engine = self.choose_engine()?;
        let site = Site { environment: Self::environment_in(folder), python: Self::python_in(folder), folder, lock };
        self.create(&engine, &site)?;
        if !self.requirements.is_empty() {
            self.install(&engine, &site)?;
        }
        let names = self.requirements.names();
        let left_out: Vec<&str> = SEEDS.into_iter().filter(|seed| !names.iter().any(|name| name == seed)).collect();
        let mut packages = installed::packages(&site.environment, &left_out);
        packages.extend(self.requirements.local_originals().iter().cloned());
        if let Engine::Uv(uv) = &engine {
            self.seed(uv, &site)?;
        }
        Ok(packages)
    }

    fn choose_engine(&self) -> Result<Engine, PythonError> {
        // uv does not count packages of the machine as installed, and needs a Python that is still maintained.
        let is_for_pip = self.settings.without_uv
            || self.settings.system_site_packages
            || !self.interpreter.is_at_least(3, 8)
            || self.requirements.has("--use-feature");
        if is_for_pip {
            return Ok(Engine::Pip);
        }
        let provider = UvProvider {
            cache_dir: self.cache_dir,
            interpreter: self.interpreter,
            indexes: self.indexes,
            commands: self.commands,
            progress: self.progress,
        };
        Ok(provider.provide()?.map_or(Engine::Pip, Engine::Uv))
    }

    fn create(&self, engine: &Engine, site: &Site<'_>) -> Result<(), PythonError> {
        let python = &self.interpreter.path;
        let command = match engine {
            Engine::Uv(uv) => {
                CommandLine::new(uv).arguments(["venv", "--quiet", "--no-project", "--python"]).argument(python)
            }
            Engine::Pip => {
                let shared = self.settings.system_site_packages.then_some("--system-site-packages");
                CommandLine::new(python).arguments(["-m", "venv"]).arguments(shared)
            }
        };
        let finished = self.run(engine, site, command.argument(&site.environment).directory(site.folder))?;
        if finished.is_success() {
            return Ok(());
        }
        if finished.tail.iter().any(|line| line.contains("ensurepip") || line.contains("No module named venv")) {
            let [major, minor, _] = self.interpreter.version;
            return Err(PythonError::NoVenv { python: python.clone(), package: format!("python{major}.{minor}-venv") });
        }
        self.check_disk(site, &finished)?;
        let detail = reason::reason(&finished.tail, self.indexes.scrubber());
        Err(PythonError::Create { python: python.clone(), detail })
    }

    /// A set of pins that contradict each other, which `pip freeze` of a working environment often is, is installed
    /// as it is: what was pinned is what ran. Everything that is not pinned is still resolved.
    fn install(&self, engine: &Engine, site: &Site<'_>) -> Result<(), PythonError> {
        let left_out: &[&str] = match engine {
            Engine::Uv(_) => &NOT_FOR_UV,
            Engine::Pip => &[],
        };
        let requirements = write_input(site.folder, "requirements.txt", &self.requirements.file_text(left_out))?;
        let constraints = self.requirements.constraints_text();
        let constraints = match constraints.is_empty() {
            true => None,
            false => Some(write_input(site.folder, "constraints.txt", &constraints)?),
        };
        let first = self.run_install(engine, site, &requirements, constraints.as_deref(), None)?;
        let mut is_done = first.is_success();
        let pins = self.requirements.pins_text();
        if !is_done && !pins.is_empty() && reason::is_conflict(&first.tail) {
            (self.progress)(
                "the pinned packages contradict each other's dependencies: installing them as they are pinned",
            );
            let pins = write_input(site.folder, "pins.txt", &pins)?;
            is_done = self.run_install(engine, site, &requirements, constraints.as_deref(), Some(&pins))?.is_success();
        }
        // The files may hold passwords.
        let input = site.folder.join("input");
        fs::remove_dir_all(&input).map_err(PythonError::io("remove", &input))?;
        if is_done {
            return Ok(());
        }
        self.check_disk(site, &first)?;
        let detail = reason::reason(&first.tail, self.indexes.scrubber());
        Err(PythonError::Install { detail, is_transient: reason::is_network_failure(&first.tail) })
    }

    fn run_install(
        &self,
        engine: &Engine,
        site: &Site<'_>,
        requirements: &Path,
        constraints: Option<&Path>,
        pins: Option<&Path>,
    ) -> Result<Finished, PythonError> {
        let mut command = match engine {
            Engine::Uv(uv) => {
                let mut command = CommandLine::new(uv).arguments(["pip", "install", "--python"]).argument(&site.python);
                if self.requirements.has("--pre") {
                    command = command.arguments(["--prerelease", "allow"]);
                }
                if self.requirements.has("--require-hashes") {
                    command = command.argument("--require-hashes");
                }
                if let Some(pins) = pins {
                    command = command.argument("--override").argument(pins);
                }
                command
            }
            Engine::Pip => {
                let resolver = pins.map(|_| "--use-deprecated=legacy-resolver");
                CommandLine::new(&site.python).arguments(["-m", "pip", "install"]).arguments(resolver)
            }
        };
        command = command.argument("-r").argument(requirements);
        if let Some(constraints) = constraints {
            command = command.argument("-c").argument(constraints);
        }
        // A shared environment must not depend on where it was built: no project file may be found from there.
        let is_private = self.requirements.is_local();
        let directory = self.working_dir.filter(|_| is_private).unwrap_or(site.folder);
        self.run(engine, site, command.directory(directory))
    }

    /// Adds pip, and what Python before 3.12 had in every environment. Does without where no index can be reached.
    fn seed(&self, uv: &Path, site: &Site<'_>) -> Result<(), PythonError> {
        let mut command = CommandLine::new(uv).arguments(["pip", "install", "--quiet", "--python"]);
        command = command.argument(&site.python).argument("pip");
        if !self.interpreter.is_at_least(3, 12) {
            // Later versions have lost what the packages that need it need it for.
            command = command.arguments(["setuptools<81", "wheel"]);
        }
        let command = self.dressed(command.directory(site.folder), site, self.uv_variables())?;
        let finished = self.commands.run(command, &mut |_| {})?;
        if !finished.is_success() {
            let why = reason::reason(&finished.tail, self.indexes.scrubber());
            (self.progress)(&format!("the environment has no pip of its own: {why}"));
        }
        Ok(())
    }

    fn uv_variables(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        self.indexes.uv_variables(self.cache_dir, self.commands)
    }

    fn run(&self, engine: &Engine, site: &Site<'_>, command: CommandLine) -> Result<Finished, PythonError> {
        let variables = match engine {
            Engine::Uv(_) => self.uv_variables(),
            Engine::Pip => self.indexes.pip_variables(),
        };
        let command = self.dressed(command, site, variables)?;
        let scrubber = self.indexes.scrubber();
        Ok(self.commands.run(command, &mut |line| (self.progress)(&scrubber.scrub(line)))?)
    }

    fn dressed(
        &self,
        mut command: CommandLine,
        site: &Site<'_>,
        variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<CommandLine, PythonError> {
        command = command.without_variables(PYTHON_VARIABLES);
        command = command.without_variables(["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "CONDA_PREFIX", "UV_PROJECT"]);
        command.variables.extend(variables);
        if let Some(lock) = site.lock {
            // An installer whose parent was killed keeps the lock until it is dead too.
            command = command.input(lock.for_child()?);
        }
        Ok(command)
    }

    fn check_disk(&self, site: &Site<'_>, finished: &Finished) -> Result<(), PythonError> {
        match reason::is_disk_full(&finished.tail) {
            true => Err(PythonError::DiskFull { path: site.folder.to_owned() }),
            false => Ok(()),
        }
    }
}

/// Writes a file that only this user can read.
fn write_input(folder: &Path, name: &str, text: &str) -> Result<PathBuf, PythonError> {
    let input = folder.join("input");
    fs::create_dir_all(&input).map_err(PythonError::io("make", &input))?;
    let path = input.join(name);
    let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(PythonError::io("write", &path))?;
    Ok(path)
}
