//! Runs of pipelines: controllers, and the tasks that they started.

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::store::StoreResult;

/// The tasks that a pipeline controller started.
pub(crate) fn steps(connection: &Connection, controller: &str) -> StoreResult<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT id FROM tasks WHERE parent = ? ORDER BY rowid")?;
    let steps = statement.query_map([controller], |row| row.get(0))?;
    Ok(steps.collect::<Result<_, _>>()?)
}

/// How many tasks of a project have this name, with or without a number (` #2`) behind it.
pub(crate) fn runs_named(connection: &Connection, project: Option<&str>, name: &str) -> StoreResult<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM tasks
         WHERE project IS ?1 AND (name = ?2 OR substr(name, 1, length(?2) + 2) = ?2 || ' #')",
    )?;
    Ok(statement.query_row(params![project, name], |row| row.get(0))?)
}

/// How many controllers a project has beside these.
pub(crate) fn runs_besides(connection: &Connection, project: &str, ids: &[String]) -> StoreResult<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM tasks WHERE project = ?1 AND type = 'controller'
         AND id NOT IN (SELECT value FROM json_each(?2))",
    )?;
    Ok(statement.query_row([project, &Value::from(ids).to_string()], |row| row.get(0))?)
}
