//! Whether everything in a data directory is as it must be.

use std::path::Path;

use serde::Serialize;

use super::files::{self, Amount};
use super::{MaintenanceError, database_error};
use crate::places::Places;
use crate::store::{Offline, newest_version};

/// Places of odd files that are shown.
const EXAMPLES: usize = 5;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What was looked at, a stable name.
    pub check: String,
    /// What is wrong.
    pub what: String,
    /// How often.
    pub count: usize,
    /// A few of the places.
    pub examples: Vec<String>,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Whether nothing is wrong.
    pub is_clean: bool,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// Version of the schema. Only a database of the newest version is checked in full.
    pub schema_version: usize,
    /// The newest version that this program knows.
    pub newest_schema_version: usize,
    /// Uploaded files.
    pub files: u64,
    /// Bytes of these files.
    pub file_bytes: u64,
}

/// Checks the database of `data_dir` as it is at one moment, and the uploaded files. A server in the directory goes on
/// meanwhile.
///
/// # Errors
/// There is no database, or it cannot be read at all.
pub fn check(data_dir: &Path) -> Result<CheckReport, MaintenanceError> {
    let places = Places::of(data_dir);
    let path = places.existing_database()?;
    let database = Offline::open(&path)?;
    let schema_version = database.version()?;
    let is_newest = schema_version == newest_version();
    let findings = if is_newest { database.check() } else { database.damages() };
    let findings = findings.map_err(database_error("check", &path))?;
    let mut problems: Vec<Problem> = findings
        .into_iter()
        .map(|found| Problem { check: found.check, what: found.what, count: found.count, examples: found.examples })
        .collect();
    let mut odd = Vec::new();
    let Amount { files, bytes } = files::count(&places.file_tree(), &mut |path| odd.push(path.display().to_string()))?;
    if !odd.is_empty() {
        let count = odd.len();
        odd.truncate(EXAMPLES);
        let what = "among the uploaded files is something that is no file".to_owned();
        problems.push(Problem { check: "files".to_owned(), what, count, examples: odd });
    }
    Ok(CheckReport {
        is_clean: problems.is_empty(),
        problems,
        schema_version,
        newest_schema_version: newest_version(),
        files,
        file_bytes: bytes,
    })
}
