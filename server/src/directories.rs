//! A data directory that is ours: locked, with what a server needs.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::config::ServerError;
use crate::places::Places;

/// Files of the data directory, and the right to use them.
#[derive(Debug)]
pub(crate) struct Directories {
    pub(crate) database: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) files: PathBuf,
    pub(crate) lock: File,
}

impl Directories {
    /// Makes the data directory, readable by its owner only, and locks it.
    pub(crate) fn prepare(data_dir: &Path) -> Result<Self, ServerError> {
        let places = Places::of(data_dir);
        let lock = places.prepare()?;
        Ok(Self { database: places.database(), key: places.key(), files: places.files(), lock })
    }

    /// Locks a data directory that a server has worked in before.
    pub(crate) fn of_stopped(data_dir: &Path) -> Result<Self, ServerError> {
        if !Places::of(data_dir).database().is_file() {
            return Err(ServerError::NoServer { directory: data_dir.to_owned() });
        }
        Self::prepare(data_dir)
    }
}
