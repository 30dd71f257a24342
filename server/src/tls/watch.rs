//! Notices renewed files.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::Tls;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// What tells one state of a file from another: time, size, inode; nothing where it is not there.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Tls {
    /// Takes the certificate up that is put in the place of the one in force, for ever. Connections that are there
    /// go on.
    pub(crate) async fn watch(self) {
        let mut known = self.stamps();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let found = self.stamps();
            if found == known {
                continue;
            }
            // Both files are seldom replaced in one moment: what does not fit together yet is tried again when the
            // second one changes.
            known = found;
            let path = self.files.certificate.display().to_string();
            match self.reload() {
                Ok(()) => tracing::info!(path, "the renewed certificate is in force"),
                Err(error) => tracing::warn!(%error, "the certificate in force stays"),
            }
        }
    }

    fn stamps(&self) -> [Stamp; 2] {
        [stamp(&self.files.certificate), stamp(&self.files.key)]
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}
