//! Who kept the machines busy.

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::store::StoreResult;
use crate::time::Micros;

/// What usage is broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakdown {
    Project,
    User,
    Queue,
}

/// What ran for one project, user or queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) id: String,
    /// `None` when it does not exist any more.
    pub(crate) name: Option<String>,
    pub(crate) tasks: i64,
    pub(crate) seconds: i64,
}

/// Who ran tasks of some projects between two moments, the busiest first.
pub(crate) fn usage(
    connection: &Connection,
    by: Breakdown,
    projects: &[String],
    (from, to): (Micros, Micros),
    include_development: bool,
) -> StoreResult<Vec<Usage>> {
    let (column, table) = match by {
        Breakdown::Project => ("t.project", "projects"),
        Breakdown::User => ("t.user", "users"),
        Breakdown::Queue => ("t.queue", "queues"),
    };
    // A task that ended without saying so (a stop does not set `completed`) ran until it was last heard of.
    let sql = format!(
        "SELECT {column}, (SELECT other.name FROM {table} other WHERE other.id = {column}), count(*), \
         sum(min(?3, CASE WHEN t.status = 'in_progress' THEN ?3 ELSE coalesce(t.completed, t.last_update) END) \
         - max(?2, t.started)) AS used FROM tasks t \
         WHERE t.project IN (SELECT value FROM json_each(?1)) AND t.started < ?3 AND {column} IS NOT NULL \
         AND (t.status = 'in_progress' OR coalesce(t.completed, t.last_update) > max(?2, t.started)) \
         AND (?4 OR NOT EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'development')) \
         GROUP BY {column} ORDER BY used DESC, {column}"
    );
    let projects = Value::from(projects).to_string();
    let mut statement = connection.prepare_cached(&sql)?;
    let used = statement.query_map(params![projects, from, to, include_development], |row| {
        let micros: i64 = row.get(3)?;
        Ok(Usage { id: row.get(0)?, name: row.get(1)?, tasks: row.get(2)?, seconds: micros.max(0) / 1_000_000 })
    })?;
    Ok(used.collect::<Result<_, _>>()?)
}
