//! Room on the disks of the data directory, and the floor below which nothing that grows is taken in.
//!
//! Below the floor events and uploads are refused with an error of their own; status changes, edits and reads go on,
//! with what the floor keeps free for them. It ends by itself when there is room again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocols::clearml::error::ApiError;

/// The floor of a large file system.
const LARGEST_DEFAULT_FLOOR: u64 = 1 << 30;

/// The floor of a small one is this part of it.
const DEFAULT_FLOOR_PART: u64 = 20;

/// How much above the floor, as a part of it, must be free until it counts as left: it does not flap.
const HYSTERESIS_PART: u64 = 16;

/// Size of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// What this process may still write.
    pub(crate) free: u64,
    /// What it holds at all.
    pub(crate) total: u64,
}

/// Asks the system.
pub(crate) fn measure(path: &Path) -> io::Result<Space> {
    let answer = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Ok(Space { free: bytes(answer.f_bavail), total: bytes(answer.f_blocks) })
}

type Probe = dyn Fn(&Path) -> io::Result<Space> + Send + Sync;

/// The file systems of the database and of the uploaded files, which may be one.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Where the database is.
    pub(crate) database: Volume,
    /// Where uploads are.
    pub(crate) files: Volume,
}

impl Disk {
    /// Watches the file systems of two directories. `floor` is what is to stay free, in bytes; by default 1 GiB, but
    /// not more than a twentieth of the file system.
    pub(crate) fn new(database: &Path, files: &Path, floor: Option<u64>) -> Self {
        let probe: Arc<Probe> = Arc::new(measure);
        Self::probed_by(database, files, floor, &probe)
    }

    fn probed_by(database: &Path, files: &Path, floor: Option<u64>, probe: &Arc<Probe>) -> Self {
        let volume = |name, path: &Path| Volume {
            name,
            path: path.to_owned(),
            floor,
            probe: Arc::clone(probe),
            is_low: AtomicBool::new(false),
        };
        Self { database: volume("database", database), files: volume("files", files) }
    }

    /// Both.
    pub(crate) fn volumes(&self) -> [&Volume; 2] {
        [&self.database, &self.files]
    }

    /// For whatever lets the database grow without end.
    ///
    /// # Errors
    /// 500/4 while less is free than the floor: clients do not repeat such a call by themselves.
    pub(crate) fn refuse_if_low(&self) -> Result<(), ApiError> {
        let Room { is_low: true, space, floor } = self.database.look() else { return Ok(()) };
        let free = space.map_or(0, |space| space.free);
        Err(ApiError::low_disk_space(
            "nothing is added until there is room again",
            &[("free", &free), ("floor", &floor)],
        ))
    }
}

/// One file system.
pub(crate) struct Volume {
    /// What it is for.
    pub(crate) name: &'static str,
    path: PathBuf,
    floor: Option<u64>,
    probe: Arc<Probe>,
    is_low: AtomicBool,
}

/// What is left on a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Whether what grows is refused.
    pub(crate) is_low: bool,
    /// Its size; `None` when the system does not say.
    pub(crate) space: Option<Space>,
    /// What is to stay free.
    pub(crate) floor: u64,
}

impl Volume {
    /// Measures, and tells the log when the floor is reached or left.
    pub(crate) fn look(&self) -> Room {
        let was_low = self.is_low.load(Ordering::Relaxed);
        let Ok(space) = (self.probe)(&self.path) else {
            // A write will say what is wrong with the disk.
            return Room { is_low: was_low, space: None, floor: self.floor.unwrap_or_default() };
        };
        let floor = self.floor.unwrap_or_else(|| LARGEST_DEFAULT_FLOOR.min(space.total / DEFAULT_FLOOR_PART));
        let enough = if was_low { floor.saturating_add(floor / HYSTERESIS_PART) } else { floor };
        let is_low = space.free < enough;
        // Many look at once; one of them tells.
        if is_low != was_low
            && self.is_low.compare_exchange(was_low, is_low, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let (volume, free, path) = (self.name, space.free, self.path.display());
            if is_low {
                tracing::error!(volume, free, floor, %path, "low disk space: events and uploads are refused");
            } else {
                tracing::info!(volume, free, floor, %path, "enough disk space again");
            }
        }
        Room { is_low, space: Some(space), floor }
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Volume").field("path", &self.path).field("floor", &self.floor).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn disk(floor: Option<u64>, total: u64) -> (Disk, Arc<AtomicU64>) {
        let free = Arc::new(AtomicU64::new(total));
        let seen = Arc::clone(&free);
        let probe = move |_: &Path| Ok(Space { free: seen.load(Ordering::Relaxed), total });
        let probe: Arc<Probe> = Arc::new(probe);
        (Disk::probed_by(Path::new("/d"), Path::new("/f"), floor, &probe), free)
    }

    #[test]
    fn the_floor_is_reached_and_left() {
        let (disk, free) = disk(Some(1600), 10_000);
        // Free bytes in turn, and whether they are refused: at the floor there is room, and a little more is needed
        // to leave it.
        for (bytes, is_low) in [(5000, false), (1600, false), (1599, true), (1650, true), (1699, true), (1700, false)] {
            free.store(bytes, Ordering::Relaxed);
            assert_eq!(disk.database.look().is_low, is_low, "{bytes}");
            assert_eq!(disk.refuse_if_low().is_err_and(|error| error.is(500, 4)), is_low, "{bytes}");
        }
    }

    #[test]
    fn the_default_floor_fits_the_disk() {
        for (total, floor) in [(1 << 40, 1 << 30), (100 << 20, 5 << 20), (0, 0)] {
            let (disk, free) = disk(None, total);
            assert_eq!(disk.files.look().floor, floor);
            free.store(floor.saturating_sub(1), Ordering::Relaxed);
            assert_eq!(disk.files.look().is_low, floor > 0);
        }
    }

    #[test]
    fn a_disk_that_cannot_be_measured_refuses_nothing() {
        let disk = Disk::new(Path::new("/no/such/directory"), Path::new("/"), Some(0));
        assert!(disk.refuse_if_low().is_ok());
        assert!(disk.files.look().space.is_some_and(|space| space.total > 0 && space.free <= space.total));
    }
}
