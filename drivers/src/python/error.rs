//! What can go wrong with interpreters and packages.

use std::io;
use std::path::PathBuf;

use protocols::failure::FailureClass;

use crate::command::CommandError;
use crate::file_lock::LockError;
use crate::git::GitError;

/// Why there is no environment. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// Nothing that can run the task.
    #[error("there is no Python 3.6 or newer on this machine; install python3")]
    NoInterpreter,
    /// As before, in a container.
    #[error(
        "there is no Python 3.6 or newer in the image {image}{why}: use an image that has one, or install it in the \
         task's setup script (apt-get install -y python3)"
    )]
    NoInterpreterInImage {
        /// The image.
        image: String,
        /// Why none could be got for it, as a part of the sentence; empty where none was to be got.
        why: String,
    },
    /// Debian and Ubuntu ship Python without the means to make environments.
    #[error("{python} cannot make virtual environments; install {package} (apt install {package})")]
    NoVenv {
        /// The interpreter.
        python: PathBuf,
        /// The package that is missing.
        package: String,
    },
    /// An environment without packages cannot be made.
    #[error("cannot make a virtual environment with {python}: {detail}")]
    Create {
        /// The interpreter.
        python: PathBuf,
        /// The line of the output that matters.
        detail: String,
    },
    /// The packages cannot be installed.
    #[error("cannot install the task's packages: {detail}")]
    Install {
        /// The line of the installer's output that matters.
        detail: String,
        /// Whether a later try may succeed: the network failed, not the requirements.
        is_transient: bool,
    },
    /// What a package is to be built from cannot be had.
    #[error("cannot get {requirement}, which is to be installed")]
    Repository {
        /// The part of the requirement that names the repository, without secrets.
        requirement: String,
        /// Why not.
        #[source]
        source: GitError,
    },
    /// The manager of the task's project cannot say what it needs.
    #[error("{manager} cannot tell what the project needs: {detail}")]
    Project {
        /// Name of the program.
        manager: &'static str,
        /// The line of its output that matters.
        detail: String,
    },
    /// Nothing that makes environments of conda.
    #[error(
        "none of micromamba, mamba and conda is on PATH: install one of them, or set agent.package_manager.type to \
         another one than conda"
    )]
    NoConda,
    /// As before, in a container.
    #[error(
        "none of micromamba, mamba and conda is in the image {image}, {why}: use an image that has one, install it in \
         the task's setup script, or set agent.package_manager.type to another one than conda"
    )]
    NoCondaInImage {
        /// The image.
        image: String,
        /// Why nothing else can take its place, as a part of the sentence.
        why: String,
    },
    /// The environment of conda cannot be made.
    #[error("{tool} cannot make the environment: {detail}")]
    Conda {
        /// Name of the program.
        tool: &'static str,
        /// The line of its output that matters.
        detail: String,
        /// Whether a later try may succeed.
        is_transient: bool,
    },
    /// The disk is full.
    #[error("no space left on the disk of {path}")]
    DiskFull {
        /// Where something was written.
        path: PathBuf,
    },
    /// A file or folder cannot be made, read or removed.
    #[error("cannot {action} {path}")]
    Io {
        /// A verb.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A program cannot be run.
    #[error("the environment cannot be built")]
    Command {
        /// Why not.
        #[source]
        source: CommandError,
    },
    /// It would be the attempt's own, and there is no attempt yet.
    #[error("the environment holds the task's own code")]
    Unshared,
    /// The task was stopped.
    #[error("stopped while building the environment")]
    Stopped,
}

impl PythonError {
    /// Whose failure it is.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NoInterpreter
            | Self::NoInterpreterInImage { .. }
            | Self::NoVenv { .. }
            | Self::Create { .. }
            | Self::Install { .. }
            | Self::Project { .. }
            | Self::NoConda
            | Self::NoCondaInImage { .. }
            | Self::Conda { .. } => FailureClass::Environment,
            // A repository of packages is no code of the task.
            Self::Repository { source, .. } if source.class() == FailureClass::Code => FailureClass::Environment,
            Self::Repository { source, .. } => source.class(),
            Self::DiskFull { .. } | Self::Io { .. } | Self::Command { .. } | Self::Unshared => {
                FailureClass::Infrastructure
            }
            Self::Stopped => FailureClass::Aborted,
        }
    }

    /// Whether the same attempt may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Install { is_transient, .. } | Self::Conda { is_transient, .. } => *is_transient,
            Self::Repository { source, .. } => source.is_transient(),
            Self::NoInterpreter
            | Self::NoInterpreterInImage { .. }
            | Self::NoVenv { .. }
            | Self::Create { .. }
            | Self::Project { .. }
            | Self::NoConda
            | Self::NoCondaInImage { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Command { .. }
            | Self::Unshared
            | Self::Stopped => false,
        }
    }

    /// Whether the work was ended because the task was stopped.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// A repository that a requirement names cannot be had.
    pub(crate) fn of_repository(error: GitError, requirement: &str) -> Self {
        if let GitError::DiskFull { path } = error {
            return Self::DiskFull { path };
        }
        if error.is_stopped() {
            return Self::Stopped;
        }
        Self::Repository { requirement: requirement.to_owned(), source: error }
    }

    /// A failed action on a file.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            let is_full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if is_full { Self::DiskFull { path } } else { Self::Io { action, path, source } }
        }
    }
}

impl From<CommandError> for PythonError {
    fn from(source: CommandError) -> Self {
        match source {
            CommandError::Stopped { .. } => Self::Stopped,
            CommandError::NotFound { .. } | CommandError::Run { .. } => Self::Command { source },
        }
    }
}

impl From<LockError> for PythonError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Stopped { .. } => Self::Stopped,
            LockError::Io { path, source } => Self::Io { action: "lock", path, source },
        }
    }
}
