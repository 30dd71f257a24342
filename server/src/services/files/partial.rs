//! Uploads that are not complete: files beside the tree that nobody is served.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::paths::FilePath;
use crate::ids;

/// How often an upload is moved again when the folder it belongs to is removed at the same moment.
const MOVES: usize = 8;

/// A file that is being written; removed when it is dropped before it was moved into place.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    is_placed: bool,
}

impl Partial {
    /// Makes an empty file in `directory`. It stays locked as long as the file is open.
    pub(super) fn create(directory: &Path) -> io::Result<(Self, File)> {
        make_directory(directory)?;
        loop {
            let path = directory.join(ids::new_id());
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.lock()?;
            // A server that starts takes an unlocked file for abandoned: it may have removed it before the lock.
            if file.metadata()?.nlink() > 0 {
                return Ok((Self { path, is_placed: false }, file));
            }
        }
    }

    /// Moves the file, which must be complete and synced, to its place in the tree, over an older one. Durable when
    /// it returns.
    pub(super) fn place(mut self, tree: &Path, target: &FilePath) -> Result<(), super::FileError> {
        make_directory(tree)?;
        let mut moves = 0;
        loop {
            let place = target.below(tree)?;
            let folder = place.parent().unwrap_or(tree);
            make_directory(folder)?;
            moves += 1;
            match std::fs::rename(&self.path, &place) {
                // The last file of the folder was deleted, and the folder with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && moves < MOVES => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.is_placed = true;
                    for folder in folder.ancestors().take_while(|folder| folder.starts_with(tree)) {
                        File::open(folder)?.sync_all()?;
                    }
                    return Ok(());
                }
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_placed
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an incomplete upload cannot be removed");
        }
    }
}

/// Makes a directory and those above it, for the owner only.
fn make_directory(path: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        // A file has the name of a folder.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(io::ErrorKind::NotADirectory.into()),
        other => other,
    }
}

/// Removes what an earlier server left behind when it was killed: files that nobody has locked.
pub(super) fn remove_abandoned(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let abandoned = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if abandoned && let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "an abandoned upload cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_upload_is_invisible_until_it_is_placed() {
        let directory = tempfile::tempdir().unwrap();
        let (partial, tree) = (directory.path().join("partial"), directory.path().join("tree"));
        let target = FilePath::plain("a/b/c").unwrap();
        for content in ["first", "second"] {
            let (upload, mut file) = Partial::create(&partial).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            upload.place(&tree, &target).unwrap();
            assert_eq!(std::fs::read_to_string(tree.join("a/b/c")).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 0);
        let (upload, _file) = Partial::create(&partial).unwrap();
        let refused = upload.place(&tree, &FilePath::plain("a/b/c/d").unwrap());
        assert!(matches!(refused, Err(super::super::FileError::Path(_))), "{refused:?}");
        let (upload, _file) = Partial::create(&partial).unwrap();
        assert!(upload.place(&tree, &FilePath::plain("a/b").unwrap()).is_err(), "a folder is not replaced");
        assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 0);
    }

    #[test]
    fn only_abandoned_uploads_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (upload, file) = Partial::create(directory.path()).unwrap();
        std::fs::write(directory.path().join("left"), "half").unwrap();
        remove_abandoned(directory.path());
        assert!(!directory.path().join("left").exists());
        assert!(upload.path.exists(), "it is being written");
        drop(file);
        remove_abandoned(directory.path());
        assert!(!upload.path.exists());
        std::mem::forget(upload);
    }
}
