//! Python for tasks: which interpreter, and an environment that has exactly the packages that a task asks for.
//!
//! Environments are content-addressed, immutable and used in place, each task with a writable layer of its own above
//! it: the same question gets the same environment, and a hit starts no process. Requirements that point into the
//! task's own code (`-e .`, `./lib`) get an environment of the attempt's own, since what they mean lies in its work
//! tree and changes with it.
//!
//! Blocking throughout.

mod error;
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

pub use self::error::PythonError;
use self::flags::Flags;
use self::in_order::Order;
use self::indexes::Indexes;
use self::installer::Installer;
use self::interpreter::PythonInterpreter;
use self::managers::conda::{self, Conda, is_of_conda};
use self::managers::{Finder, Origin};
pub use self::requirement_line::code_path;
use self::requirements::Requirements;
pub use self::requirements::files_of as requirement_files;
use self::store::{Asker, BuildSite, Found, Lease, Limits, Outcome, Recipe, Store};
use crate::command::{CommandLine, CommandRunner};
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

/// An environment that is ready.
#[derive(Clone, Debug)]
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
    /// The environment of the store, where it is one.
    pub shared: Option<Shared>,
    /// The folder in which its interpreter is, where that was got for an image: containers have to see it.
    pub installation: Option<PathBuf>,
}

/// An environment of the store. It stays where it is for as long as this, or a clone of it, is there.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its id.
    pub id: String,
    /// How the task came to it.
    pub outcome: Outcome,
    /// Its folder in the store.
    pub folder: PathBuf,
    /// Keeps it; see [`Lease::share_with_children`].
    pub lease: Lease,
}

impl Environment {
    /// The environment that was built in `folder` with [`EnvironmentStore::build_apart`]; `None` where there is none,
    /// because the task needs none of its own.
    pub fn of_build(folder: &Path) -> Option<Self> {
        let environment = folder.join("environment/venv");
        let python = environment.join("bin/python");
        let version = if is_of_conda(&environment) {
            conda::python_version(&environment)
        } else {
            let settings = std::fs::read_to_string(environment.join("pyvenv.cfg")).ok()?;
            let mut values = settings.lines().filter_map(|line| line.split_once('='));
            let version = values.find(|(key, _)| matches!(key.trim(), "version" | "version_info"));
            version.map(|(_, version)| version.trim().to_owned())
        };
        Some(Self {
            bin_dir: python.parent().map(Path::to_owned),
            python,
            packages: None,
            reused: true,
            python_version: version.unwrap_or_default(),
            shared: None,
            installation: None,
        })
    }

    /// The same environment with a writable layer in `folder`: what is installed into the result, nobody else sees.
    /// What is not shared is returned as it is.
    pub fn with_layer(mut self, folder: &Path) -> Result<Self, PythonError> {
        if let (Some(_), Some(bin)) = (&self.shared, &self.bin_dir) {
            let environment = bin.parent().unwrap_or(bin);
            self.python = if is_of_conda(environment) {
                conda::freeze(environment)?;
                layer::make_over_conda(environment, &self.python, folder)?
            } else {
                layer::make(environment, &self.python, folder)?
            };
            self.bin_dir = self.python.parent().map(Path::to_owned);
        }
        Ok(self)
    }

    /// The environment of conda that it is, or that is below its layer.
    pub fn of_conda(&self) -> Option<PathBuf> {
        let shared = self.shared.as_ref().map(|shared| shared.folder.join("venv"));
        let own = self.bin_dir.as_deref().and_then(Path::parent).map(Path::to_owned);
        shared.or(own).filter(|environment| is_of_conda(environment))
    }

    /// Begins to compile the byte code of a new environment, at the lowest priority; see `docs/environments.md`. The
    /// process that does it; nobody has to wait for it, and it may be ended at any moment.
    pub fn start_sealing(&self) -> std::io::Result<Option<u32>> {
        let Some(shared) = self.shared.as_ref().filter(|shared| !is_of_conda(&shared.folder.join("venv"))) else {
            return Ok(None);
        };
        let python = shared.folder.join("venv/bin/python");
        store::start_sealing(&shared.folder, &python, &shared.lease)
    }
}

impl Environment {
    /// As [`Environment::start_sealing`], for an environment of an image: what is to be run there, at the lowest
    /// priority; `None` where that was done or somebody is at it.
    pub fn sealing_in_image(&self) -> std::io::Result<Option<CommandLine>> {
        let Some(shared) = self.shared.as_ref().filter(|shared| !is_of_conda(&shared.folder.join("venv"))) else {
            return Ok(None);
        };
        store::sealing_command(&shared.folder, &shared.folder.join("venv/bin/python"))
    }
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
            let environment = build_private(&installer, finder.request.private_dir, finder.progress)?;
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

fn shared(found: Found) -> Environment {
    let python = found.folder.join(&found.ready.program);
    Environment {
        bin_dir: python.parent().map(Path::to_owned),
        python,
        packages: Some(found.ready.packages),
        reused: found.outcome != Outcome::Built,
        python_version: found.ready.python_version,
        shared: Some(Shared { id: found.id, outcome: found.outcome, folder: found.folder, lease: found.lease }),
        installation: None,
    }
}

/// Builds an environment of the attempt's own, replacing what an earlier try may have left.
fn build_private(recipe: &dyn Recipe, private_dir: &Path, progress: &dyn Fn(&str)) -> Result<Environment, PythonError> {
    let folder = private_dir.join("environment");
    store::remove(&folder)?;
    std::fs::create_dir_all(&folder).map_err(PythonError::io("make", &folder))?;
    let folder = folder.canonicalize().map_err(PythonError::io("find", &folder))?;
    let scratch = folder.join("input");
    let begun = std::time::Instant::now();
    let built = recipe.build(&BuildSite { folder: &folder, scratch: &scratch, lock: None }, None);
    // The files may hold passwords.
    store::remove(&scratch)?;
    let built = built?;
    let (count, seconds) = (built.packages.len(), begun.elapsed().as_secs_f64());
    progress(&format!("{count} packages installed in {seconds:.1} s"));
    let python = folder.join(&built.program);
    Ok(Environment {
        bin_dir: python.parent().map(Path::to_owned),
        python,
        packages: Some(built.packages),
        reused: false,
        python_version: built.python_version,
        shared: None,
        installation: None,
    })
}

fn as_it_is(interpreter: PythonInterpreter) -> Environment {
    Environment {
        python_version: interpreter.version_text(),
        python: interpreter.path,
        bin_dir: None,
        packages: None,
        reused: true,
        shared: None,
        installation: None,
    }
}

fn without_python() -> Environment {
    Environment {
        python: PathBuf::from("python3"),
        bin_dir: None,
        packages: None,
        reused: true,
        python_version: String::new(),
        shared: None,
        installation: None,
    }
}
