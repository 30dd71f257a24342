//! An environment that is ready: of the store, of one attempt alone, or a machine's interpreter as it is.

use std::path::{Path, PathBuf};

use super::error::PythonError;
use super::interpreter::PythonInterpreter;
use super::layer;
use super::managers::conda::{self, is_of_conda};
use super::store::{self, BuildSite, Found, Lease, Outcome, Protected, Recipe};
use crate::command::CommandLine;

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
    /// Its folder, where it is the attempt's own and made of the files that other environments are made of.
    pub linked: Option<PathBuf>,
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

impl Shared {
    /// What of its folder the task uses. Beside it are the store's own files.
    fn environment(&self) -> PathBuf {
        self.folder.join("venv")
    }
}

impl Environment {
    /// The environment that was built in `folder` with [`super::EnvironmentStore::build_apart`]; `None` where there is none,
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
            linked: None,
            installation: None,
        })
    }

    /// The folder that nobody may write, since its files are other environments', too.
    pub fn read_only(&self) -> Option<PathBuf> {
        self.shared.as_ref().map(Shared::environment).or_else(|| self.linked.clone())
    }

    /// The same environment with a writable layer in `folder`: what is installed into the result, nobody else sees.
    /// One that has no file in common with others is returned as it is.
    pub fn with_layer(mut self, folder: &Path) -> Result<Self, PythonError> {
        if let (Some(_), Some(bin)) = (self.read_only(), &self.bin_dir) {
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
        let shared = self.read_only();
        let own = self.bin_dir.as_deref().and_then(Path::parent).map(Path::to_owned);
        shared.or(own).filter(|environment| is_of_conda(environment))
    }

    /// Begins to compile the byte code of a new environment, at the lowest priority; see `docs/environments.md`. The
    /// process that does it; nobody has to wait for it, and it may be ended at any moment.
    pub fn start_sealing(&self) -> std::io::Result<Option<u32>> {
        let Some(shared) = self.shared.as_ref().filter(|shared| !is_of_conda(&shared.environment())) else {
            return Ok(None);
        };
        let python = shared.environment().join("bin/python");
        store::start_sealing(&shared.folder, &python, &shared.lease)
    }
}

impl Environment {
    /// As [`Environment::start_sealing`], for an environment of an image: what is to be run there, at the lowest
    /// priority; `None` where that was done or somebody is at it.
    pub fn sealing_in_image(&self) -> std::io::Result<Option<CommandLine>> {
        let Some(shared) = self.shared.as_ref().filter(|shared| !is_of_conda(&shared.environment())) else {
            return Ok(None);
        };
        store::sealing_command(&shared.folder, &shared.environment().join("bin/python"))
    }
}

pub(super) fn shared(found: Found) -> Environment {
    let python = found.folder.join(&found.ready.program);
    Environment {
        bin_dir: python.parent().map(Path::to_owned),
        python,
        packages: Some(found.ready.packages),
        reused: found.outcome != Outcome::Built,
        python_version: found.ready.python_version,
        shared: Some(Shared { id: found.id, outcome: found.outcome, folder: found.folder, lease: found.lease }),
        linked: None,
        installation: None,
    }
}

/// Builds an environment of the attempt's own, replacing what an earlier try may have left. One that `stands_alone` has no
/// file in common with caches and other environments, so that it may be written.
pub(super) fn build_private(
    recipe: &dyn Recipe,
    private_dir: &Path,
    stands_alone: bool,
    progress: &dyn Fn(&str),
) -> Result<Environment, PythonError> {
    let folder = private_dir.join("environment");
    store::remove(&folder)?;
    std::fs::create_dir_all(&folder).map_err(PythonError::io("make", &folder))?;
    let folder = folder.canonicalize().map_err(PythonError::io("find", &folder))?;
    let scratch = folder.join("input");
    let begun = std::time::Instant::now();
    let built = recipe.build(&BuildSite { folder: &folder, scratch: &scratch, lock: None, stands_alone }, None);
    // The files may hold passwords.
    store::remove(&scratch)?;
    let built = built?;
    let (count, seconds) = (built.packages.len(), begun.elapsed().as_secs_f64());
    progress(&format!("{count} packages installed in {seconds:.1} s"));
    let (python, environment) = (folder.join(&built.program), folder.join("venv"));
    if !stands_alone {
        store::protect(&environment, Protected::Files);
    }
    Ok(Environment {
        bin_dir: python.parent().map(Path::to_owned),
        python,
        packages: Some(built.packages),
        reused: false,
        python_version: built.python_version,
        shared: None,
        linked: (!stands_alone).then_some(environment),
        installation: None,
    })
}

pub(super) fn as_it_is(interpreter: PythonInterpreter) -> Environment {
    Environment {
        python_version: interpreter.version_text(),
        python: interpreter.path,
        bin_dir: None,
        packages: None,
        reused: true,
        shared: None,
        linked: None,
        installation: None,
    }
}

pub(super) fn without_python() -> Environment {
    Environment {
        python: PathBuf::from("python3"),
        bin_dir: None,
        packages: None,
        reused: true,
        python_version: String::new(),
        shared: None,
        linked: None,
        installation: None,
    }
}
