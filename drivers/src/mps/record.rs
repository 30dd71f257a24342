//! Which control daemons were started, on disk: the next daemon finds them again.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use protocols::gpu::{GpuCard, MpsFolder};
use protocols::ids::ProcessId;
use protocols::order::{decode, encode};
use serde::{Deserialize, Serialize};
use tracing::warn;

/// In the folder of each; replaced as a whole.
const FILE: &str = "control.mpk";

/// A control daemon that was started, and may be dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MpsRecord {
    /// Whose.
    pub card: GpuCard,
    /// Its process.
    pub process: ProcessId,
}

impl MpsRecord {
    pub(super) fn write(&self, folder: &MpsFolder) -> io::Result<()> {
        let temporary = folder.path().join("control.tmp");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&encode(self))?;
        file.sync_all()?;
        std::fs::rename(temporary, folder.path().join(FILE))
    }

    pub(super) fn remove(folder: &MpsFolder) {
        let path = folder.path().join(FILE);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "cannot forget an MPS control daemon");
        }
    }
}

/// The control daemons that were started below `root` and not ended. Blocks on the disk.
pub fn records(root: &Path) -> Vec<MpsRecord> {
    let Ok(folders) = std::fs::read_dir(root) else { return Vec::new() };
    let read = |folder: std::fs::DirEntry| {
        let path = folder.path().join(FILE);
        let bytes = std::fs::read(&path).ok()?;
        decode(&bytes).inspect_err(|error| warn!(file = %path.display(), %error, "cannot read a record of MPS")).ok()
    };
    folders.flatten().filter_map(read).collect()
}
