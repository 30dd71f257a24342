//! Whose files are: a container's user need not be the user of this process.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use protocols::container::init::{LINK_FOLDER, User};
use tracing::warn;

use super::link::InitLink;
use super::run_folder::RunFolder;

/// Who a container's user is to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// The user of this process, whatever number it has in there: root of a rootless engine's containers, for one.
    Same,
    /// Another one, and this process is root: these are its numbers on this machine.
    Ruled(u32, u32),
    /// Root of the machine, while this process is not.
    Root,
    /// Somebody else.
    Stranger,
}

/// By what the kernel says of the init, whose numbers in a user namespace are not those of this machine.
fn relation(link: &InitLink) -> io::Result<Relation> {
    let (uid, gid) = link.host_user()?;
    let own = geteuid().as_raw();
    Ok(match (own, link.hello().uid) {
        (own, _) if own == uid => Relation::Same,
        (0, _) => Relation::Ruled(uid, gid),
        (_, 0) => Relation::Root,
        _ => Relation::Stranger,
    })
}

/// As whom installers run in a container whose user is root, so that what they write belongs to this user; `None` where
/// root in the container is this user, or where this user is root.
pub fn installs_as(link: &InitLink) -> io::Result<Option<User>> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    Ok((uid != 0 && relation(link)? != Relation::Same).then(|| User { uid, gid, groups: Vec::new() }))
}

/// Lets the user of a container write into a folder of this user, and sees to it that what is written there, and into
/// caches by their paths in the container, is this user's in the end, as far as the container can do that itself; see
/// [`reclaim`](super::reclaim()) for the rest.
pub fn share(folder: &Path, caches: &[PathBuf], link: &InitLink) -> io::Result<()> {
    match relation(link)? {
        Relation::Same => Ok(()),
        // This user may do anything: also remove what it has given away.
        Relation::Ruled(uid, gid) => each(folder, &mut |path, _| lchown(path, Some(uid), Some(gid))),
        Relation::Root => {
            let folders: Vec<PathBuf> = [folder.to_owned()].into_iter().chain(caches.iter().cloned()).collect();
            let asked = link.own_at_end(&folders, geteuid().as_raw(), getegid().as_raw());
            asked.map(drop).map_err(io::Error::other)
        }
        Relation::Stranger => {
            warn!(
                uid = link.hello().uid,
                "the container runs as a user of its own, which may write where the task works"
            );
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
pub fn give_private(folder: &RunFolder, names: &[String], link: &InitLink) -> io::Result<bool> {
    match relation(link)? {
        Relation::Same => Ok(true),
        Relation::Ruled(uid, gid) => {
            let mut each = names.iter().map(|name| folder.path().join(name));
            each.try_for_each(|path| lchown(&path, Some(uid), Some(gid)))?;
            Ok(true)
        }
        Relation::Root => {
            let paths: Vec<PathBuf> = names.iter().map(|name| Path::new(LINK_FOLDER).join(name)).collect();
            let given = link.own(&paths, 0, 0).map_err(io::Error::other)?;
            given.error.map_or(Ok(true), |error| Err(io::Error::other(error)))
        }
        Relation::Stranger => Ok(false),
    }
}

/// Whether something in a folder belongs to somebody whose files this process may not remove. Never so for root.
pub(super) fn holds_files_of_others(folder: &Path) -> bool {
    let own = geteuid().as_raw();
    let mut is_others = |_: &Path, metadata: &fs::Metadata| match metadata.uid() == own {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
    };
    // A folder that cannot be read is another's, or will be said to be by who has to remove it.
    own != 0 && each(folder, &mut is_others).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Gives this user everything in a folder, by the root of a container in which it is mounted under the same path.
pub(super) fn take_back(folder: &Path, link: &InitLink) -> io::Result<()> {
    let user = match relation(link)? {
        Relation::Same => (link.hello().uid, link.hello().gid),
        Relation::Ruled(..) | Relation::Root | Relation::Stranger => (geteuid().as_raw(), getegid().as_raw()),
    };
    let owned = link.own(&[folder.to_owned()], user.0, user.1).map_err(io::Error::other)?;
    owned.error.map_or(Ok(()), |error| Err(io::Error::other(error)))
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
