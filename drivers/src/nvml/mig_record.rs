//! Which MIG instances were made by us: others are never taken away.
//!
//! A small file, replaced as a whole. An instance is in it before it is made, and until it is destroyed: after a crash
//! what is in it and is not there is forgotten, and what is there belongs to us.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocols::gpu::mig::{Placed, decode, encode};
use protocols::ids::GpuId;

use super::mig::MigCard;

/// The file cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the record of MIG instances {}: {source}", path.display())]
pub struct RecordError {
    path: PathBuf,
    #[source]
    source: Arc<io::Error>,
}

/// What we made.
#[derive(Debug)]
pub struct MigRecord {
    path: PathBuf,
    made: Vec<(GpuId, Placed)>,
}

impl MigRecord {
    /// Reads the record; one that is not there is empty.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let failed = |source| RecordError { path: path.to_owned(), source: Arc::new(source) };
        let made = match std::fs::read(path) {
            Ok(bytes) => decode(&bytes).map_err(|error| failed(io::Error::other(error)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { path: path.to_owned(), made })
    }

    /// Whether an instance is ours.
    pub fn has(&self, card: &GpuId, placed: Placed) -> bool {
        self.made.iter().any(|(of, known)| of == card && *known == placed)
    }

    /// Forgets what is not there (any more): it was made by a driver that was reset since, or never.
    pub fn reconcile(&mut self, cards: &[MigCard]) -> Result<(), RecordError> {
        let is_gone = |card: &GpuId, placed: &Placed| {
            let card = cards.iter().find(|known| known.card.id == *card);
            card.is_some_and(|card| !card.instances.iter().any(|instance| instance.placed == *placed))
        };
        let before = self.made.len();
        let mut made = self.made.clone();
        made.retain(|(card, placed)| !is_gone(card, placed));
        if made.len() == before { Ok(()) } else { self.replace(made) }
    }

    pub(super) fn add(&mut self, card: &GpuId, placed: Placed) -> Result<(), RecordError> {
        let mut made = self.made.clone();
        made.retain(|known| *known != (card.clone(), placed));
        made.push((card.clone(), placed));
        self.replace(made)
    }

    pub(super) fn remove(&mut self, card: &GpuId, placed: Placed) -> Result<(), RecordError> {
        let mut made = self.made.clone();
        made.retain(|known| *known != (card.clone(), placed));
        self.replace(made)
    }

    fn replace(&mut self, made: Vec<(GpuId, Placed)>) -> Result<(), RecordError> {
        let written = write(&self.path, &encode(&made));
        written.map_err(|source| RecordError { path: self.path.clone(), source: Arc::new(source) })?;
        self.made = made;
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
