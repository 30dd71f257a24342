//! Removes what nobody needs any more.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::files::{self, Amount};
use super::{MaintenanceError, database_error, file_error};
use crate::places::{LockError, Places};
use crate::store::{EndedTask, Offline, newest_version, sizes};
use crate::time;

/// Files that were written lately belong to somebody, whatever they look like.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

/// What to remove. What was deleted already, and uploads that were never finished, go in any case.
#[derive(Clone, Copy, Debug, Default)]
pub struct PruneOptions {
    /// Events of tasks that ended and were not heard of for this long.
    pub events_older_than: Option<Duration>,
    /// Events of the tasks that ended first, until what the database holds is not larger than this.
    pub max_database_bytes: Option<u64>,
    /// Folders of uploads whose task is gone and that are mentioned nowhere.
    pub orphaned_files: bool,
    /// Only tells what would be removed.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PruneReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Tasks whose events were removed.
    pub tasks: Vec<String>,
    /// How many events that were. A dry run does not count them.
    pub events: u64,
    /// Folders of uploads, below the root of the files.
    pub folders: Vec<String>,
    /// Files in them, and uploads that were never finished.
    pub files: u64,
    /// Bytes of these files.
    pub file_bytes: u64,
    /// Size of the database and its log before.
    pub database_bytes_before: u64,
    /// Size of the database and its log now.
    pub database_bytes_after: u64,
    /// Whether free pages were given back to the file system. A database of the first version gives back nothing
    /// while a server is at work.
    pub space_was_given_back: bool,
}

/// Removes what `options` name. A server in the directory goes on meanwhile. Events of published tasks stay, and so do
/// those of tasks that wait or run.
///
/// # Errors
/// There is no database, or it has an older schema, or something cannot be read or removed; what was removed until then
/// is gone.
pub fn prune(data_dir: &Path, options: PruneOptions) -> Result<PruneReport, MaintenanceError> {
    let places = Places::of(data_dir);
    let path = places.existing_database()?;
    // Nobody starts a server while files are removed that look abandoned.
    let lock = match places.lock() {
        Ok(lock) => Some(lock),
        Err(LockError::InUse) => None,
        Err(error @ LockError::Io(_)) => return Err(error.into_maintenance(data_dir)),
    };
    let mut database = Offline::open(&path)?;
    if database.version()? != newest_version() {
        let reason = "its schema is of an older version: start the server once".to_owned();
        return Err(MaintenanceError::Database { action: "prune", path, reason });
    }
    let mut report = PruneReport { dry_run: options.dry_run, ..PruneReport::default() };
    report.database_bytes_before = total(&path);
    prune_events(&mut database, &path, options, &mut report)?;
    if options.orphaned_files {
        prune_orphans(&mut database, &path, &places, options.dry_run, &mut report)?;
    }
    if lock.is_some() {
        prune_partial(&places, options.dry_run, &mut report)?;
    }
    if !options.dry_run {
        let action = "shrink";
        let given_back = database.pruning().give_back(lock.is_some()).map_err(database_error(action, &path))?;
        report.space_was_given_back = given_back;
        database.finish_log().map_err(database_error(action, &path))?;
    }
    report.database_bytes_after = total(&path);
    Ok(report)
}

fn total(database: &Path) -> u64 {
    let (file, log) = sizes(database);
    file + log
}

fn prune_events(
    database: &mut Offline,
    path: &Path,
    options: PruneOptions,
    report: &mut PruneReport,
) -> Result<(), MaintenanceError> {
    let failed = || database_error("prune", path);
    let mut pruning = database.pruning();
    if !options.dry_run {
        pruning.finish_deletions().map_err(failed())?;
    }
    let oldest = options
        .events_older_than
        .map(|age| time::now().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    let is_old = |task: &EndedTask| oldest.is_some_and(|oldest| task.last_update < oldest);
    for task in pruning.ended_tasks().map_err(failed())? {
        let is_too_much = match options.max_database_bytes {
            // How much each task takes is not known before it is gone.
            Some(limit) if !options.dry_run => pruning.used_bytes().map_err(failed())? > limit,
            Some(_) | None => false,
        };
        if !is_old(&task) && !is_too_much {
            // Those that follow are younger.
            break;
        }
        if !options.dry_run {
            report.events += pruning.remove_events(&task).map_err(failed())?;
        }
        report.tasks.push(task.id);
    }
    Ok(())
}

/// Removes folders `NAME.ID` of uploads, as clients make them, if there is no task of this id, nothing mentions it, and
/// no file in it is recent. Other files are nobody's but their owner's, and stay.
fn prune_orphans(
    database: &mut Offline,
    path: &Path,
    places: &Places,
    dry_run: bool,
    report: &mut PruneReport,
) -> Result<(), MaintenanceError> {
    let tree = places.file_tree();
    let mut folders: HashMap<String, Vec<PathBuf>> = HashMap::new();
    find_task_folders(&tree, &mut folders)?;
    let ids: HashSet<String> = folders.keys().cloned().collect();
    let unknown = database.pruning().unknown(ids).map_err(database_error("prune", path))?;
    let mut orphans: Vec<PathBuf> = unknown.iter().filter_map(|id| folders.remove(id)).flatten().collect();
    orphans.sort();
    for folder in orphans {
        if has_recent(&folder)? {
            continue;
        }
        let Amount { files, bytes } = files::count(&folder, &mut |_| ())?;
        if !dry_run {
            files::remove_any(&folder).map_err(file_error("remove", &folder))?;
            // Folders that are empty now say nothing.
            for above in folder.ancestors().skip(1).take_while(|above| *above != tree && above.starts_with(&tree)) {
                if std::fs::remove_dir(above).is_err() {
                    break;
                }
            }
        }
        report.files += files;
        report.file_bytes += bytes;
        report.folders.push(folder.strip_prefix(&tree).unwrap_or(&folder).display().to_string());
    }
    Ok(())
}

fn find_task_folders(folder: &Path, found: &mut HashMap<String, Vec<PathBuf>>) -> Result<(), MaintenanceError> {
    for entry in files::entries(folder)? {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name();
        match name.to_str().and_then(task_of) {
            Some(id) => found.entry(id.to_owned()).or_default().push(entry.path()),
            None => find_task_folders(&entry.path(), found)?,
        }
    }
    Ok(())
}

/// The id in a name like `train.0123456789abcdef0123456789abcdef`.
fn task_of(name: &str) -> Option<&str> {
    let (_, id) = name.rsplit_once('.')?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(id)
}

fn has_recent(folder: &Path) -> Result<bool, MaintenanceError> {
    for entry in files::entries(folder)? {
        let Ok(metadata) = entry.metadata() else { continue };
        let is_recent = if metadata.is_dir() {
            has_recent(&entry.path())?
        } else {
            let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            age.is_none_or(|age| age < RECENT)
        };
        if is_recent {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Uploads that were never finished. Nobody writes them now: the directory is locked.
fn prune_partial(places: &Places, dry_run: bool, report: &mut PruneReport) -> Result<(), MaintenanceError> {
    for entry in files::entries(&places.partial_files())? {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else { continue };
        if !File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            continue;
        }
        if !dry_run {
            files::remove_any(&path).map_err(file_error("remove", &path))?;
        }
        report.files += 1;
        report.file_bytes += metadata.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_clients_make_belong_to_a_task() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(task_of(&format!("train a.{id}")), Some(id));
        for name in
            [id.to_owned(), format!("x.{}", &id[1..]), format!("x.{id}.zip"), format!("x.{}", id.to_uppercase())]
        {
            assert_eq!(task_of(&name), None, "{name}");
        }
    }
}
