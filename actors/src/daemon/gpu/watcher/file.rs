//! Which cards are quarantined, on disk: the next daemon knows it before it gives out the first card.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use protocols::gpu::Quarantine;
use protocols::order::{decode, encode};

/// In the state directory; replaced as a whole.
const FILE: &str = "quarantine.mpk";

/// The file of a state directory. Every call blocks on the disk.
#[derive(Clone, Debug)]
pub(crate) struct QuarantineFile(PathBuf);

impl QuarantineFile {
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self(state_dir.join(FILE))
    }

    /// What is written there. A file that cannot be read counts as none, with a word: cards that are still ill will
    /// be found to be.
    pub(crate) fn read(&self) -> Vec<Quarantine> {
        match std::fs::read(&self.0) {
            Ok(bytes) => decode(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %self.0.display(), %error, "cannot read which GPUs were quarantined");
                Vec::new()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %self.0.display(), %error, "cannot read which GPUs were quarantined");
                }
                Vec::new()
            }
        }
    }

    pub(crate) fn write(&self, quarantined: &[Quarantine]) -> io::Result<()> {
        let temporary = self.0.with_extension("tmp");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&encode(&quarantined))?;
        file.sync_all()?;
        std::fs::rename(temporary, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use protocols::gpu::GpuTrouble;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_damage_is_no_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = QuarantineFile::of(directory.path());
        assert_eq!(file.read(), []);
        let quarantine =
            Quarantine { gpu: "GPU-0".into(), index: 0, trouble: GpuTrouble::Xid(79), bad_at_ms: 5, ecc_errors: None };
        file.write(std::slice::from_ref(&quarantine)).unwrap();
        assert_eq!(file.read(), [quarantine]);
        std::fs::write(directory.path().join(FILE), "x").unwrap();
        assert_eq!(file.read(), []);
    }
}
