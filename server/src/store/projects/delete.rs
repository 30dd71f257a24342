//! What is in a project, and removing it.

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::store::StoreResult;
use crate::time::Micros;

/// What is in some projects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Ids of the tasks.
    pub(crate) tasks: Vec<String>,
    /// How many of them are not archived.
    pub(crate) live_tasks: usize,
    /// Ids of the models.
    pub(crate) models: Vec<String>,
    /// How many of them are not archived.
    pub(crate) live_models: usize,
}

/// What is in these projects.
pub(crate) fn contents(connection: &Connection, projects: &[String]) -> StoreResult<Contents> {
    let list = |table: &str| -> StoreResult<(Vec<String>, usize)> {
        let sql = format!(
            "SELECT id, EXISTS (SELECT 1 FROM json_each(system_tags) WHERE value = 'archived') FROM {table} \
             WHERE project IN (SELECT value FROM json_each(?1)) ORDER BY id"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([Value::from(projects).to_string()])?;
        let (mut ids, mut live) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
            live += usize::from(!row.get::<_, bool>(1)?);
        }
        Ok((ids, live))
    };
    let (tasks, live_tasks) = list("tasks")?;
    let (models, live_models) = list("models")?;
    Ok(Contents { tasks, live_tasks, models, live_models })
}

/// Takes the tasks and models out of these projects; returns how many tasks.
pub(crate) fn disassociate(connection: &Connection, projects: &[String], now: Micros) -> StoreResult<usize> {
    let ids = Value::from(projects).to_string();
    let take_out = |table: &str| -> StoreResult<usize> {
        let sql = format!(
            "UPDATE {table} SET project = NULL, last_change = ?2 WHERE project IN (SELECT value FROM json_each(?1))"
        );
        Ok(connection.prepare_cached(&sql)?.execute(params![ids, now])?)
    };
    take_out("models")?;
    take_out("tasks")
}

/// Removes the rows of these projects; returns how many there were.
pub(crate) fn remove(connection: &Connection, projects: &[String]) -> StoreResult<usize> {
    let mut delete = connection.prepare_cached("DELETE FROM projects WHERE id IN (SELECT value FROM json_each(?1))")?;
    Ok(delete.execute([Value::from(projects).to_string()])?)
}
