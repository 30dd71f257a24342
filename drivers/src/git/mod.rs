//! Code of tasks: repositories, commits, uncommitted changes.
//!
//! Objects, checkouts and references are libgit2's work; the network, submodules, LFS and patches are that of the
//! `git` program, which knows the machine's ssh, proxies and certificates. Blocking throughout.

mod access;
mod archival;
mod colour;
mod credential;
mod diff;
mod error;
mod explain;
mod fetch_arguments;
mod keeping;
mod mirror;
mod output;
mod package_source;
mod packages;
mod patch;
mod prefix;
mod reference;
mod url;
mod worktree;

use std::path::{Path, PathBuf};

use protocols::git::GitSettings;
use protocols::task::Revision;

use self::access::Access;
pub use self::colour::without_colour;
pub use self::error::GitError;
pub use self::explain::{Explanation, explain};
pub use self::keeping::RepositoryLease;
use self::mirror::Mirror;
pub(crate) use self::package_source::PackageSource;
pub use self::packages::{PackageAccess, takes_from_git};
pub(crate) use self::reference::Reference;
pub use self::worktree::own_objects;
use crate::command::CommandRunner;

/// One checkout to make.
#[derive(Clone, Copy)]
pub struct Checkout<'a> {
    /// The repository as the task names it, in any form that git takes.
    pub url: &'a str,
    /// What to check out.
    pub revision: &'a Revision,
    /// Uncommitted changes to apply; empty for none.
    pub diff: &'a str,
    /// The work tree to make. Its parent exists or can be made; what is there already is replaced.
    pub into: &'a Path,
    /// Root of the machine's caches.
    pub cache_dir: &'a Path,
    /// Credentials.
    pub settings: &'a GitSettings,
    /// Runs git.
    pub commands: &'a dyn CommandRunner,
}

/// A work tree that is ready.
#[derive(Clone, Debug)]
pub struct CheckedOut {
    /// Id of the commit; `HEAD` is detached at it.
    pub commit: String,
    /// Root of the work tree.
    pub root: PathBuf,
    /// Keeps the objects that the work tree borrows. To be held for as long as anybody works in it.
    pub lease: RepositoryLease,
}

impl std::fmt::Debug for Checkout<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Checkout")
            .field("url", &crate::scrub::scrub_urls(self.url))
            .field("revision", &self.revision)
            .field("into", &self.into)
            .finish_non_exhaustive()
    }
}

impl Checkout<'_> {
    /// Makes the work tree. Lines for people go to `progress`, without secrets.
    pub fn run(&self, progress: &dyn Fn(&str)) -> Result<CheckedOut, GitError> {
        let mut access = Access::new(self.url, self.settings, self.commands)?;
        let (commit, lease) = self.create_work_tree(&access, progress)?;
        worktree::add_submodules(self.into, &mut access, progress)?;
        worktree::add_large_files(self.into, &access, progress)?;
        diff::apply(self.into, &commit, self.diff, &access, progress)?;
        Ok(CheckedOut { commit, root: self.into.to_owned(), lease })
    }

    /// Where mirrors are.
    fn mirrors_folder(&self) -> PathBuf {
        match (&self.settings.cache.path, self.settings.cache.disabled) {
            (_, true) => self.own_folder(),
            (Some(path), false) => path.clone(),
            (None, false) => self.cache_dir.join("repositories"),
        }
    }

    /// Where a mirror is not kept: beside the work tree, with which it goes.
    fn own_folder(&self) -> PathBuf {
        self.into.with_file_name("repositories")
    }

    fn create_work_tree(
        &self,
        access: &Access<'_>,
        progress: &dyn Fn(&str),
    ) -> Result<(String, RepositoryLease), GitError> {
        match self.create_from(&self.mirrors_folder(), access, progress) {
            Err(GitError::Fetch { detail, is_transient: false, .. }) if self.settings.cache.clone_on_failure => {
                progress(&format!("fetching failed ({detail}): cloning, for this task alone"));
                self.create_from(&self.own_folder(), access, progress)
            }
            created => created,
        }
    }

    fn create_from(
        &self,
        folder: &Path,
        access: &Access<'_>,
        progress: &dyn Fn(&str),
    ) -> Result<(String, RepositoryLease), GitError> {
        let mirror = Mirror::locate(folder, self.settings, access)?;
        let commit = mirror.provide(self.revision, progress)?;
        match worktree::create(&mirror, commit, self.into, access) {
            Err(error) if worktree::may_lack_objects(&error) => {
                mirror.repair(commit, progress)?;
                worktree::create(&mirror, commit, self.into, access)?;
            }
            created => created?,
        }
        Ok((commit.to_string(), mirror.lease()))
    }
}
