//! The little that others show of a task.

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

use crate::store::StoreResult;

/// What a worker's line says of the task that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) name: String,
    /// Seconds.
    pub(crate) active_duration: Option<i64>,
    pub(crate) last_iteration: i64,
    /// Id and name of its project.
    pub(crate) project: Option<(String, Option<String>)>,
}

/// The name of a task.
pub(crate) fn name_of(connection: &Connection, id: &str) -> StoreResult<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM tasks WHERE id = ?")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// The user that made a task.
pub(crate) fn user_of(connection: &Connection, id: &str) -> StoreResult<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT user FROM tasks WHERE id = ?")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// The types of the tasks of some projects, or of all where none is named.
pub(crate) fn types_in(connection: &Connection, projects: &[String]) -> StoreResult<Vec<String>> {
    let projects = (!projects.is_empty()).then(|| Value::from(projects).to_string());
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT type FROM tasks
         WHERE ?1 IS NULL OR project IN (SELECT value FROM json_each(?1)) ORDER BY type",
    )?;
    let types = statement.query_map([projects], |row| row.get(0))?;
    Ok(types.collect::<Result<_, _>>()?)
}

/// Status of a task, as it is stored, and its status message.
pub(crate) fn status_of(connection: &Connection, id: &str) -> StoreResult<Option<(String, Option<String>)>> {
    let mut statement = connection.prepare_cached("SELECT status, status_message FROM tasks WHERE id = ?")?;
    Ok(statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// A glance at a task.
pub(crate) fn glance(connection: &Connection, id: &str) -> StoreResult<Option<Glance>> {
    let mut statement = connection.prepare_cached(
        "SELECT t.name, t.active_duration, t.last_iteration, p.id, p.name
         FROM tasks t LEFT JOIN projects p ON p.id = t.project WHERE t.id = ?",
    )?;
    let found = statement.query_row([id], |row| {
        let project: Option<String> = row.get(3)?;
        let project_name = row.get(4)?;
        Ok(Glance {
            name: row.get(0)?,
            active_duration: row.get(1)?,
            last_iteration: row.get(2)?,
            project: project.map(|project| (project, project_name)),
        })
    });
    Ok(found.optional()?)
}
