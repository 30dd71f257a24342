//! Making room: the environments that were used least recently go first, those in use never, the last one never.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use nix::sys::statvfs::statvfs;

use super::bytecode::is_sealed;
use super::folder::{self, doom, walk};
use super::lease::Removal;
use super::record::{self, stem};
use super::{READY_FILE, Store, last_used};
use crate::file_lock::FileLock;
use crate::python::error::PythonError;

/// Holds the size of an environment.
const SIZE_FILE: &str = "size.json";

/// How much the store may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Environments; `agent.venvs_cache.max_entries`.
    pub entries: Option<usize>,
    /// Bytes on disk, each file counted once.
    pub bytes: Option<u64>,
    /// Bytes of the disk that are to stay free; `agent.venvs_cache.free_space_threshold_gb`.
    pub free_floor: u64,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Environments, by id.
    pub environments: Vec<String>,
    /// Remains of builds and removals that were broken off.
    pub remains: usize,
}

struct Candidate {
    id: String,
    folder: PathBuf,
    last_used: SystemTime,
    bytes: OnceCell<u64>,
}

impl Candidate {
    /// Its bytes on disk.
    fn bytes(&self) -> u64 {
        *self.bytes.get_or_init(|| self.count())
    }

    /// Counts them, and writes them down once they do not grow any more.
    fn count(&self) -> u64 {
        let counted = self.folder.join(SIZE_FILE);
        if let Some(bytes) = record::read::<u64>(&counted) {
            return bytes;
        }
        let bytes = folder::Size::of(&self.folder).bytes;
        // What conda has made gets no byte code of ours.
        let is_final = is_sealed(&self.folder) || self.folder.join("venv/conda-meta").is_dir();
        if is_final && let Err(error) = record::write(&counted, &bytes) {
            tracing::debug!(%error, "the size of an environment is counted anew the next time");
        }
        bytes
    }
}

impl Store {
    /// Removes environments until the limits are kept, or nothing may be removed any more. Does nothing while
    /// another process does it.
    pub fn evict(&self, limits: &Limits) -> Result<Pruned, PythonError> {
        let mut pruned = Pruned::default();
        let Some(_lock) = FileLock::try_acquire(&self.lock("eviction"))? else { return Ok(pruned) };
        let mut candidates = self.candidates()?;
        loop {
            // What is in no environment goes first; what was in the last one that went is in none now.
            if self.is_too_full(limits) {
                self.trim_downloads_of_uv()?;
                self.trim_downloads_of_conda()?;
            }
            // The one that was used last stays, whatever the limits are: a store is never emptied.
            if candidates.len() <= 1 || !self.is_above(limits, &candidates) {
                break;
            }
            let Some(position) = self.remove_first(&candidates[..candidates.len() - 1])? else { break };
            pruned.environments.push(candidates.remove(position).id);
        }
        Ok(pruned)
    }

    /// Removes environments that nobody uses and nobody has used since, then what the limits ask for, then all
    /// remains.
    pub fn prune(&self, limits: &Limits, unused_since: Option<SystemTime>) -> Result<Pruned, PythonError> {
        let mut pruned = Pruned::default();
        if let Some(since) = unused_since {
            for candidate in self.candidates()?.iter().filter(|candidate| candidate.last_used < since) {
                if self.remove_first(std::slice::from_ref(candidate))?.is_some() {
                    pruned.environments.push(candidate.id.clone());
                }
            }
        }
        pruned.environments.extend(self.evict(limits)?.environments);
        pruned.remains = self.sweep()?;
        Ok(pruned)
    }

    /// Removes one environment, unless it is in use. Whether it did.
    pub fn remove(&self, id: &str) -> Result<bool, PythonError> {
        let folder = self.folder(id);
        let Some(removal) = Removal::claim(&folder)? else { return Ok(false) };
        let doomed = doom(&folder, &self.doomed())?;
        drop(removal);
        doomed.as_deref().map_or(Ok(()), super::remove)?;
        Ok(true)
    }

    /// The position of the one that was removed: the first that is not in use.
    fn remove_first(&self, candidates: &[Candidate]) -> Result<Option<usize>, PythonError> {
        for (position, candidate) in candidates.iter().enumerate() {
            match self.remove(&candidate.id) {
                Ok(true) => return Ok(Some(position)),
                Ok(false) => {}
                // One that cannot be removed keeps no other one.
                Err(error) => tracing::warn!(%error, environment = candidate.id, "an environment is not removed"),
            }
        }
        Ok(None)
    }

    /// Whole environments, least recently used first.
    fn candidates(&self) -> Result<Vec<Candidate>, PythonError> {
        let mut candidates: Vec<Candidate> = record::entries(&self.built())?
            .into_iter()
            .filter(|folder| folder.join(READY_FILE).exists())
            .map(|folder| {
                let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Candidate { last_used: last_used(&folder), id, folder, bytes: OnceCell::new() }
            })
            .collect();
        candidates.sort_by(|one, other| (one.last_used, &one.id).cmp(&(other.last_used, &other.id)));
        Ok(candidates)
    }

    fn is_above(&self, limits: &Limits, candidates: &[Candidate]) -> bool {
        let too_many = limits.entries.is_some_and(|most| candidates.len() > most.max(1));
        let too_large = limits.bytes.is_some_and(|most| {
            // Files may have names in several environments: first the sum that is at hand, then the true one.
            candidates.iter().map(Candidate::bytes).sum::<u64>() > most && unique_bytes(candidates) > most
        });
        too_many || too_large || self.is_too_full(limits)
    }

    fn is_too_full(&self, limits: &Limits) -> bool {
        statvfs(&self.root).is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < limits.free_floor)
    }

    /// Removes what killed builds and removals have left. What is being built has its lock, and stays.
    pub(super) fn sweep(&self) -> Result<usize, PythonError> {
        let mut count = 0;
        for path in record::entries(&self.doomed())? {
            folder::remove(&path)?;
            count += 1;
        }
        count += self.sweep_downloads_of_uv()?;
        for path in record::entries(&self.root.join("scratch"))? {
            if let Some(_lock) = FileLock::try_acquire(&self.lock(&stem(&path)))? {
                folder::remove(&path)?;
                count += 1;
            }
        }
        for path in record::entries(&self.built())?.into_iter().filter(|path| !path.join(READY_FILE).exists()) {
            let Some(_lock) = FileLock::try_acquire(&self.lock(&stem(&path)))? else { continue };
            // It may have become whole before the lock was free.
            if !path.join(READY_FILE).exists()
                && let Some(doomed) = doom(&path, &self.doomed())?
            {
                folder::remove(&doomed)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// Bytes on disk of all environments, each file counted once.
fn unique_bytes(candidates: &[Candidate]) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for candidate in candidates {
        walk(&candidate.folder, &mut |_, metadata| {
            if metadata.nlink() == 1 || metadata.is_dir() || seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.blocks() * 512;
            }
        });
    }
    bytes
}
