//! Files and directories that only their owner may read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Problem};

/// Replaces a file as a whole: a reader sees the old or the new content, never a part.
pub(super) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = create(&draft).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    });
    written.map_err(|error| {
        // Nobody needs half a file.
        let _ = std::fs::remove_file(&draft);
        Problem::with(Exit::Config, format!("cannot write {}: {error}", path.display()))
    })
}

fn create(path: &Path) -> io::Result<File> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // Left by a process that died and had our number.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        }
        opened => opened,
    }
}

/// Makes a directory, with those above it, and gives its absolute path. One that is there already must be writable.
pub(super) fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    let failed = |error: &dyn std::fmt::Display| {
        Problem::with(Exit::Config, format!("cannot use the directory {}: {error}", path.display()))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(&error))?;
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)
        .map_err(|error| failed(&error.desc()))?;
    std::fs::canonicalize(path).map_err(|error| failed(&error))
}

/// Opens a file to append to.
pub(super) fn append(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Problem::with(Exit::Config, format!("cannot write {}: {error}", path.display())))
}

/// Holds the lock on a file as long as the result lives; `None` while another process holds it.
pub(super) fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = append(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(Problem::with(Exit::Config, format!("cannot lock {}: {error}", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_replaced_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.conf");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
        assert!(write(&directory.path().join("no/such/x"), b"").is_err());
    }

    #[test]
    fn a_lock_is_held_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = lock(&path).unwrap().expect("nobody holds it");
        assert!(lock(&path).unwrap().is_none());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_file_in_the_way_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "").unwrap();
        let error = super::directory(&path).expect_err("it is a file").to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
