//! Files and folders, copied so that they are whole and on the disk, or not there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{MaintenanceError, file_error};

/// How many files, and how many bytes are in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// A name beside `path` that nobody else takes, for something that is not yet whole.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.draft", std::process::id()))
}

/// Removes a file or folder that may be there.
pub(super) fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a draft that was not finished.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    is_finished: bool,
}

impl Draft {
    /// A draft of `target`; what an earlier process of our number left is removed.
    pub(super) fn of(target: &Path) -> Result<Self, MaintenanceError> {
        let path = draft_of(target);
        remove_any(&path).map_err(file_error("remove", &path))?;
        Ok(Self { path, is_finished: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the draft, which is synced, to its place in one step. What is there stays, and is an error, unless `replace`
    /// says otherwise.
    pub(super) fn finish(mut self, target: &Path, replace: bool) -> Result<(), MaintenanceError> {
        let is_there = target.symlink_metadata().is_ok();
        let flags = if replace && is_there { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &self.path, CWD, target, flags).map_err(|error| {
            if error == Errno::EXIST {
                return MaintenanceError::Exists { path: target.to_owned() };
            }
            file_error("write", target)(error.into())
        })?;
        // What was there has the name of the draft now, and goes.
        self.is_finished = flags == RenameFlags::NOREPLACE;
        sync_parent(target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_finished {
            // Whoever sees the error that led here is told enough.
            let _ = remove_any(&self.path);
        }
    }
}

/// Makes an empty file for the owner only.
pub(super) fn create_private(path: &Path) -> Result<File, MaintenanceError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(file_error("write", path))
}

/// Makes a folder for the owner only.
pub(super) fn create_folder(path: &Path) -> Result<(), MaintenanceError> {
    DirBuilder::new().mode(0o700).create(path).map_err(file_error("make the folder", path))
}

/// Makes sure that a file is on the disk.
pub(super) fn sync(path: &Path) -> Result<(), MaintenanceError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(file_error("write", path))
}

/// Makes sure that the name of a file is on the disk.
pub(super) fn sync_parent(path: &Path) -> Result<(), MaintenanceError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync(parent.unwrap_or(Path::new(".")))
}

/// Copies a file to a place where none is, and syncs it.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<u64, MaintenanceError> {
    let mut source = File::open(from).map_err(file_error("read", from))?;
    let mut target = create_private(to)?;
    let bytes = io::copy(&mut source, &mut target).map_err(file_error("write", to))?;
    target.sync_all().map_err(file_error("write", to))?;
    Ok(bytes)
}

/// Copies all files below a folder into a new one. A file that goes away meanwhile is left out; nothing but files and
/// folders is copied.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<Amount, MaintenanceError> {
    let mut amount = Amount::default();
    create_folder(to)?;
    for entry in entries(from)? {
        let target = to.join(entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let below = copy_tree(&entry.path(), &target)?;
            amount.files += below.files;
            amount.bytes += below.bytes;
        } else if kind.is_file() {
            match copy_file(&entry.path(), &target) {
                Ok(bytes) => {
                    amount.files += 1;
                    amount.bytes += bytes;
                }
                Err(MaintenanceError::File { action: "read", source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    sync(to)?;
    Ok(amount)
}

/// What is in a folder; nothing if there is no such folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, MaintenanceError> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(file_error("read", folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(file_error("read", folder)(error)),
    }
}

/// Counts all files below a folder, and gives every file that is none to `odd`.
pub(super) fn count(folder: &Path, odd: &mut dyn FnMut(PathBuf)) -> Result<Amount, MaintenanceError> {
    let mut amount = Amount::default();
    for entry in entries(folder)? {
        // It may have gone since it was listed.
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if metadata.is_dir() {
            let below = count(&entry.path(), odd)?;
            amount.files += below.files;
            amount.bytes += below.bytes;
        } else if metadata.is_file() {
            amount.files += 1;
            amount.bytes += metadata.len();
        } else {
            odd(entry.path());
        }
    }
    Ok(amount)
}
