//! Where a task's requirements come from: its own lines, files of its code, or a project of uv or poetry.
//!
//! Projects are turned into the requirement lines that their lock stands for, so that their environments are shared
//! and kept like all others.

pub(super) mod conda;
mod groups;
mod poetry;
mod project;
mod uv;

use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;
use protocols::packaging::PackageManager;
use tempfile::TempDir;

use self::project::{Kind, Project};
use super::EnvironmentRequest;
use super::error::PythonError;
use super::indexes::Indexes;
use super::interpreter::PythonInterpreter;
use super::requirements::{self, Requirements, Source};
use crate::command::CommandRunner;

/// What is needed to find out.
pub(super) struct Finder<'a> {
    pub(super) request: &'a EnvironmentRequest<'a>,
    pub(super) settings: &'a PythonSettings,
    pub(super) cache_dir: &'a Path,
    pub(super) interpreter: &'a PythonInterpreter,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

/// Where requirements come from, before any program has been asked.
pub(super) enum Origin<'a> {
    /// Known now.
    Known(Source<'a>),
    /// A project, whose manager has to say; and what counts where it has nothing to say.
    Project(Project, Source<'a>),
}

impl Origin<'_> {
    /// Whether nothing is asked for at all.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Known(source) => source.is_empty(),
            Self::Project(..) => false,
        }
    }
}

/// Decides in the order of the stock agent: the project of the configured manager, the task's own lines, the
/// `requirements.txt` files of the code. Where all that is nothing, the lock of a project counts although it was not
/// asked for: it says what the code needs, and nobody else does.
pub(super) fn origin<'a>(request: &EnvironmentRequest<'a>, settings: &PythonSettings) -> Origin<'a> {
    let packages = &settings.packages;
    let project = |kind: Kind| {
        let in_working_dir = match kind {
            Kind::Uv => packages.uv_in_working_dir,
            Kind::Poetry => packages.poetry_in_working_dir,
        };
        Project::find(kind, request.code.as_ref()?, in_working_dir)
    };
    let plain = plain_source(request, packages.force_files);
    let wanted = match packages.manager {
        PackageManager::Uv => project(Kind::Uv),
        PackageManager::Poetry => project(Kind::Poetry),
        PackageManager::Pip | PackageManager::Conda | PackageManager::None => None,
    };
    if let Some(project) = wanted {
        return Origin::Project(project, plain);
    }
    if !plain.is_empty() {
        return Origin::Known(plain);
    }
    let locked = [Kind::Uv, Kind::Poetry].into_iter().filter_map(project).find(Project::is_locked);
    match locked {
        Some(project) => Origin::Project(project, plain),
        None => Origin::Known(plain),
    }
}

/// The task's own lines, else what files of its code say.
fn plain_source<'a>(request: &EnvironmentRequest<'a>, force_files: bool) -> Source<'a> {
    match (request.requirements.filter(|_| !force_files), &request.code) {
        (Some(lines), _) => Source::Lines(lines),
        (None, Some(code)) => Source::Files(requirements::files_of(code)),
        (None, None) => Source::Lines(&[]),
    }
}

/// A file into which a program writes requirement lines; nobody else can read it.
struct Exported(TempDir);

impl Exported {
    fn new(finder: &Finder<'_>) -> Result<Self, PythonError> {
        // A container sees what is the attempt's own, and not the temporary files of this machine.
        let parent = match finder.commands.image() {
            Some(_) => super::made(finder.request.private_dir)?,
            None => std::env::temp_dir(),
        };
        let folder = tempfile::Builder::new().prefix("hostler-export-").tempdir_in(&parent);
        folder.map(Self).map_err(PythonError::io("make a temporary folder in", parent))
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("requirements.txt")
    }

    fn lines(&self) -> Result<Vec<String>, PythonError> {
        let path = self.path();
        let text = std::fs::read_to_string(&path).map_err(PythonError::io("read", &path))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Finder<'_> {
    /// Asks the project's manager, where there is a project.
    pub(super) fn source<'a>(&self, origin: Origin<'a>) -> Result<Source<'a>, PythonError> {
        let (project, plain) = match origin {
            Origin::Known(source) => return Ok(source),
            Origin::Project(project, plain) => (project, plain),
        };
        let lines = match project.kind {
            Kind::Uv => uv::lines(self, &project)?,
            Kind::Poetry => poetry::lines(self, &project)?,
        };
        Ok(match lines {
            Some(lines) => Source::Project { lines: project.complete(&lines), folder: project.folder },
            None => plain,
        })
    }

    /// Indexes without those of requirement lines, which are not known yet.
    fn indexes(&self) -> Indexes {
        Indexes::gather(self.settings, &Requirements::default(), self.commands)
    }

    fn say(&self, text: &str) {
        (self.progress)(text);
    }
}
