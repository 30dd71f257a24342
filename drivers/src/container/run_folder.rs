//! Where an executor and its container meet: a folder in memory, which no disk ever holds.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

/// A folder of an attempt, mounted into its container. Removed when this is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, empty. Only this user comes near it, but for the container, where everybody may read it.
    pub fn make(mark: &str, name: &str) -> io::Result<Self> {
        let base = base()?;
        let outer = base.join(mark);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&outer)?;
        let path = outer.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir(&path)?;
        // Above the umask, which may be narrow: the container's user need not be this one.
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self { path })
    }

    /// Takes over a folder that was made under another mark. What is mounted from it stays mounted.
    pub(super) fn adopt(from: &Path, mark: &str, name: &str) -> io::Result<Self> {
        let outer = base()?.join(mark);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&outer)?;
        let path = outer.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::rename(from, &path)?;
        if let Some(old) = from.parent() {
            let _ = fs::remove_dir(old);
        }
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file there which the container may read.
    pub fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put_with(name, content, 0o644)
    }

    /// Puts files into a folder of it, which nobody but this user may read; see [`super::give_private`].
    pub fn put_private(&self, folder: &str, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        let path = self.path.join(folder);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        files.iter().try_for_each(|(name, content)| self.put_with(&format!("{folder}/{name}"), content, 0o600))
    }

    /// Puts an empty file there which the container may write.
    pub fn put_open(&self, name: &str) -> io::Result<()> {
        self.put_with(name, b"", 0o666)
    }

    fn put_with(&self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let path = self.path.join(name);
        // Not through a link that a container may have put there.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        io::Write::write_all(&mut file, content)?;
        file.set_permissions(Permissions::from_mode(mode))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        remove(&self.path);
        if let Some(outer) = self.path.parent() {
            // Another one of the attempt may be beside it.
            let _ = fs::remove_dir(outer);
        }
    }
}

/// Removes the folders of an attempt that is over.
pub fn forget_run_folder(mark: &str) {
    if let Ok(base) = base() {
        remove(&base.join(mark));
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!(path = %path.display(), %error, "cannot remove a folder in memory"),
    }
}

/// `hostler-UID` below the user's runtime folder, else in the memory that every Linux shares.
fn base() -> io::Result<PathBuf> {
    let uid = nix::unistd::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let candidates = [runtime, (uid == 0).then(|| "/run".into()), Some("/dev/shm".into())];
    let parent = candidates.into_iter().flatten().find(|path| is_usable(path));
    let parent = parent.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no file system in memory: /dev/shm"))?;
    let base = parent.join(format!("hostler-{uid}"));
    match fs::DirBuilder::new().mode(0o700).create(&base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // In a folder where everybody may make some, it could be somebody else's.
    let metadata = base.symlink_metadata()?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        let message = format!("{} is not a folder of this user alone", base.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(base)
}

/// Whether this user may make folders there, and no disk is behind it.
fn is_usable(path: &Path) -> bool {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
        && statfs(path).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_for_as_long_as_it_is_needed() {
        let mark = format!("test.{}.1", std::process::id());
        let folder = RunFolder::make(&mark, "task").unwrap();
        folder.put("a", b"b").unwrap();
        folder.put_private("keys", &[("id".to_owned(), b"secret".to_vec())]).unwrap();
        let mode = fs::metadata(folder.path().join("keys/id")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let path = folder.path().to_owned();
        let other = RunFolder::make(&mark, "builder").unwrap();
        drop(folder);
        assert!(!path.exists() && other.path().exists());
        let again = RunFolder::make(&mark, "builder").unwrap();
        std::mem::forget(other);
        forget_run_folder(&mark);
        assert!(!again.path().exists());
    }
}
