//! From a backup back to a data directory.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::backup::FILES;
use super::files::{self, Draft};
use super::{MaintenanceError, file_error};
use crate::places::{DATABASE_FILE, Places};
use crate::store::{Offline, OpenError, log_of};

/// What is put behind the names of a database and of files that were replaced.
const ASIDE: &str = "before-restore";

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The database.
    pub database: PathBuf,
    /// Version of its schema; an older one is migrated when the server starts.
    pub schema_version: usize,
    /// Uploaded files that were restored; `None` when the backup has none, and those that were there stay.
    pub files: Option<u64>,
    /// Where the database is that was there before.
    pub previous_database: Option<PathBuf>,
    /// Where the uploaded files are that were there before.
    pub previous_files: Option<PathBuf>,
}

/// Replaces the database of `data_dir`, and the uploaded files if the backup has them, by those of `backup`: a file or a
/// folder that [`super::backup()`] made. What was there before is kept beside, in place of what an earlier restore
/// kept. The key of the tokens stays, or is made by the next start: a backup holds none.
///
/// # Errors
/// A server works in the directory, or the backup is missing, damaged, no backup or too new; nothing is changed then.
pub fn restore(data_dir: &Path, backup: &Path) -> Result<RestoreReport, MaintenanceError> {
    let metadata = backup.metadata().map_err(file_error("read", backup))?;
    let (source, source_files) = if metadata.is_dir() {
        (backup.join(DATABASE_FILE), Some(backup.join(FILES)).filter(|files| files.is_dir()))
    } else {
        (backup.to_owned(), None)
    };
    let places = Places::of(data_dir);
    let _lock = places.lock().map_err(|error| error.into_maintenance(data_dir))?;
    let database = places.database();
    let draft = Draft::of(&database)?;
    let schema_version = take_in(&source, draft.path())?;
    let files = source_files.map(|from| take_in_files(&places, &from)).transpose()?;
    let previous_database = keep_database(&database)?;
    draft.finish(&database, true)?;
    let (files, previous_files) = files.unzip();
    Ok(RestoreReport { database, schema_version, files, previous_database, previous_files: previous_files.flatten() })
}

/// Copies the database of a backup into the data directory and checks the copy.
fn take_in(source: &Path, copy: &Path) -> Result<usize, MaintenanceError> {
    let unusable = |reason: String| MaintenanceError::NoBackup { path: source.to_owned(), reason };
    let log = log_of(source);
    if log.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        let log = log.display();
        return Err(unusable(format!("it has a log beside it, {log}: it is the database of a server, not a backup")));
    }
    files::copy_file(source, copy)?;
    let database = Offline::open(copy).map_err(|error| {
        unusable(match error {
            OpenError::Newer { found, known, .. } => {
                format!("it has schema version {found}, this program knows versions up to {known}: use a newer program")
            }
            OpenError::Damaged { reason, .. } => reason,
            OpenError::Open { source, .. } | OpenError::Migrate { source, .. } => source.to_string(),
        })
    })?;
    let damages = database.damages().map_err(|error| unusable(error.to_string()))?;
    if let Some(damage) = damages.first() {
        return Err(unusable(damage.examples.join("; ")));
    }
    if !database.is_of_a_server() {
        return Err(unusable("it is not the database of a server".to_owned()));
    }
    Ok(database.version()?)
}

/// Puts the uploaded files in place; returns how many, and where those are that were there.
fn take_in_files(places: &Places, from: &Path) -> Result<(u64, Option<PathBuf>), MaintenanceError> {
    let tree = places.file_tree();
    let draft = Draft::of(&tree)?;
    let amount = files::copy_tree(from, draft.path())?;
    let aside = aside_of(&tree);
    // An empty folder is nothing to keep.
    let previous = if tree.is_dir() && std::fs::remove_dir(&tree).is_err() {
        files::remove_any(&aside).map_err(file_error("remove", &aside))?;
        std::fs::rename(&tree, &aside).map_err(file_error("move", &tree))?;
        Some(aside)
    } else {
        None
    };
    draft.finish(&tree, false)?;
    Ok((amount.files, previous))
}

/// Gives the database that is there a second name, so that it can be replaced in one step.
fn keep_database(database: &Path) -> Result<Option<PathBuf>, MaintenanceError> {
    if database.metadata().map_or(true, |metadata| metadata.len() == 0) {
        return Ok(None);
    }
    // The log belongs to this file and to no other. Closing the database takes it in; where that fails, the file is
    // damaged, and its log goes aside with it.
    if let Ok(old) = Offline::open(database) {
        let _ = old.finish_log();
    }
    let aside = aside_of(database);
    for path in [aside.clone(), log_of(&aside)] {
        files::remove_any(&path).map_err(file_error("remove", &path))?;
    }
    std::fs::hard_link(database, &aside).map_err(file_error("write", &aside))?;
    let log = log_of(database);
    if log.exists() {
        let kept = log_of(&aside);
        std::fs::rename(&log, &kept).map_err(file_error("move", &log))?;
    }
    let index = database.with_file_name(format!("{DATABASE_FILE}-shm"));
    files::remove_any(&index).map_err(file_error("remove", &index))?;
    files::sync_parent(database)?;
    Ok(Some(aside))
}

fn aside_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{ASIDE}"))
}
