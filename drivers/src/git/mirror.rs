//! One bare mirror per repository, shared by all tasks of the machine.
//!
//! A commit that is there costs no network and no lock. Otherwise exactly that is fetched, under a file lock that
//! only fetches take; a fetch that is killed leaves a mirror that is as good as before.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, ObjectType, Oid, Repository, RepositoryInitOptions};
use protocols::git::GitSettings;
use protocols::task::Revision;
use sha2::{Digest, Sha256};

use super::access::Access;
use super::error::GitError;
use super::fetch_arguments::about_how;
use super::keeping::{self, RepositoryLease};
use super::output::{self, Display};
use crate::command::Finished;
use crate::file_lock::FileLock;

/// More packs than this are merged after a fetch: every one slows every look-up down.
const MAX_PACKS: usize = 40;
/// What a whole fetch brings.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
/// Where a commit that was fetched by its id is kept from being forgotten.
const COMMITS: &str = "refs/hostler/commits";
/// The remote's default branch, as of the last time that it was asked for.
const DEFAULT: &str = "refs/hostler/default";

/// The file of a repository that says where its history is cut off.
pub(super) const SHALLOW: &str = "shallow";

/// The mirror of one repository.
pub(crate) struct Mirror<'a> {
    path: PathBuf,
    lock: PathBuf,
    lease: RepositoryLease,
    settings: &'a GitSettings,
    access: &'a Access<'a>,
}

impl<'a> Mirror<'a> {
    /// The mirror of a repository in `folder`, which may not exist yet. It stays while this, or its lease, lives.
    pub(crate) fn locate(folder: &Path, settings: &'a GitSettings, access: &'a Access<'a>) -> Result<Self, GitError> {
        fs::create_dir_all(folder).map_err(GitError::io("make", folder))?;
        // Work trees point here with absolute paths.
        let folder = folder.canonicalize().map_err(GitError::io("find", folder))?;
        let hash = hex::encode(Sha256::digest(access.url().canonical().as_bytes()));
        let name = format!("{}-{}", access.url().name(), &hash[..16]);
        let (path, lock) = (folder.join(format!("{name}.git")), folder.join(format!("{name}.lock")));
        let lease = RepositoryLease::take(&path)?;
        Ok(Self { path, lock, lease, settings, access })
    }

    /// Keeps it where it is.
    pub(crate) fn lease(&self) -> RepositoryLease {
        self.lease.clone()
    }

    /// The bare repository.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that a revision is here.
    pub(crate) fn provide(&self, revision: &Revision, progress: &dyn Fn(&str)) -> Result<Oid, GitError> {
        let is_asked = self.settings.always_fetch;
        if let Some(commit) = self.known(revision).filter(|_| !is_asked) {
            return Ok(commit);
        }
        let lock = self.take_lock(progress)?;
        self.make_usable()?;
        // Whoever held the lock may have fetched the same.
        if let Some(commit) = self.known(revision).filter(|_| !is_asked) {
            return Ok(commit);
        }
        progress(&format!("fetching {revision} of {}", self.access.origin()));
        self.fetch_revision(revision, &lock, progress)?;
        let commit = self.find(revision)?.ok_or_else(|| self.unknown(revision));
        self.merge_packs(&lock)?;
        if let Some(folder) = self.path.parent() {
            keeping::evict(folder, &self.settings.cache, progress)?;
        }
        commit
    }

    /// Fetches everything anew, objects that should be here included: for a mirror that turned out incomplete.
    pub(crate) fn repair(&self, commit: Oid, progress: &dyn Fn(&str)) -> Result<(), GitError> {
        let lock = self.take_lock(progress)?;
        progress("the local copy of the repository is incomplete; fetching it again");
        let by_id = format!("+{commit}:{COMMITS}/{commit}");
        let fetched = self.fetch(&["--refetch"], &[&by_id], &lock, progress)?;
        let fetched = match fetched.is_success() {
            true => fetched,
            false => self.fetch(&["--refetch"], &EVERYTHING, &lock, progress)?,
        };
        if fetched.is_success() { Ok(()) } else { Err(self.failure(&fetched)) }
    }

    fn take_lock(&self, progress: &dyn Fn(&str)) -> Result<FileLock, GitError> {
        let waiting = || progress("waiting for another task that fetches this repository");
        Ok(FileLock::acquire(&self.lock, self.access.commands(), waiting)?)
    }

    /// A commit named by its id that is here. Everything else may have moved.
    fn known(&self, revision: &Revision) -> Option<Oid> {
        let Revision::Commit(id) = revision else { return None };
        find_commit(&Repository::open_bare(&self.path).ok()?, id)
    }

    fn find(&self, revision: &Revision) -> Result<Option<Oid>, GitError> {
        let mirror = Repository::open_bare(&self.path).map_err(|source| self.broken(source))?;
        let named = |name: &str| {
            let candidates =
                [Some(format!("refs/tags/{name}")), Some(format!("refs/heads/{name}")), whole_reference(name)];
            candidates.iter().flatten().find_map(|reference| peel(&mirror, reference))
        };
        Ok(match revision {
            Revision::Commit(id) => find_commit(&mirror, id)
                .or_else(|| named(id))
                .or_else(|| mirror.revparse_single(id).ok()?.peel_to_commit().ok().map(|commit| commit.id())),
            Revision::Tag(tag) => named(tag),
            Revision::Branch(branch) => peel(&mirror, &branch_reference(branch)).or_else(|| named(branch_name(branch))),
            Revision::Default => peel(&mirror, DEFAULT),
        })
    }

    /// Leaves a bare repository at its place, whatever is there now. The caller holds the lock.
    fn make_usable(&self) -> Result<(), GitError> {
        match Repository::open_bare(&self.path) {
            Ok(_) => return remove_leftovers(&self.path),
            Err(error) if error.code() == ErrorCode::NotFound && !self.path.exists() => {}
            Err(_) => {
                let aside = self.path.with_extension("broken");
                remove_all(&aside)?;
                fs::rename(&self.path, &aside).map_err(GitError::io("move", &self.path))?;
            }
        }
        let new = self.path.with_extension("new");
        remove_all(&new)?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false);
        Repository::init_opts(&new, &options).map_err(|source| self.broken(source))?;
        fs::rename(&new, &self.path).map_err(GitError::io("move", &new))
    }

    /// Asks for the one thing first, and for everything if the server does not have or give it by that name.
    fn fetch_revision(&self, revision: &Revision, lock: &FileLock, progress: &dyn Fn(&str)) -> Result<(), GitError> {
        if let Some(wanted) = refspec(revision) {
            let fetched = self.fetch(&[], &[&wanted], lock, progress)?;
            if fetched.is_success() {
                return Ok(());
            }
            if !output::is_missing_reference(&fetched.tail) {
                return Err(self.failure(&fetched));
            }
        }
        let fetched = self.fetch(&["--prune"], &EVERYTHING, lock, progress)?;
        if !fetched.is_success() {
            return Err(self.failure(&fetched));
        }
        Ok(())
    }

    fn fetch(
        &self,
        options: &[&str],
        refspecs: &[&str],
        lock: &FileLock,
        progress: &dyn Fn(&str),
    ) -> Result<Finished, GitError> {
        let mut command = self.access.remote_git(&self.path).argument("fetch").arguments(["--force", "--progress"]);
        if self.access.url().is_local() {
            // git's own settings do not reach the other side of a local transport, which may belong to another user.
            command = command.argument("--upload-pack=git -c 'safe.directory=*' upload-pack");
        }
        // A remote may be a shallow clone; of one that is not, nothing becomes shallow by this.
        command = command.argument("--update-shallow");
        if self.is_shallow() {
            // What the remote has got since of its older history, or all of it.
            command = command.argument("--unshallow");
        }
        command = command.arguments(about_how(&self.settings.fetch_arguments));
        command = command.arguments(options).argument("--").argument(self.access.url().for_git()).arguments(refspecs);
        // With the lock as its input, a fetch whose parent was killed cannot meet the next one.
        command = command.input(lock.for_child()?);
        let display = RefCell::new(Display::new(progress, self.access.scrubber()));
        // "not our ref" and the like are questions answered, no errors to show.
        let finished = self.access.commands().run(command, &mut |line| {
            if !line.starts_with("fatal:") && !line.starts_with("error:") {
                display.borrow_mut().line(line);
            }
        })?;
        Ok(finished)
    }

    /// Keeps look-ups quick. Merging drops nothing and unlinks only what is in the merged pack.
    fn merge_packs(&self, lock: &FileLock) -> Result<(), GitError> {
        let packs = fs::read_dir(self.path.join("objects/pack")).map(|entries| {
            entries
                .filter_map(Result::ok)
                .filter(|entry| entry.path().extension().is_some_and(|it| it == "pack"))
                .count()
        });
        if packs.unwrap_or(0) <= MAX_PACKS {
            return Ok(());
        }
        let command = self.access.git(&self.path).arguments(["repack", "--geometric=2", "-d", "--quiet"]);
        // An older git does not know the option: the packs stay as they are, which is slow but right.
        self.access.commands().run(command.input(lock.for_child()?), &mut |_| {})?;
        Ok(())
    }

    fn failure(&self, finished: &Finished) -> GitError {
        if output::is_disk_full(&finished.tail) {
            return GitError::DiskFull { path: self.path.clone() };
        }
        GitError::Fetch {
            url: self.access.origin().to_owned(),
            detail: output::reason(&finished.tail, self.access.scrubber()),
            is_transient: output::is_network_failure(&finished.tail),
        }
    }

    fn unknown(&self, revision: &Revision) -> GitError {
        let url = self.access.origin().to_owned();
        match revision {
            Revision::Commit(commit) if self.is_shallow() => GitError::ShallowRemote { commit: commit.clone(), url },
            Revision::Commit(commit) => GitError::UnknownCommit { commit: commit.clone(), url },
            Revision::Tag(_) | Revision::Branch(_) | Revision::Default => {
                GitError::UnknownRevision { revision: revision.to_string(), url }
            }
        }
    }

    /// Whether the remote was a shallow clone when it was fetched from.
    fn is_shallow(&self) -> bool {
        self.path.join(SHALLOW).exists()
    }

    fn broken(&self, source: git2::Error) -> GitError {
        GitError::Mirror { path: self.path.clone(), source }
    }
}

/// What to ask the remote for, where one reference or commit will do.
fn refspec(revision: &Revision) -> Option<String> {
    let reference = match revision {
        Revision::Commit(id) if is_full_id(id) => {
            let id = id.to_ascii_lowercase();
            return Some(format!("+{id}:{COMMITS}/{id}"));
        }
        Revision::Commit(_) => return None,
        Revision::Tag(tag) if tag.starts_with("refs/") => tag.clone(),
        Revision::Tag(tag) => format!("refs/tags/{tag}"),
        Revision::Branch(branch) => branch_reference(branch),
        Revision::Default => return Some(format!("+HEAD:{DEFAULT}")),
    };
    git2::Reference::is_valid_name(&reference).then(|| format!("+{reference}:{reference}"))
}

/// The reference that a branch's name stands for: it may be a whole one (`refs/pull/1/head`).
fn branch_reference(branch: &str) -> String {
    let is_whole = branch.starts_with("refs/") && !branch.starts_with("refs/heads/");
    if is_whole { branch.to_owned() } else { format!("refs/heads/{}", branch_name(branch)) }
}

/// What git takes a name for that says what kind of reference it is: `refs/tags/v1`, `tags/v1`, `heads/main`.
fn whole_reference(name: &str) -> Option<String> {
    let is_kind = name.starts_with("heads/") || name.starts_with("tags/");
    match name.starts_with("refs/") {
        true => Some(name.to_owned()),
        false => is_kind.then(|| format!("refs/{name}")),
    }
}

/// A branch may be recorded as the remote-tracking branch that it is on the recording machine.
fn branch_name(branch: &str) -> &str {
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    branch.strip_prefix("origin/").unwrap_or(branch)
}

fn is_full_id(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit that a whole or abbreviated id, also one of an annotated tag, stands for.
fn find_commit(repository: &Repository, id: &str) -> Option<Oid> {
    if id.len() < 4 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let object = repository.find_object_by_prefix(id, None).ok()?;
    object.peel(ObjectType::Commit).ok().map(|commit| commit.id())
}

fn peel(repository: &Repository, reference: &str) -> Option<Oid> {
    repository.find_reference(reference).ok()?.peel_to_commit().ok().map(|commit| commit.id())
}

/// Removes what a killed fetch left: with the lock held, nobody else writes here.
fn remove_leftovers(mirror: &Path) -> Result<(), GitError> {
    for name in ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock"] {
        remove_file(&mirror.join(name))?;
    }
    let is_lock = |name: &str| name.ends_with(".lock");
    remove_below(&mirror.join("refs"), &is_lock)?;
    let is_temporary = |name: &str| name.starts_with("tmp_") || name.starts_with(".tmp-");
    remove_below(&mirror.join("objects/pack"), &is_temporary)
}

fn remove_below(folder: &Path, is_leftover: &dyn Fn(&str) -> bool) -> Result<(), GitError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path(), is_leftover)?;
        } else if is_leftover(&entry.file_name().to_string_lossy()) {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), GitError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a folder with everything in it, if there is one.
pub(crate) fn remove_all(path: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_asked_for() {
        let check = |revision: Revision, expected: Option<&str>| assert_eq!(refspec(&revision).as_deref(), expected);
        let id = "A".repeat(40);
        let low = "a".repeat(40);
        check(Revision::Commit(id), Some(&format!("+{low}:refs/hostler/commits/{low}")));
        check(Revision::Commit("abc123".into()), None);
        check(Revision::Tag("v1".into()), Some("+refs/tags/v1:refs/tags/v1"));
        check(Revision::Tag("refs/tags/v1".into()), Some("+refs/tags/v1:refs/tags/v1"));
        check(Revision::Branch("origin/a/b".into()), Some("+refs/heads/a/b:refs/heads/a/b"));
        check(Revision::Branch("refs/heads/a".into()), Some("+refs/heads/a:refs/heads/a"));
        check(Revision::Branch("refs/pull/1/head".into()), Some("+refs/pull/1/head:refs/pull/1/head"));
        check(Revision::Branch("a:b".into()), None);
        check(Revision::Branch("x*".into()), None);
        check(Revision::Default, Some("+HEAD:refs/hostler/default"));
    }

    #[test]
    fn a_name_may_say_its_kind() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(whole_reference(name).as_deref(), expected);
        check("heads/main", Some("refs/heads/main"));
        check("tags/v1", Some("refs/tags/v1"));
        check("refs/tags/v1", Some("refs/tags/v1"));
        check("main", None);
        check("hostler/default", None);
    }

    #[test]
    fn leftovers_of_a_killed_fetch_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("refs/heads/a")).unwrap();
        fs::create_dir_all(path("objects/pack")).unwrap();
        let leftovers = ["packed-refs.lock", "refs/heads/a/b.lock", "objects/pack/tmp_pack_x"];
        for name in leftovers.iter().chain(&["refs/heads/a/c", "objects/pack/pack-1.pack"]) {
            fs::write(path(name), "").unwrap();
        }
        remove_leftovers(folder.path()).unwrap();
        assert!(leftovers.iter().all(|name| !path(name).exists()));
        assert!(path("refs/heads/a/c").exists() && path("objects/pack/pack-1.pack").exists());
    }
}
