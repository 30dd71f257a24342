//! Child programs of a preparation (git, uv, pip): their output line by line, ended when the task is stopped.
//!
//! No shell is involved. A command's own variables (askpass, index URLs with passwords) reach that child only and
//! are left out of every `Debug` text.

mod follow;
mod system;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

pub(crate) use follow::{Followed, follow};
use protocols::container::init::LibcFlavour;
pub use system::SystemCommands;

/// One program to run.
pub struct CommandLine {
    /// A path, or a name that is looked up on the `PATH` of the child's environment.
    pub program: PathBuf,
    /// Its arguments. No secrets: every user of the machine can read them.
    pub arguments: Vec<OsString>,
    /// Where it runs; the current directory where absent.
    pub directory: Option<PathBuf>,
    /// Variables added to the runner's environment, for this child only. May hold secrets.
    pub variables: Vec<(OsString, OsString)>,
    /// Variables taken out of the runner's environment.
    pub removed_variables: Vec<OsString>,
    /// Standard input; empty where absent.
    ///
    /// An exclusively locked file may be given: the lock then lives until this child is dead too, so that a child
    /// that outlives its killed parent cannot meet the next holder of the lock.
    pub input: Option<File>,
}

impl CommandLine {
    /// A command without arguments, in the current directory.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            variables: Vec::new(),
            removed_variables: Vec::new(),
            input: None,
        }
    }

    /// Appends one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Adds a variable for this child only.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Takes variables out of the inherited environment.
    #[must_use]
    pub fn without_variables<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.removed_variables.extend(names.into_iter().map(OsString::from));
        self
    }

    /// Sets standard input; see [`CommandLine::input`].
    #[must_use]
    pub fn input(mut self, file: File) -> Self {
        self.input = Some(file);
        self
    }

    pub(crate) fn program_name(&self) -> String {
        self.program.display().to_string()
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsString> = self.variables.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("CommandLine")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("directory", &self.directory)
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// The last lines that it printed, oldest first; 200 at most.
    pub tail: Vec<String>,
}

impl Finished {
    /// Whether it returned 0.
    pub fn is_success(&self) -> bool {
        self.status.success()
    }
}

/// Why a command has no exit status.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such program.
    #[error("{program} is not installed, or not on PATH")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// It could not be started, or not be read from. The cause is of kind `Other` where the container is gone.
    #[error("cannot run {program}")]
    Run {
        /// As it was asked for.
        program: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The task was stopped while the command ran; the command is dead.
    #[error("{program} was ended because the task was stopped")]
    Stopped {
        /// As it was asked for.
        program: String,
    },
}

/// An image in whose containers commands run.
#[derive(Clone, Copy)]
pub struct ImageSite<'a> {
    /// What decides on everything that is in it.
    pub id: &'a str,
    /// Its name, for people.
    pub name: &'a str,
    /// Whether its interpreter has what virtual environments are made with.
    pub makes_venvs: bool,
    /// Whose C library it has, if it has one that is known.
    pub libc: Option<LibcFlavour>,
    /// A folder of this machine that becomes a part of another image, and its name there, which commands know it by, too.
    pub made: Option<(&'a Path, &'a Path)>,
    /// Runs commands on this machine.
    pub here: &'a dyn CommandRunner,
}

impl ImageSite<'_> {
    /// What a path is called in the image that is made, if it is to be in one.
    pub fn name_in_made(&self, path: &Path) -> Option<PathBuf> {
        let (folder, name) = self.made?;
        path.strip_prefix(folder).ok().map(|inside| name.join(inside))
    }
}

impl fmt::Debug for ImageSite<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ImageSite").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs programs with the environment of a task's preparation.
pub trait CommandRunner: Send + Sync {
    /// Runs a command to its end and hands every line of its output and error output, in order, to `output`.
    fn run(&self, command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError>;

    /// A variable of the environment that children get.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// Whether the task was stopped, so that work should end.
    fn is_stopped(&self) -> bool;

    /// The image in whose containers commands run; absent where they run on this machine. What lies in the caches and
    /// in the attempt's folder is under the same path in both.
    fn image(&self) -> Option<ImageSite<'_>> {
        None
    }

    /// Whether a variable is set and not empty.
    fn has_variable(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !value.is_empty())
    }

    /// Every executable file called `name` on the children's `PATH`, in its order.
    fn find_all(&self, name: &str) -> Vec<PathBuf> {
        let path = self.variable("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .filter(|candidate| self.is_executable(candidate))
            .collect()
    }

    /// Whether children find a file here that may be executed by somebody.
    fn is_executable(&self, path: &Path) -> bool {
        is_executable(path)
    }

    /// The program that `name` starts.
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.find_all(name).into_iter().next()
    }
}

/// Whether this is a file that may be executed by somebody.
pub fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
