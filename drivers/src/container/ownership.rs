//! Whose files are: a container's user need not be the user of this process.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use protocols::container::init::{LINK_FOLDER, User};
use tracing::{debug, warn};

use super::engine::Engine;
use super::link::InitLink;
use super::run_folder::RunFolder;

/// As whom installers run in a container whose user is root, so that what they write belongs to this user; `None` where
/// root in the container is this user.
pub fn installs_as(engine: &Engine) -> Option<User> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    (uid != 0 && !is_rootless(engine)).then(|| User { uid, gid, groups: Vec::new() })
}

/// Lets the user of a container write into a folder of this user, and sees to it that what is written there is this
/// user's in the end.
pub fn share(folder: &Path, link: &InitLink, engine: &Engine) -> io::Result<()> {
    let own = (geteuid().as_raw(), getegid().as_raw());
    let theirs = (link.hello().uid, link.hello().gid);
    let is_root_mapped = own.0 != 0 && is_rootless(engine);
    match (own.0, theirs.0) {
        // The same user: as numbers, or as the root of a container that is no root here.
        (_, 0) if is_root_mapped => Ok(()),
        (own, theirs) if own == theirs && !is_root_mapped => Ok(()),
        // This user may do anything: also remove what it has given away.
        (0, _) => each(folder, &mut |path, _| lchown(path, Some(theirs.0), Some(theirs.1))),
        (_, 0) => {
            let asked = link.own_at_end(&[folder.to_owned()], own.0, own.1);
            asked.map(drop).map_err(io::Error::other)
        }
        _ => {
            warn!(uid = theirs.0, "the container runs as a user of its own, which may write where the task works");
            each(folder, &mut |path, metadata| {
                let mode = metadata.permissions().mode();
                let wanted = mode | 0o066 | if metadata.is_dir() || mode & 0o100 != 0 { 0o011 } else { 0 };
                if metadata.is_symlink() { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(wanted)) }
            })
        }
    }
}

/// Gives files of a container's folder in memory, which only this user may read, to the container's user, who alone may
/// read them then. False where nobody may do that.
pub fn give_private(folder: &RunFolder, names: &[String], link: &InitLink, engine: &Engine) -> io::Result<bool> {
    let own = (geteuid().as_raw(), getegid().as_raw());
    let theirs = (link.hello().uid, link.hello().gid);
    let is_root_mapped = own.0 != 0 && is_rootless(engine);
    match (own.0, theirs.0) {
        (_, 0) if is_root_mapped => Ok(true),
        (own, theirs) if own == theirs && !is_root_mapped => Ok(true),
        (0, _) => {
            let mut each = names.iter().map(|name| folder.path().join(name));
            each.try_for_each(|path| lchown(&path, Some(theirs.0), Some(theirs.1)))?;
            Ok(true)
        }
        (_, 0) => {
            let paths: Vec<PathBuf> = names.iter().map(|name| Path::new(LINK_FOLDER).join(name)).collect();
            let given = link.own(&paths, 0, 0).map_err(io::Error::other)?;
            given.error.map_or(Ok(true), |error| Err(io::Error::other(error)))
        }
        _ => Ok(false),
    }
}

fn is_rootless(engine: &Engine) -> bool {
    engine.is_rootless().unwrap_or_else(|error| {
        debug!(%error, "whether the engine is rootless is not known");
        false
    })
}

/// The folder itself, and everything below it; no link is followed.
fn each(path: &Path, act: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            each(&entry?.path(), act)?;
        }
    }
    act(path, &metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_visited_and_no_link_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), "").unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("a/root")).unwrap();
        let mut seen = Vec::new();
        each(folder.path(), &mut |path, _| {
            seen.push(path.strip_prefix(folder.path()).unwrap().to_owned());
            Ok(())
        })
        .unwrap();
        seen.sort();
        assert_eq!(seen, ["", "a", "a/b", "a/root"].map(std::path::PathBuf::from));
    }
}
