//! Python for tasks: which interpreter, and an environment that has exactly the packages that a task asks for.
//!
//! Environments are content-addressed, immutable and used in place, each task with a writable layer of its own above
//! it: the same question gets the same environment, and a hit starts no process. Requirements that point into the
//! task's own code (`-e .`, `./lib`) get an environment of the attempt's own, since what they mean lies in its work
//! tree and changes with it.
//!
//! Blocking throughout.

mod environment;
mod error;
mod failed;
mod files;
mod flags;
mod from_git;
#[cfg(test)]
mod in_image;
mod in_order;
mod indexes;
mod inputs;
mod installed;
mod installer;
mod interpreter;
mod layer;
mod line_options;
mod managed;
mod managers;
mod pip_config;
mod probe;
mod reason;
mod requirement_line;
mod requirements;
mod seeds;
pub mod store;
mod torch;
mod uv;

use std::fmt;
use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;
use protocols::packaging::PackageManager;
use protocols::task::Interpreter;

pub use self::environment::{Environment, Shared};
use self::environment::{as_it_is, build_private, shared, without_python};
pub use self::error::PythonError;
pub use self::files::{files_of as requirement_files, requirements_text};
use self::flags::Flags;
use self::in_order::Order;
use self::indexes::Indexes;
use self::installer::Installer;
use self::managers::conda::{self, Conda};
use self::managers::{Finder, Origin};
pub use self::requirement_line::code_path;
use self::requirements::Requirements;
use self::store::{Asker, Limits, Outcome, Recipe, Store};
use crate::command::CommandRunner;
use crate::git::PackageAccess;

/// Name of the store's folder.
const STORE: &str = "environments";

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
    /// The task, for other tasks that wait for it, and for people.
    pub task: &'a str,
    /// What runs the task.
    pub interpreter: &'a Interpreter,
    /// Its requirement lines; where absent, `requirements.txt` files of the code count.
    pub requirements: Option<&'a [String]>,
    /// Its lines for conda, which count where that is the package manager.
    pub conda: Option<&'a [String]>,
    /// Its code, where it has any.
    pub code: Option<CodeFolder<'a>>,
    /// Access to the repositories that packages come from, where some do.
    pub repositories: Option<&'a PackageAccess<'a>>,
    /// A folder of the attempt's own, for an environment that cannot be shared. It need not exist yet.
    pub private_dir: &'a Path,
}

impl fmt::Debug for EnvironmentRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Requirement lines may hold secrets.
        formatter
            .debug_struct("EnvironmentRequest")
            .field("task", &self.task)
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
    /// Whether nothing is built that only one attempt could use.
    is_for_later: bool,
    /// Whether nothing of this machine's caches may be needed by what is built.
    is_apart: bool,
}

impl fmt::Debug for EnvironmentStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EnvironmentStore").field("cache_dir", &self.cache_dir).finish_non_exhaustive()
    }
}

impl EnvironmentStore {
    /// `cache_dir` is the root of the machine's caches; it is made when it is needed.
    pub fn new(cache_dir: &Path, settings: &PythonSettings) -> Self {
        Self { cache_dir: cache_dir.to_owned(), settings: settings.clone(), is_for_later: false, is_apart: false }
    }

    /// Has the environment built before the task needs it. `None` of one that holds the task's own code: that is
    /// built when there is an attempt that has it.
    pub fn build_ahead(
        &self,
        request: &EnvironmentRequest<'_>,
        commands: &dyn CommandRunner,
        progress: &dyn Fn(&str),
    ) -> Result<Option<Environment>, PythonError> {
        let store = Self { is_for_later: true, ..self.clone() };
        match store.prepare(request, commands, progress) {
            Ok(environment) => Ok(Some(environment)),
            Err(PythonError::Unshared) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Builds the environment in the folder of its own, replacing what is there, so that it needs none of the caches: they
    /// may go.
    pub fn build_apart(
        &self,
        request: &EnvironmentRequest<'_>,
        commands: &dyn CommandRunner,
        progress: &dyn Fn(&str),
    ) -> Result<Environment, PythonError> {
        Self { is_apart: true, ..self.clone() }.prepare(request, commands, progress)
    }

    /// Finds or builds the environment. Lines for people, the installer's whole output included, go to `progress`,
    /// without secrets.
    pub fn prepare(
        &self,
        request: &EnvironmentRequest<'_>,
        commands: &dyn CommandRunner,
        progress: &dyn Fn(&str),
    ) -> Result<Environment, PythonError> {
        let cache_dir = made(&self.cache_dir)?;
        let origin = managers::origin(request, &self.settings);
        let needs_python = matches!(request.interpreter, Interpreter::Python { .. }) || !origin.is_empty();
        let installs_nothing = self.settings.skip_install || self.settings.packages.manager == PackageManager::None;
        if self.settings.packages.manager == PackageManager::Conda && needs_python && !installs_nothing {
            let folder = made(self.settings.store.folder.as_deref().unwrap_or(&cache_dir))?;
            let downloads = self.settings.store.download_folder.as_ref().unwrap_or(&folder).join("conda");
            return conda::provide(&Conda {
                request,
                settings: &self.settings,
                cache_dir: &cache_dir,
                commands,
                progress,
                store: &Store::new(folder.join(STORE)),
                downloads: &downloads,
                limits: self.limits(),
                is_for_later: self.is_for_later,
                is_apart: self.is_apart,
            });
        }
        let chosen =
            interpreter::choose(request.interpreter, needs_python, &self.settings, &cache_dir, commands, progress);
        let mut interpreter = match chosen {
            Err(PythonError::NoInterpreter | PythonError::NoInterpreterInImage { .. }) if !needs_python => {
                return Ok(without_python());
            }
            chosen => chosen?,
        };
        let got = commands.image().and_then(|_| managed::installation(&interpreter.path, &cache_dir));
        if installs_nothing || !needs_python {
            return Ok(Environment { installation: got, ..as_it_is(interpreter) });
        }
        if self.is_apart {
            interpreter = managed::take_along(interpreter, &cache_dir, request.private_dir)?;
        }
        let mut settings = self.settings.clone();
        // What was got for an image has no packages that a task could count on.
        settings.system_site_packages &= got.is_none();
        let (settings, interpreter) = (&settings, &interpreter);
        let finder = Finder { request, settings, cache_dir: &cache_dir, interpreter, commands, progress };
        let environment = self.install_for(&finder, origin)?;
        Ok(Environment { installation: got.filter(|_| !self.is_apart), ..environment })
    }

    fn install_for(&self, finder: &Finder<'_>, origin: Origin) -> Result<Environment, PythonError> {
        let Finder { request, progress, .. } = *finder;
        let source = finder.source(origin)?;
        let mut requirements = Requirements::read(&source, request.code.as_ref(), progress)?;
        let flags = Flags::read(&finder.settings.packages.extra_flags);
        flags.refusal().iter().for_each(|text| progress(text));
        requirements.add_options(flags.options);
        self.install_optional(finder, &requirements)
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
            return self.install(finder, finder.settings, requirements);
        };
        let mut settings = finder.settings.clone();
        settings.extra_index_urls.push(fitting.index);
        let mut fitted = requirements.clone();
        fitted.limit(fitting.limits);
        match self.install(finder, &settings, &fitted) {
            Err(PythonError::Install { detail, .. }) => {
                progress(&format!("with the index of PyTorch it cannot be done ({detail}): doing without it"));
                self.install(finder, finder.settings, requirements)
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
        let folder = made(self.settings.store.folder.as_deref().unwrap_or(finder.cache_dir))?;
        let downloads = self.settings.store.download_folder.as_ref().unwrap_or(&folder).join("uv");
        let installer = Installer {
            cache_dir: finder.cache_dir,
            downloads: &downloads,
            settings,
            interpreter: finder.interpreter,
            requirements,
            order: Order::of(&settings.packages, requirements).into(),
            engine: std::cell::OnceCell::new(),
            indexes: &indexes,
            repositories: finder.request.repositories,
            copies: std::cell::OnceCell::new(),
            working_dir: finder.request.code.map(|code| code.working_dir),
            commands: finder.commands,
            progress: finder.progress,
        };
        let (store, task) = (Store::new(folder.join(STORE)), finder.request.task);
        if requirements.is_local() || self.is_apart {
            if self.is_for_later {
                return Err(PythonError::Unshared);
            }
            // In a container the task may write all that is the attempt's.
            let stands_alone = self.is_apart || finder.commands.image().is_some();
            let environment = build_private(&installer, finder.request.private_dir, stands_alone, finder.progress)?;
            if !self.is_apart {
                store.note(task, &installer.question(), Outcome::Private, "", None);
            }
            return Ok(environment);
        }
        let (commands, progress) = (finder.commands, finder.progress);
        let asker = Asker { task, commands, progress, limits: self.limits() };
        store.provide(&installer, &asker).map(shared)
    }

    /// Whether an environment of these lines can be found or built before the task's code is there.
    pub fn is_free_of_code(&self, lines: &[String]) -> bool {
        let packages = &self.settings.packages;
        let lines = requirement_line::logical_lines(lines.iter().map(String::as_str));
        let is_of_lines = packages.manager == PackageManager::Pip && !packages.force_files && !lines.is_empty();
        is_of_lines && lines.iter().all(|line| requirement_line::is_free_of_code(line))
    }

    /// The shared environments by themselves, for people.
    pub fn store(&self) -> Store {
        Store::new(self.settings.store.folder.as_ref().unwrap_or(&self.cache_dir).join(STORE))
    }

    /// Where the interpreters are that were got for images.
    pub fn interpreters_for_images(&self) -> PathBuf {
        managed::for_images(&self.cache_dir)
    }

    /// How much the store may hold.
    pub fn limits(&self) -> Limits {
        Limits {
            entries: self.settings.store.max_entries,
            bytes: self.settings.store.max_bytes,
            free_floor: self.settings.store.free_floor,
        }
    }
}

/// A folder that only this user may enter, made if need be; by its true name, which scripts in it will name.
fn made(folder: &Path) -> Result<PathBuf, PythonError> {
    let mut maker = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(maker.recursive(true), 0o700);
    maker.create(folder).map_err(PythonError::io("make", folder))?;
    folder.canonicalize().map_err(PythonError::io("find", folder))
}
