//! Looking for programs in the container's folders.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::vocabulary::SystemText;

/// The absolute folders of a `PATH`.
pub(crate) fn folders(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path).filter(|folder| folder.is_absolute())
}

/// Every executable file of this name in the folders of `path`; an absolute path is its own only candidate.
pub(crate) fn find(name: &OsStr, path: &OsStr) -> Vec<SystemText> {
    let candidates: Vec<PathBuf> = match Path::new(name).is_absolute() {
        true => vec![name.into()],
        false if name.as_bytes().contains(&b'/') => Vec::new(),
        false => folders(path).map(|folder| folder.join(name)).collect(),
    };
    candidates.into_iter().filter(|candidate| is_executable(candidate)).map(SystemText::from).collect()
}

/// Whether this is a file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
