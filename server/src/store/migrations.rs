//! The schema, and how a file of any released version becomes one of the newest. Forward only.

use std::path::Path;

use rusqlite::Connection;

use super::error::OpenError;

/// Scripts of one schema version, in the order in which they run.
type Version = &'static [&'static str];

/// Version n of the schema is what the first n entries make. A released entry is never edited: later changes
/// are a new entry.
const VERSIONS: &[Version] = &[
    &[
        include_str!("schema/core.sql"),
        include_str!("schema/queues.sql"),
        include_str!("schema/workers.sql"),
        include_str!("schema/tasks.sql"),
        include_str!("schema/events.sql"),
        include_str!("schema/projects.sql"),
        include_str!("schema/models.sql"),
    ],
    &[
        include_str!("schema/v2/events.sql"),
        include_str!("schema/v2/users.sql"),
        include_str!("schema/v2/time_series.sql"),
        include_str!("schema/v2/worker_properties.sql"),
        include_str!("schema/v2/reports.sql"),
    ],
];

/// Brings the schema of the file to the newest version, each step in a transaction of its own.
pub(super) fn run(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| OpenError::Damaged { path: path.to_owned(), reason: source.to_string() })?;
    let found = found as usize;
    if found > VERSIONS.len() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: VERSIONS.len() });
    }
    for (position, scripts) in VERSIONS.iter().enumerate().skip(found) {
        let version = position + 1;
        let script = format!("BEGIN IMMEDIATE;\n{}\n;PRAGMA user_version = {version};\nCOMMIT", scripts.join("\n;\n"));
        if let Err(source) = connection.execute_batch(&script) {
            // The transaction is still open after a failed statement; the file stays as it was.
            let _ = connection.execute_batch("ROLLBACK");
            return Err(OpenError::Migrate { path: path.to_owned(), version, source });
        }
        tracing::info!(version, path = %path.display(), "database schema migrated");
    }
    Ok(())
}
