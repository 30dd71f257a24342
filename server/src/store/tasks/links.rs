//! Projects and models that tasks belong to: the one place where tasks touch the tables of the others.

use rusqlite::{Connection, params};

use crate::store::query::Row;
use crate::store::{StoreResult, Tx, events};
use crate::time::Micros;

/// A model that a task made.
#[derive(Debug)]
pub(super) struct OutputModel {
    pub(super) id: String,
    pub(super) uri: Option<String>,
    pub(super) is_published: bool,
    /// Whether another task has it as its input.
    pub(super) is_used: bool,
}

/// Whether there is such a project.
pub(super) fn project_exists(connection: &Connection, project: &str) -> StoreResult<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM projects WHERE id = ?")?.exists([project])?)
}

/// The models that a task made.
pub(super) fn output_models(connection: &Connection, task: &str) -> StoreResult<Vec<OutputModel>> {
    let mut statement = connection.prepare_cached(
        "SELECT m.id, m.uri, m.ready, EXISTS (
             SELECT 1 FROM task_documents d, json_each(d.models, '$.input') i
             WHERE d.id != ?1 AND json_extract(i.value, '$.model') = m.id)
         FROM models m WHERE m.task = ?1",
    )?;
    let models = statement.query_map([task], |row| {
        Ok(OutputModel { id: row.get(0)?, uri: row.get(1)?, is_published: row.get(2)?, is_used: row.get(3)? })
    })?;
    Ok(models.collect::<Result<_, _>>()?)
}

/// Deletes a model with its events.
pub(super) fn delete_model(tx: &Tx<'_>, model: &str) -> StoreResult<()> {
    events::delete_owner(tx, model)?;
    tx.prepare_cached("DELETE FROM models WHERE id = ?")?.execute([model])?;
    Ok(())
}

/// Publishes a model; returns whether it was not published before.
pub(super) fn publish_model(tx: &Tx<'_>, model: &str, now: Micros) -> StoreResult<bool> {
    let sql = "UPDATE models SET ready = 1, last_update = ?1, last_change = ?1 WHERE id = ?2 AND ready = 0";
    Ok(tx.prepare_cached(sql)?.execute(params![now, model])? > 0)
}

/// Says in the models of a deleted task that it is gone; returns how many there are.
pub(super) fn orphan_models(tx: &Tx<'_>, task: &str, tombstone: &str) -> StoreResult<usize> {
    Ok(tx.prepare_cached("UPDATE models SET task = ? WHERE task = ?")?.execute([tombstone, task])?)
}

/// Says in the children of a deleted task that it is gone; returns how many there are.
pub(super) fn orphan_children(tx: &Tx<'_>, task: &str, tombstone: &str) -> StoreResult<usize> {
    Ok(tx.prepare_cached("UPDATE tasks SET parent = ? WHERE parent = ?")?.execute([tombstone, task])?)
}

/// Every tag of the tasks of a type, sorted.
pub(crate) fn tags_of_type(connection: &Connection, kind: &str) -> StoreResult<Vec<String>> {
    let sql = "SELECT DISTINCT tag.value FROM tasks t, json_each(t.tags) tag WHERE t.type = ? ORDER BY 1";
    let mut statement = connection.prepare_cached(sql)?;
    let tags = statement.query_map([kind], |row| row.get(0))?;
    Ok(tags.collect::<Result<_, _>>()?)
}

/// Whether a published task has this one as its parent.
pub(super) fn has_published_children(connection: &Connection, task: &str) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM tasks WHERE parent = ? AND status IN ('published', 'publishing')";
    Ok(connection.prepare_cached(sql)?.exists([task])?)
}

/// Addresses of the images that a task reported.
pub(super) fn image_urls(connection: &Connection, task: &str) -> StoreResult<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT i.url FROM event_owners o JOIN event_series s ON s.owner = o.key
         JOIN image_events i ON i.series = s.key WHERE o.owner = ?",
    )?;
    let urls = statement.query_map([task], |row| row.get(0))?;
    Ok(urls.collect::<Result<_, _>>()?)
}

/// The output models of an object of two lists, `{"input": [..], "output": [..]}`.
pub(super) fn linked_outputs(models: &Row) -> impl DoubleEndedIterator<Item = &str> {
    let outputs = models.get("output").and_then(serde_json::Value::as_array);
    outputs.into_iter().flatten().filter_map(|model| model.get("model")?.as_str())
}
