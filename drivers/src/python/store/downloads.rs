//! What is kept beside the environments, from which they are made: the unpacked packages of uv, and those of conda.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder::{self, walk};
use super::record::{self, stem};
use super::{Damage, Store};
use crate::file_lock::FileLock;
use crate::python::error::PythonError;

/// uv unpacks here, and moves what is whole to its place.
const UNFINISHED: &[u8] = b".tmp";

impl Store {
    fn downloads_of_uv(&self) -> PathBuf {
        self.root.with_file_name("uv")
    }

    /// The lock of uv's cache, which every uv holds while it runs; `None` while one does, or where there is no cache.
    fn lock_of_uv(&self) -> Option<File> {
        let lock = File::options().write(true).open(self.downloads_of_uv().join(".lock")).ok()?;
        lock.try_lock().is_ok().then_some(lock)
    }

    fn unpacked_of_uv(&self) -> Result<Vec<PathBuf>, PythonError> {
        let mut packages = Vec::new();
        for folder in
            record::entries(&self.downloads_of_uv())?.iter().filter(|folder| stem(folder).starts_with("archive-"))
        {
            packages.extend(record::entries(folder)?.into_iter().filter(|package| package.is_dir()));
        }
        Ok(packages)
    }

    /// Removes unpacked packages from uv's cache that are in no environment; uv gets them again when it needs them.
    /// Does nothing while uv runs.
    pub(super) fn trim_downloads_of_uv(&self) -> Result<(), PythonError> {
        let Some(_lock) = self.lock_of_uv() else { return Ok(()) };
        self.unpacked_of_uv()?
            .iter()
            .filter(|package| !is_linked(package))
            .try_for_each(|package| folder::remove(package))
    }

    /// Removes what a uv that was killed had not unpacked to its end, how much there was. Does nothing while uv runs.
    pub(super) fn sweep_downloads_of_uv(&self) -> Result<usize, PythonError> {
        let is_left = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_bytes().starts_with(UNFINISHED));
        let left = || -> Result<Vec<PathBuf>, PythonError> {
            Ok(record::entries(&self.downloads_of_uv())?.into_iter().filter(is_left).collect())
        };
        if left()?.is_empty() {
            return Ok(0);
        }
        let Some(_lock) = self.lock_of_uv() else { return Ok(0) };
        // Seen under the lock, so that nobody is at it.
        let left = left()?;
        left.iter().try_for_each(|path| folder::remove(path))?;
        Ok(left.len())
    }

    /// Removes the unpacked packages of which a changed file is another name: environments would be made of it again. How
    /// many there were; `None` while uv runs.
    pub fn remove_downloads_of(&self, damages: &[Damage]) -> Result<Option<usize>, PythonError> {
        let identity =
            |path: &PathBuf| fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let changed: HashSet<_> =
            damages.iter().filter_map(|damage| damage.file.as_ref()).filter_map(identity).collect();
        if changed.is_empty() {
            return Ok(Some(0));
        }
        let Some(_lock) = self.lock_of_uv() else {
            return Ok((!self.downloads_of_uv().join(".lock").exists()).then_some(0));
        };
        let mut count = 0;
        for package in self.unpacked_of_uv()? {
            let mut has_it = false;
            walk(&package, &mut |_, metadata| has_it |= changed.contains(&(metadata.dev(), metadata.ino())));
            if has_it {
                folder::remove(&package)?;
                count += 1;
            }
        }
        Ok(Some(count))
    }

    /// [`Self::trim_downloads_of_uv`] for conda's caches (`managers/conda/downloads.rs`), and their archives and lists. Leaves alone what a
    /// conda uses, which holds its lock.
    pub(super) fn trim_downloads_of_conda(&self) -> Result<(), PythonError> {
        let caches = record::entries(&self.root.with_file_name("conda"))?;
        for lock in caches.iter().filter(|path| path.extension().is_some_and(|extension| extension == "lock")) {
            let Some(_lock) = FileLock::try_acquire(lock)? else { continue };
            for folder in record::entries(&lock.with_extension(""))? {
                for package in record::entries(&folder.join("packages"))?.iter().filter(|package| !is_linked(package)) {
                    folder::remove(package)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a file of a folder has another name elsewhere.
fn is_linked(folder: &Path) -> bool {
    let mut is_linked = false;
    walk(folder, &mut |_, metadata| is_linked |= metadata.is_file() && metadata.nlink() > 1);
    is_linked
}
