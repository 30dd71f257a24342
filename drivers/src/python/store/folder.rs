//! Folders of the store: cleared before a build, moved away before they are removed, counted when they are whole.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::python::error::PythonError;

/// How much a folder takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Files and links.
    pub(super) files: u64,
    /// Bytes on disk.
    pub(super) bytes: u64,
    /// Bytes on disk of files that have no other name: what a removal would free.
    pub(super) own_bytes: u64,
}

impl Size {
    /// Counts everything below a folder. What vanishes meanwhile does not count.
    pub(super) fn of(folder: &Path) -> Self {
        let mut size = Self::default();
        walk(folder, &mut |_, metadata| {
            let bytes = metadata.blocks() * 512;
            size.bytes += bytes;
            if metadata.is_dir() {
                size.own_bytes += bytes;
            } else {
                size.files += 1;
                size.own_bytes += if metadata.nlink() == 1 { bytes } else { 0 };
            }
        });
        size
    }
}

/// Calls `visit` for everything below a folder, without following links.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &Metadata)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let path = entry.path();
        visit(&path, &metadata);
        if metadata.is_dir() {
            walk(&path, visit);
        }
    }
}

/// What of an environment may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protected {
    /// Its files, whose other names are in caches and in other environments.
    Files,
    /// Its folders, too: nothing is replaced or added.
    All,
}

/// Takes the right to write away. What belongs to somebody else is left alone, and so is what conda made, which means to
/// change it.
pub(crate) fn protect(environment: &Path, what: Protected) {
    if environment.join("conda-meta").is_dir() {
        return;
    }
    walk(environment, &mut |path, metadata| {
        let mode = metadata.mode() & 0o7777;
        let is_meant = metadata.is_file() || (metadata.is_dir() && what == Protected::All);
        if is_meant && mode & 0o222 != 0 {
            let _ = fs::set_permissions(path, Permissions::from_mode(mode & !0o222));
        }
    });
}

/// Moves a folder out of the way in one step, so that nobody sees half of it; `None` if it is not there.
pub(super) fn doom(folder: &Path, doomed: &Path) -> Result<Option<PathBuf>, PythonError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    fs::create_dir_all(doomed).map_err(PythonError::io("make", doomed))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let target = doomed.join(format!("{name}.{}.{number}", std::process::id()));
    // A process of an earlier time had our number.
    remove(&target)?;
    match fs::rename(folder, &target) {
        Ok(()) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PythonError::io("move", folder)(error)),
    }
}

/// Removes a file, or a folder with everything in it, sealed or not, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), PythonError> {
    match remove_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PythonError::io("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove_all(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    if metadata.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    for entry in fs::read_dir(path)? {
        match remove_all(&entry?.path()) {
            // Somebody else removes it too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_folders_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, doomed) = (folder.path().join("tree"), folder.path().join("doomed"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/c"), "x").unwrap();
        std::os::unix::fs::symlink("/", tree.join("root")).unwrap();
        for sealed in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(tree.join(sealed), Permissions::from_mode(0o555)).unwrap();
        }
        let moved = doom(&tree, &doomed).unwrap().unwrap();
        assert!(!tree.exists() && doom(&tree, &doomed).unwrap().is_none());
        remove(&moved).unwrap();
        remove(&moved).unwrap();
        assert!(!moved.exists());
    }

    #[test]
    fn bytes_of_linked_files_are_not_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("own"), vec![1; 10_000]).unwrap();
        fs::write(folder.path().join("shared"), vec![1; 100_000]).unwrap();
        fs::hard_link(folder.path().join("shared"), tree.join("link")).unwrap();
        let size = Size::of(&tree);
        assert_eq!(size.files, 2);
        assert!(size.own_bytes >= 10_000 && size.bytes >= size.own_bytes + 100_000, "{size:?}");
    }
}
