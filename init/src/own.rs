//! Giving files to the agent's user, which in a container of root are root's.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chownat, openat, statat};
use rustix::process::{Gid, Uid};

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    pub(crate) changed: u64,
    pub(crate) error: Option<String>,
}

/// Gives each path, and everything below it, to this user and group.
///
/// Walks by open folders and never through a symbolic link: somebody may be exchanging one for the other meanwhile.
pub(crate) fn own<'a>(paths: impl IntoIterator<Item = &'a Path>, uid: u32, gid: u32) -> Owned {
    let mut walk = Walk { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), owned: Owned::default() };
    for path in paths {
        match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => walk.entry(CWD, path.as_os_str(), path, &stat, stat.st_dev),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => walk.failed(path, error),
        }
    }
    walk.owned
}

struct Walk {
    uid: Uid,
    gid: Gid,
    owned: Owned,
}

impl Walk {
    /// One file or folder, `name` in the open folder `parent`; `shown` is for messages. The device tells where
    /// another mount begins.
    fn entry(&mut self, parent: impl AsFd, name: &OsStr, shown: &Path, stat: &Stat, device: u64) {
        if stat.st_dev != device {
            return;
        }
        if (stat.st_uid, stat.st_gid) != (self.uid.as_raw(), self.gid.as_raw()) {
            let given = chownat(&parent, name, Some(self.uid), Some(self.gid), AtFlags::SYMLINK_NOFOLLOW);
            match given {
                Ok(()) => self.owned.changed += 1,
                // Gone meanwhile.
                Err(rustix::io::Errno::NOENT) => return,
                Err(error) => self.failed(shown, error),
            }
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&parent, name, flags, Mode::empty()) {
                Ok(folder) => self.folder(&folder, shown, device),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {}
                Err(error) => self.failed(shown, error),
            }
        }
    }

    fn folder(&mut self, folder: &OwnedFd, shown: &Path, device: u64) {
        let entries = match Dir::read_from(folder) {
            Ok(entries) => entries,
            Err(error) => return self.failed(shown, error),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.failed(shown, error),
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let shown: PathBuf = shown.join(name);
            match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.entry(folder, name, &shown, &stat, device),
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => self.failed(&shown, error),
            }
        }
    }

    fn failed(&mut self, path: &Path, error: rustix::io::Errno) {
        self.owned
            .error
            .get_or_insert_with(|| format!("cannot give {} to uid {}: {error}", path.display(), self.uid.as_raw()));
    }
}
