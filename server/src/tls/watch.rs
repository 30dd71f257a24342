//! Notices renewed files.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::{Tls, TlsFiles};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// What tells one state of a file from another: time, size, inode; nothing where it is not there.
type Stamp = Option<(i64, i64, u64, u64)>;

/// Of the certificate and of the key.
pub(super) type Stamps = [Stamp; 2];

impl Tls {
    /// Takes the certificate up that is put in the place of the one in force, for ever. Connections that are there
    /// go on.
    pub(crate) async fn watch(self) {
        let mut known = self.seen;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let found = stamps(&self.files);
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
}

pub(super) fn stamps(files: &TlsFiles) -> Stamps {
    [stamp(&files.certificate), stamp(&files.key)]
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}
