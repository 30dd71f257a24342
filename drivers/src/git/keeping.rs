//! Which mirrors are kept: one that a work tree borrows objects from is never removed, of the others those go first
//! that were not used for longest.
//!
//! ```text
//! repositories/NAME.git/    the mirror
//! repositories/NAME.lock    held while it is fetched into
//! repositories/NAME.used    held, shared, for as long as a work tree needs it; modified at every use
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocols::git::RepositoryCache;

use super::error::GitError;
use super::mirror::remove_all;

/// Free space that is left where the configuration does not say.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// Keeps a mirror where it is, until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct RepositoryLease {
    _file: std::sync::Arc<File>,
}

impl RepositoryLease {
    /// Takes one for the mirror at `NAME.git`, whether it is there yet or not, and notes the use.
    pub(super) fn take(mirror: &Path) -> Result<Self, GitError> {
        let path = used_file(mirror);
        let file = open(&path)?;
        // An eviction holds it exclusively for one rename.
        file.lock_shared().map_err(GitError::io("lock", &path))?;
        file.set_modified(SystemTime::now()).map_err(GitError::io("write", &path))?;
        Ok(Self { _file: std::sync::Arc::new(file) })
    }
}

/// Removes mirrors until the rest fits. What cannot be removed now, because it is used, stays.
pub(super) fn evict(folder: &Path, settings: &RepositoryCache, progress: &dyn Fn(&str)) -> Result<(), GitError> {
    let mirrors = mirrors(folder);
    let min_free = settings.min_free_bytes.unwrap_or(MIN_FREE_BYTES);
    let mut left = mirrors.len();
    for (_, mirror) in mirrors {
        let is_too_many = settings.max_entries.is_some_and(|most| left > most.max(1));
        // Where the free space cannot be told, nothing is removed for it.
        let is_too_full = fs4::available_space(folder).is_ok_and(|free| free < min_free);
        if !is_too_many && !is_too_full {
            break;
        }
        if remove(&mirror)? {
            left -= 1;
            let name = mirror.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            progress(&format!("removed the local copy of {name}, which was not used for longest"));
        }
    }
    Ok(())
}

/// All mirrors, the one that was not used for longest first.
fn mirrors(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<(SystemTime, PathBuf)> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "git"))
        .map(|path| {
            let used = used_file(&path).metadata().and_then(|metadata| metadata.modified());
            (used.unwrap_or(SystemTime::UNIX_EPOCH), path)
        })
        .collect();
    found.sort();
    found
}

/// Removes a mirror that nobody uses and nobody fetches into; says whether it did.
fn remove(mirror: &Path) -> Result<bool, GitError> {
    let lock = open(&mirror.with_extension("lock"))?;
    let used = open(&used_file(mirror))?;
    if lock.try_lock().is_err() || used.try_lock().is_err() {
        return Ok(false);
    }
    let aside = mirror.with_extension("evicted");
    remove_all(&aside)?;
    fs::rename(mirror, &aside).map_err(GitError::io("move", mirror))?;
    drop((used, lock));
    remove_all(&aside)?;
    Ok(true)
}

fn open(path: &Path) -> Result<File, GitError> {
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(path);
    opened.map_err(GitError::io("open", path))
}

fn used_file(mirror: &Path) -> PathBuf {
    mirror.with_extension("used")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn mirror(&self, name: &str) -> PathBuf {
            let path = self.0.path().join(format!("{name}.git"));
            fs::create_dir_all(&path).unwrap();
            path
        }

        fn evict(&self, most: usize) -> Vec<String> {
            let settings = RepositoryCache { max_entries: Some(most), min_free_bytes: Some(0), ..Default::default() };
            evict(self.0.path(), &settings, &|_| {}).unwrap();
            let mut left: Vec<String> = mirrors(self.0.path())
                .iter()
                .map(|(_, path)| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            left.sort();
            left
        }
    }

    #[test]
    fn what_is_used_stays_and_the_oldest_goes_first() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let leases = ["a", "b", "c"].map(|name| RepositoryLease::take(&folder.mirror(name)).unwrap());
        assert_eq!(folder.evict(1), ["a", "b", "c"]);
        let [a, b, c] = leases;
        drop((b, c));
        assert_eq!(folder.evict(1), ["a"], "one of them may stay, and the oldest is in use");
        drop(a);
        assert_eq!(folder.evict(0), ["a"], "the last one always stays");
        folder.mirror("d");
        assert_eq!(folder.evict(1), ["a"], "never used is oldest");
    }

    #[test]
    fn a_full_disk_removes_everything_that_is_not_used() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let kept = RepositoryLease::take(&folder.mirror("kept")).unwrap();
        folder.mirror("gone");
        let settings = RepositoryCache { min_free_bytes: Some(u64::MAX), ..Default::default() };
        evict(folder.0.path(), &settings, &|_| {}).unwrap();
        assert_eq!(mirrors(folder.0.path()).len(), 1);
        drop(kept);
    }
}
