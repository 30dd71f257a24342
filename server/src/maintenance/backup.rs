//! Copies of everything, made while the server works.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{self, Amount, Draft};
use super::{MaintenanceError, database_error, file_error};
use crate::places::{DATABASE_FILE, Places};
use crate::store::Offline;

/// Name of the uploaded files in a backup that is a folder.
pub(super) const FILES: &str = "files";

/// How to make a backup.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupOptions {
    /// Whether the uploaded files are copied too; the backup is a folder then.
    pub with_files: bool,
    /// Whether a backup that is there already is replaced.
    pub replace: bool,
}

/// What was copied.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    /// Where the backup is.
    pub backup: PathBuf,
    /// Size of the copy of the database.
    pub database_bytes: u64,
    /// Version of its schema.
    pub schema_version: usize,
    /// Uploaded files in it; `None` when they were not asked for.
    pub files: Option<u64>,
    /// Bytes of these files.
    pub file_bytes: Option<u64>,
}

/// Copies the database of `data_dir`, as it is at one moment, into the file `target`; with files, into a folder. The
/// target appears when it is whole, checked and on the disk. A server in the directory goes on meanwhile.
///
/// # Errors
/// There is no database, the target exists or cannot be written, the copy turns out damaged.
pub fn backup(data_dir: &Path, target: &Path, options: BackupOptions) -> Result<BackupReport, MaintenanceError> {
    let places = Places::of(data_dir);
    if !options.replace && target.symlink_metadata().is_ok() {
        return Err(MaintenanceError::Exists { path: target.to_owned() });
    }
    let database = places.existing_database()?;
    let draft = Draft::of(target)?;
    let copy = if options.with_files {
        files::create_folder(draft.path())?;
        draft.path().join(DATABASE_FILE)
    } else {
        draft.path().to_owned()
    };
    let schema_version = copy_database(&database, &copy)?;
    let database_bytes = copy.metadata().map_err(file_error("read", &copy))?.len();
    let mut copied = None;
    if options.with_files {
        // After the database: whatever it names has been uploaded by now.
        let Amount { files, bytes } = files::copy_tree(&places.file_tree(), &draft.path().join(FILES))?;
        copied = Some((files, bytes));
        files::sync(draft.path())?;
    }
    draft.finish(target, options.replace)?;
    let (files, file_bytes) = copied.unzip();
    Ok(BackupReport { backup: target.to_owned(), database_bytes, schema_version, files, file_bytes })
}

fn copy_database(from: &Path, to: &Path) -> Result<usize, MaintenanceError> {
    // The copy goes into a file that only its owner can read from the first byte on.
    drop(files::create_private(to)?);
    let database = Offline::open(from)?;
    database.copy_to(to).map_err(database_error("copy", from))?;
    files::sync(to)?;
    let copy = Offline::open(to)?;
    let damages = copy.damages().map_err(database_error("read", to))?;
    if let Some(damage) = damages.first() {
        let reason = format!("{}: {}", damage.what, damage.examples.join("; "));
        return Err(MaintenanceError::NoBackup { path: from.to_owned(), reason });
    }
    Ok(copy.version()?)
}
