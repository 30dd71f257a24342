//! What can go wrong with code.

use std::io;
use std::path::PathBuf;

use protocols::failure::FailureClass;

use crate::command::CommandError;
use crate::file_lock::LockError;

/// Why the code of a task is not there. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The repository cannot be reached, or refuses.
    #[error("cannot fetch {url}: {detail}")]
    Fetch {
        /// Without credentials.
        url: String,
        /// The line of git's output that matters.
        detail: String,
        /// Whether a later try may succeed: the network failed, not the repository.
        is_transient: bool,
    },
    /// The repository is there, the commit is not.
    #[error("commit {commit} is not in {url}; push it (git push), then enqueue the task again")]
    UnknownCommit {
        /// As the task names it.
        commit: String,
        /// Without credentials.
        url: String,
    },
    /// The repository is a shallow clone, and the commit is not in what it has.
    #[error(
        "commit {commit} is not in {url}, which is a shallow clone: fetch its history there (git fetch --unshallow), or \
         push the commit if it is new, then enqueue the task again"
    )]
    ShallowRemote {
        /// As the task names it.
        commit: String,
        /// Without credentials.
        url: String,
    },
    /// The repository is there, the branch or tag is not.
    #[error("{revision} is not in {url}")]
    UnknownRevision {
        /// For example `branch main`.
        revision: String,
        /// Without credentials.
        url: String,
    },
    /// The task's uncommitted changes fit another state of the code.
    #[error("uncommitted changes do not apply to commit {commit}: {detail}")]
    Diff {
        /// What was checked out.
        commit: String,
        /// The first file, or hunk, that does not apply.
        detail: String,
    },
    /// A submodule cannot be fetched.
    #[error("cannot get the submodules of {url}: {detail}")]
    Submodules {
        /// Without credentials.
        url: String,
        /// The line of git's output that matters.
        detail: String,
        /// Whether a later try may succeed.
        is_transient: bool,
    },
    /// The objects that a work tree borrows cannot be copied.
    #[error("git repack fails in {}: {detail}", path.display())]
    Repack {
        /// The work tree.
        path: PathBuf,
        /// What git said.
        detail: String,
    },
    /// Files in Git LFS cannot be fetched.
    #[error("cannot get the Git LFS files of {url}: {detail}")]
    LargeFiles {
        /// Without credentials.
        url: String,
        /// The line of the output that matters.
        detail: String,
        /// Whether a later try may succeed.
        is_transient: bool,
    },
    /// The commit's files cannot be written.
    #[error("cannot check out commit {commit}")]
    Checkout {
        /// What was to be checked out.
        commit: String,
        /// What libgit2 says.
        #[source]
        source: git2::Error,
    },
    /// The local copy of the repository cannot be used.
    #[error("cannot use the mirror {path}")]
    Mirror {
        /// The bare repository.
        path: PathBuf,
        /// What libgit2 says.
        #[source]
        source: git2::Error,
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
    /// git cannot be run.
    #[error("git is needed for the code of a task")]
    Command {
        /// Why not.
        #[source]
        source: CommandError,
    },
    /// The task was stopped.
    #[error("stopped while getting the code")]
    Stopped,
}

impl GitError {
    /// Whose failure it is.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fetch { .. }
            | Self::UnknownCommit { .. }
            | Self::ShallowRemote { .. }
            | Self::UnknownRevision { .. }
            | Self::Diff { .. }
            | Self::Submodules { .. }
            | Self::LargeFiles { .. } => FailureClass::Code,
            Self::Checkout { source, .. } if is_of_machine(source.class()) => FailureClass::Infrastructure,
            Self::Checkout { .. } => FailureClass::Code,
            Self::Mirror { .. }
            | Self::Repack { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Command { .. } => FailureClass::Infrastructure,
            Self::Stopped => FailureClass::Aborted,
        }
    }

    /// Whether the same attempt may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch { is_transient, .. }
            | Self::Submodules { is_transient, .. }
            | Self::LargeFiles { is_transient, .. } => *is_transient,
            Self::UnknownCommit { .. }
            | Self::ShallowRemote { .. }
            | Self::UnknownRevision { .. }
            | Self::Diff { .. }
            | Self::Checkout { .. }
            | Self::Mirror { .. }
            | Self::Repack { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Command { .. }
            | Self::Stopped => false,
        }
    }

    /// Whether the work was ended because the task was stopped.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped)
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

fn is_of_machine(class: git2::ErrorClass) -> bool {
    matches!(class, git2::ErrorClass::Os | git2::ErrorClass::Filesystem | git2::ErrorClass::NoMemory)
}

impl From<CommandError> for GitError {
    fn from(source: CommandError) -> Self {
        match source {
            CommandError::Stopped { .. } => Self::Stopped,
            CommandError::NotFound { .. } | CommandError::Run { .. } => Self::Command { source },
        }
    }
}

impl From<LockError> for GitError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Stopped { .. } => Self::Stopped,
            LockError::Io { path, source } => Self::Io { action: "lock", path, source },
        }
    }
}
