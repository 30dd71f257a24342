//! Turns a commit of a mirror into a work tree of its own, with a `.git` that users and SDKs can work with.
//!
//! Files are real; objects are borrowed from the mirror (alternates), so that nothing is copied twice.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use git2::build::CheckoutBuilder;
use git2::{CheckoutNotificationType, Oid, Repository, RepositoryInitOptions};
use protocols::failure::FailureClass;

use super::access::Access;
use super::error::GitError;
use super::mirror::{Mirror, SHALLOW, remove_all};
use super::output::{self, Display};
use super::url::RepositoryUrl;
use crate::command::{CommandLine, CommandRunner, Finished};

/// Whether a failed checkout may be due to a mirror that lacks objects: the disk is not to blame.
pub(crate) fn may_lack_objects(error: &GitError) -> bool {
    matches!(error, GitError::Checkout { .. }) && error.class() != FailureClass::Infrastructure
}

/// Checks `commit` out into `into`, which is replaced if it is there.
pub(crate) fn create(mirror: &Mirror<'_>, commit: Oid, into: &Path, access: &Access<'_>) -> Result<(), GitError> {
    remove_all(into)?;
    fs::create_dir_all(into).map_err(GitError::io("make", into))?;
    let failed = |source| GitError::Checkout { commit: commit.to_string(), source };
    let mut options = RepositoryInitOptions::new();
    options.external_template(false).no_reinit(true).origin_url(access.origin());
    let git_folder = Repository::init_opts(into, &options).map_err(failed)?.path().to_owned();
    let alternates = git_folder.join("objects/info/alternates");
    if let Some(folder) = alternates.parent() {
        fs::create_dir_all(folder).map_err(GitError::io("make", folder))?;
    }
    let objects = mirror.path().join("objects");
    let line = [objects.as_os_str().as_encoded_bytes(), b"\n"].concat();
    fs::write(&alternates, line).map_err(GitError::io("write", &alternates))?;
    copy_shallow(mirror.path(), &git_folder)?;
    write_references(mirror.path(), &git_folder)?;
    // Opened anew: the object database reads its alternates once.
    let repository = Repository::open(into).map_err(failed)?;
    check_out(&repository, commit, access.commands())
}

/// Where the history of the mirror is cut off, that of the work tree is.
fn copy_shallow(mirror: &Path, git_folder: &Path) -> Result<(), GitError> {
    let path = mirror.join(SHALLOW);
    match fs::copy(&path, git_folder.join(SHALLOW)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("copy", path)(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn check_out(repository: &Repository, commit: Oid, commands: &dyn CommandRunner) -> Result<(), GitError> {
    let failed = |source| GitError::Checkout { commit: commit.to_string(), source };
    let object = repository.find_object(commit, None).map_err(failed)?;
    let mut options = CheckoutBuilder::new();
    options.force().notify_on(CheckoutNotificationType::UPDATED).notify(|_, _, _, _, _| !commands.is_stopped());
    let checked_out = repository.checkout_tree(&object, Some(&mut options));
    drop(options);
    if commands.is_stopped() {
        return Err(GitError::Stopped);
    }
    checked_out.map_err(failed)?;
    repository.set_head_detached(commit).map_err(failed)
}

/// Gives the work tree the branches (as those of `origin`) and the tags that the mirror has, in one file.
fn write_references(mirror: &Path, git_folder: &Path) -> Result<(), GitError> {
    let failed = |source| GitError::Mirror { path: mirror.to_owned(), source };
    let repository = Repository::open_bare(mirror).map_err(failed)?;
    let mut lines: Vec<(String, Oid)> = Vec::new();
    for reference in repository.references().map_err(failed)? {
        let Ok(reference) = reference else { continue };
        let (Ok(name), Some(target)) = (reference.name(), reference.target()) else { continue };
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            lines.push((format!("refs/remotes/origin/{branch}"), target));
        } else if name.starts_with("refs/tags/") {
            lines.push((name.to_owned(), target));
        }
    }
    lines.sort();
    let mut text = "# pack-refs with: sorted \n".to_owned();
    for (name, target) in lines {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{target} {name}");
    }
    let path = git_folder.join("packed-refs");
    fs::write(&path, text).map_err(GitError::io("write", &path))
}

/// Copies what a work tree borrows from its mirror, which may go then. Submodules borrow nothing.
pub fn own_objects(root: &Path, commands: &dyn CommandRunner) -> Result<(), GitError> {
    let alternates = root.join(".git/objects/info/alternates");
    if !alternates.exists() {
        return Ok(());
    }
    let command = CommandLine::new("git").arguments(["repack", "-a", "-d", "--quiet"]).directory(root);
    let finished = commands.run(command, &mut |_| {})?;
    if !finished.is_success() {
        return Err(GitError::Repack { path: root.to_owned(), detail: finished.tail.join("; ") });
    }
    fs::remove_file(&alternates).map_err(GitError::io("remove", &alternates))
}

/// Fetches submodules, nested ones too, where the commit has any.
pub(crate) fn add_submodules(root: &Path, access: &mut Access<'_>, progress: &dyn Fn(&str)) -> Result<(), GitError> {
    let Ok(text) = fs::read(root.join(".gitmodules")) else { return Ok(()) };
    for url in submodule_urls(&String::from_utf8_lossy(&text)) {
        access.rewrite_others(&url);
    }
    progress("fetching submodules");
    let command = access.remote_git(root).arguments(["submodule", "update", "--init", "--recursive", "--progress"]);
    let finished = run(command, access, progress)?;
    if finished.is_success() {
        return Ok(());
    }
    if output::is_disk_full(&finished.tail) {
        return Err(GitError::DiskFull { path: root.to_owned() });
    }
    Err(GitError::Submodules {
        url: access.origin().to_owned(),
        detail: output::reason(&finished.tail, access.scrubber()),
        is_transient: output::is_network_failure(&finished.tail),
    })
}

/// Folders of the submodules that are checked out below `root`, nested ones too, relative to it.
pub(crate) fn submodule_folders(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        let Ok(text) = fs::read_to_string(root.join(&folder).join(".gitmodules")) else { continue };
        for path in module_values(&text, "path") {
            let path = if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
            if root.join(&path).join(".git").exists() && !found.contains(&path) {
                found.push(path.clone());
                open.push(path);
            }
        }
    }
    found
}

fn submodule_urls(text: &str) -> Vec<RepositoryUrl> {
    module_values(text, "url").map(RepositoryUrl::parse).collect()
}

fn module_values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let values = text.lines().filter_map(move |line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
    values.map(|value| value.trim().trim_matches('"'))
}

/// Replaces the pointers of files in Git LFS by the files.
pub(crate) fn add_large_files(root: &Path, access: &Access<'_>, progress: &dyn Fn(&str)) -> Result<(), GitError> {
    if !uses_large_files(root) {
        return Ok(());
    }
    if access.commands().find("git-lfs").is_none() {
        progress("this repository keeps files in Git LFS, but git-lfs is not installed here: they stay pointers");
        return Ok(());
    }
    progress("fetching files from Git LFS");
    for arguments in [["lfs", "install", "--local", "--skip-repo"].as_slice(), &["lfs", "pull"]] {
        let finished = run(access.remote_git(root).arguments(arguments), access, progress)?;
        if !finished.is_success() {
            return Err(GitError::LargeFiles {
                url: access.origin().to_owned(),
                detail: output::reason(&finished.tail, access.scrubber()),
                is_transient: output::is_network_failure(&finished.tail),
            });
        }
    }
    Ok(())
}

/// Whether any `.gitattributes` of the checked-out commit hands files to the LFS filter.
fn uses_large_files(root: &Path) -> bool {
    let Ok(index) = Repository::open(root).and_then(|repository| repository.index()) else { return false };
    index
        .iter()
        .filter(|entry| entry.path == b".gitattributes" || entry.path.ends_with(b"/.gitattributes"))
        .filter_map(|entry| fs::read(root.join(String::from_utf8_lossy(&entry.path).as_ref())).ok())
        .any(|text| String::from_utf8_lossy(&text).contains("filter=lfs"))
}

fn run(command: CommandLine, access: &Access<'_>, progress: &dyn Fn(&str)) -> Result<Finished, GitError> {
    let display = RefCell::new(Display::new(progress, access.scrubber()));
    Ok(access.commands().run(command, &mut |line| display.borrow_mut().line(line))?)
}
