//! The init as a file that can be mounted.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The program, made by `build.rs`.
static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostler-init"));
const NAME: &str = "hostler-init";
/// Everybody may run it, nobody change it.
const MODE: u32 = 0o555;

/// The init cannot be put into the cache.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the init of containers to {}", path.display())]
pub struct InitProgramError {
    /// Where it was to be.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: std::io::Error,
}

/// Where the init is, below `cache_dir`: written at the first call, in a folder that is named after its contents, so
/// that versions do not meet and a container keeps the one that it was started with.
pub fn init_program(cache_dir: &Path) -> Result<PathBuf, InitProgramError> {
    let folder = cache_dir.join("init").join(hex::encode(Sha256::digest(INIT)));
    let path = folder.join(NAME);
    if !is_whole(&path) {
        write(&folder, &path).map_err(|source| InitProgramError { path: path.clone(), source })?;
    }
    Ok(path)
}

/// A crash of the machine may have left less of it than was written.
fn is_whole(path: &Path) -> bool {
    let has_mode = path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o777 == MODE);
    has_mode && std::fs::read(path).is_ok_and(|bytes| bytes == INIT)
}

fn write(folder: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(INIT)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(MODE))?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_once_and_again_where_it_is_broken() {
        let cache = tempfile::tempdir().unwrap();
        let path = init_program(cache.path()).unwrap();
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, MODE);
        assert_eq!(init_program(cache.path()).unwrap(), path);
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
        let first = inode(&path);
        init_program(cache.path()).unwrap();
        assert_eq!(inode(&path), first);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &INIT[..100]).unwrap();
        assert_eq!(init_program(cache.path()).unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), INIT);
    }

    /// Whatever image it is mounted into: no loader, no library.
    #[test]
    fn it_is_linked_statically() {
        let header = |at: usize, size: usize| {
            let bytes = &INIT[at..at + size];
            bytes.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte))
        };
        assert_eq!(&INIT[..5], b"\x7fELF\x02");
        let (headers, size, count) = (header(32, 8), header(54, 2), header(56, 2));
        let kinds: Vec<usize> = (0..count).map(|number| header(headers + number * size, 4)).collect();
        const PT_LOAD: usize = 1;
        const PT_INTERP: usize = 3;
        assert!(kinds.contains(&PT_LOAD) && !kinds.contains(&PT_INTERP), "{kinds:?}");
    }
}
