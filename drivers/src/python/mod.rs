//! Python for tasks: which interpreter, and an environment that has exactly the packages that a task asks for.
//!
//! Environments are content-addressed, immutable by convention and used in place: the same question gets the same
//! environment, and a hit starts no process. Requirements that point into the task's own code (`-e .`, `./lib`)
//! get an environment of the attempt's own, since what they mean lies in its work tree and changes with it.
//! Blocking throughout.

mod error;
mod indexes;
mod installed;
mod installer;
mod interpreter;
mod managed;
mod managers;
mod pip_config;
mod probe;
mod reason;
mod requirement_line;
mod requirements;
mod store;
mod torch;
mod uv;

use std::fmt;
use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;
use protocols::packaging::PackageManager;
use protocols::task::Interpreter;

pub use self::error::PythonError;
use self::indexes::Indexes;
use self::installer::Installer;
use self::interpreter::PythonInterpreter;
use self::managers::Finder;
use self::managers::conda::{self, Conda};
use self::requirements::Requirements;
use self::store::Store;
use crate::command::CommandRunner;

/// Where the task's code is.
#[derive(Clone, Copy, Debug)]
pub struct CodeFolder<'a> {
    /// Root of the repository, or the folder of a literal script. Absolute.
    pub root: &'a Path,
    /// The folder in which the task runs. Absolute, below `root` or equal to it.
    pub working_dir: &'a Path,
    /// The task's entry point, with its arguments.
    pub entry_point: &'a str,
}

/// The environment that a task asks for.
#[derive(Clone, Copy)]
pub struct EnvironmentRequest<'a> {
    /// What runs the task.
    pub interpreter: &'a Interpreter,
    /// Its requirement lines; where absent, `requirements.txt` files of the code count.
    pub requirements: Option<&'a [String]>,
    /// Its lines for conda, which count where that is the package manager.
    pub conda: Option<&'a [String]>,
    /// Its code, where it has any.
    pub code: Option<CodeFolder<'a>>,
    /// A folder of the attempt's own, for an environment that cannot be shared. It need not exist yet.
    pub private_dir: &'a Path,
}

/// An environment that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The interpreter to start.
    pub python: PathBuf,
    /// Folder of the environment's programs, to be put first on `PATH`; absent for a machine's interpreter as it is.
    pub bin_dir: Option<PathBuf>,
    /// Installed packages as `pip freeze` writes them; absent where nothing was installed.
    pub packages: Option<Vec<String>>,
    /// Whether it was there already.
    pub reused: bool,
    /// For example `3.11.7`; empty where there is no Python and the task needs none.
    pub python_version: String,
}

impl fmt::Debug for EnvironmentRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Requirement lines may hold secrets.
        formatter
            .debug_struct("EnvironmentRequest")
            .field("interpreter", &self.interpreter)
            .field("requirements", &self.requirements.map(<[String]>::len))
            .field("code", &self.code)
            .field("private_dir", &self.private_dir)
            .finish()
    }
}

/// All environments of the machine.
#[derive(Clone)]
pub struct EnvironmentStore {
    cache_dir: PathBuf,
    settings: PythonSettings,
}

impl fmt::Debug for EnvironmentStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EnvironmentStore").field("cache_dir", &self.cache_dir).finish_non_exhaustive()
    }
}

impl EnvironmentStore {
    /// `cache_dir` is the root of the machine's caches; it is made when it is needed.
    pub fn new(cache_dir: &Path, settings: &PythonSettings) -> Self {
        Self { cache_dir: cache_dir.to_owned(), settings: settings.clone() }
    }

    /// Finds or builds the environment. Lines for people, the installer's whole output included, go to `progress`,
    /// without secrets.
    pub fn prepare(
        &self,
        request: &EnvironmentRequest<'_>,
        commands: &dyn CommandRunner,
        progress: &dyn Fn(&str),
    ) -> Result<Environment, PythonError> {
        std::fs::create_dir_all(&self.cache_dir).map_err(PythonError::io("make", &self.cache_dir))?;
        // Scripts in environments name their interpreter by its absolute path.
        let cache_dir = self.cache_dir.canonicalize().map_err(PythonError::io("find", &self.cache_dir))?;
        let origin = managers::origin(request, &self.settings);
        let needs_python = matches!(request.interpreter, Interpreter::Python { .. }) || !origin.is_empty();
        let installs_nothing = self.settings.skip_install || self.settings.packages.manager == PackageManager::None;
        if self.settings.packages.manager == PackageManager::Conda && needs_python && !installs_nothing {
            let settings = &self.settings;
            return conda::provide(&Conda { request, settings, cache_dir: &cache_dir, commands, progress });
        }
        let chosen = interpreter::choose(request.interpreter, &self.settings, &cache_dir, commands, progress);
        if installs_nothing || !needs_python {
            return match chosen {
                Err(PythonError::NoInterpreter) if !needs_python => Ok(without_python()),
                chosen => Ok(as_it_is(chosen?)),
            };
        }
        let interpreter = chosen?;
        let finder = Finder {
            request,
            settings: &self.settings,
            cache_dir: &cache_dir,
            interpreter: &interpreter,
            commands,
            progress,
        };
        let source = finder.source(origin)?;
        let requirements = Requirements::read(&source, request.code.as_ref(), progress)?;
        self.install_optional(&finder, &requirements)
    }

    /// Leaves out what may be left out, where it cannot be installed with it.
    fn install_optional(&self, finder: &Finder<'_>, requirements: &Requirements) -> Result<Environment, PythonError> {
        let packages = &self.settings.packages;
        let (needed, optional) = requirements.split([&packages.priority_optional, &packages.post_optional]);
        match self.install_fitting(finder, requirements) {
            Err(PythonError::Install { detail, .. }) if !optional.is_empty() => {
                (finder.progress)(&format!(
                    "{} cannot be installed ({detail}) and may be missing",
                    optional.join(", ")
                ));
                self.install_fitting(finder, &needed)
            }
            installed => installed,
        }
    }

    /// Adds the index of PyTorch that fits this machine; does without where that does not help.
    fn install_fitting(&self, finder: &Finder<'_>, requirements: &Requirements) -> Result<Environment, PythonError> {
        let Finder { cache_dir, interpreter, commands, progress, .. } = *finder;
        let torch = torch::Finder { settings: &self.settings.packages, cache_dir, interpreter, commands, progress };
        let Some(fitting) = torch.find(requirements)? else {
            return self.install(finder, &self.settings, requirements);
        };
        let mut settings = self.settings.clone();
        settings.extra_index_urls.push(fitting.index);
        let mut fitted = requirements.clone();
        fitted.limit(fitting.limits);
        match self.install(finder, &settings, &fitted) {
            Err(PythonError::Install { detail, .. }) => {
                progress(&format!("with the index of PyTorch it cannot be done ({detail}): doing without it"));
                self.install(finder, &self.settings, requirements)
            }
            installed => installed,
        }
    }

    fn install(
        &self,
        finder: &Finder<'_>,
        settings: &PythonSettings,
        requirements: &Requirements,
    ) -> Result<Environment, PythonError> {
        let indexes = Indexes::gather(settings, requirements, finder.commands);
        let installer = Installer {
            cache_dir: finder.cache_dir,
            settings,
            interpreter: finder.interpreter,
            requirements,
            indexes: &indexes,
            working_dir: finder.request.code.map(|code| code.working_dir),
            commands: finder.commands,
            progress: finder.progress,
        };
        if requirements.is_local() {
            store::build_private(&installer, finder.request.private_dir)
        } else {
            Store::new(finder.cache_dir).provide(&installer)
        }
    }
}

fn as_it_is(interpreter: PythonInterpreter) -> Environment {
    Environment {
        python_version: interpreter.version_text(),
        python: interpreter.path,
        bin_dir: None,
        packages: None,
        reused: true,
    }
}

fn without_python() -> Environment {
    Environment {
        python: PathBuf::from("python3"),
        bin_dir: None,
        packages: None,
        reused: true,
        python_version: String::new(),
    }
}
