//! Making, publishing, archiving and deleting models.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::{ARCHIVED, Model};
use crate::company::COMPANY;
use crate::ids;
use crate::store::projects::{Project, sorted, touch};
use crate::store::{StoreResult, events};
use crate::time::Micros;

/// A model to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewModel {
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) comment: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) system_tags: Vec<String>,
    pub(crate) framework: Option<String>,
    pub(crate) design: Option<Value>,
    pub(crate) labels: Option<Value>,
    pub(crate) ready: bool,
    pub(crate) project: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) metadata: Map<String, Value>,
}

/// Makes a model and returns its id.
pub(crate) fn create(connection: &Connection, new: NewModel, user: &str, now: Micros) -> StoreResult<String> {
    if let Some(project) = &new.project {
        if Project::find(connection, project)?.is_none() {
            return Err(ApiError::fields_value("unknown project", &[("project", project)]).into());
        }
        touch(connection, project, now)?;
    }
    let id = ids::new_id();
    connection
        .prepare_cached(
            "INSERT INTO models (id, name, parent, project, task, user, company, created, last_update, last_change, \
             last_changed_by, comment, uri, framework, ready, tags, system_tags, design, labels, metadata) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?8, ?6, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?
        .execute(params![
            id,
            new.name,
            new.parent,
            new.project,
            new.task,
            user,
            COMPANY,
            now,
            new.comment,
            new.uri,
            new.framework,
            new.ready,
            sorted(new.tags).to_string(),
            sorted(new.system_tags).to_string(),
            new.design.map(|design| design.to_string()),
            new.labels.unwrap_or_else(|| Value::Object(Map::new())).to_string(),
            Value::Object(new.metadata).to_string(),
        ])?;
    Ok(id)
}

/// Publishes a model.
///
/// # Errors
/// 400/203 when it is published already.
pub(crate) fn publish(connection: &Connection, model: &Model, user: &str, now: Micros) -> StoreResult<()> {
    if model.is_published {
        return Err(ApiError::model_is_ready("", &[("model", &model.id)]).into());
    }
    connection
        .prepare_cached(
            "UPDATE models SET ready = 1, last_update = ?2, last_change = ?2, last_changed_by = ?3 WHERE id = ?1",
        )?
        .execute(params![model.id, now, user])?;
    Ok(())
}

/// Puts a model away or takes it back.
pub(crate) fn set_archived(
    connection: &Connection,
    model: &Model,
    archived: bool,
    user: &str,
    now: Micros,
) -> StoreResult<()> {
    let text: String = connection
        .prepare_cached("SELECT system_tags FROM models WHERE id = ?")?
        .query_row([&model.id], |row| row.get(0))?;
    let mut tags: Vec<String> = serde_json::from_str(&text)?;
    tags.retain(|tag| tag != ARCHIVED);
    if archived {
        tags.push(ARCHIVED.to_owned());
    }
    connection
        .prepare_cached("UPDATE models SET system_tags = ?2, last_change = ?3, last_changed_by = ?4 WHERE id = ?1")?
        .execute(params![model.id, sorted(tags).to_string(), now, user])?;
    Ok(())
}

/// Tasks that have the model as an input.
fn users_of(connection: &Connection, model: &str) -> StoreResult<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT d.id FROM task_documents d, json_each(d.models, '$.input') used \
         WHERE json_extract(used.value, '$.model') = ?1",
    )?;
    let tasks = statement.query_map([model], |row| row.get(0))?;
    Ok(tasks.collect::<Result<_, _>>()?)
}

/// A deleted model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// Where its file is, if it has one.
    pub(crate) url: Option<String>,
}

/// Deletes a model with its events, and takes it out of the tasks that have it as their output.
///
/// # Errors
/// Without `force`: 400/205 when tasks have it as their input, 400/206 when it is published and its task is too.
pub(crate) fn delete(connection: &Connection, model: &Model, force: bool) -> StoreResult<Deleted> {
    let using = users_of(connection, &model.id)?;
    if !force && let Some(first) = using.first() {
        return Err(ApiError::model_in_use(
            "as execution model, use force=True to delete",
            &[("num_tasks", &using.len()), ("task", first)],
        )
        .into());
    }
    if !force && model.is_published && has_published_task(connection, model)? {
        let details: [(&str, &dyn std::fmt::Display); 1] = [("model", &model.id)];
        return Err(ApiError::model_creating_task_exists("and published, use force=True to delete", &details).into());
    }
    if let Some(task) = &model.task {
        unlink(connection, task, &model.id)?;
    }
    events::delete_owner(connection, &model.id)?;
    connection.prepare_cached("DELETE FROM models WHERE id = ?1")?.execute([&model.id])?;
    Ok(Deleted { url: model.uri.clone() })
}

fn has_published_task(connection: &Connection, model: &Model) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM tasks WHERE id = ?1 AND status IN ('published', 'publishing')";
    Ok(connection.prepare_cached(sql)?.exists(params![model.task])?)
}

/// Takes a model out of the outputs of a task; what is left keeps its order.
fn unlink(connection: &Connection, task: &str, model: &str) -> StoreResult<()> {
    connection
        .prepare_cached(
            "UPDATE task_documents SET models = json_set(models, '$.output', json( \
             (SELECT json_group_array(json(value) ORDER BY key) FROM json_each(models, '$.output') \
             WHERE json_extract(value, '$.model') IS NOT ?2))) \
             WHERE id = ?1 AND json_type(models, '$.output') = 'array'",
        )?
        .execute(params![task, model])?;
    Ok(())
}

/// The newest model that a task made.
pub(crate) fn newest_of_task(connection: &Connection, task: &str) -> StoreResult<Option<Model>> {
    let sql = "SELECT id FROM models WHERE task = ?1 ORDER BY created DESC, id DESC LIMIT 1";
    let id: Option<String> = connection.prepare_cached(sql)?.query_row([task], |row| row.get(0)).optional()?;
    match id {
        Some(id) => Model::find(connection, &id),
        None => Ok(None),
    }
}

/// Name and project of the task that a model is made for.
///
/// # Errors
/// 400/101 when there is no such task.
pub(crate) fn task_of_new_model(connection: &Connection, task: &str) -> StoreResult<(String, Option<String>)> {
    let sql = "SELECT name, project FROM tasks WHERE id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([task], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.ok_or_else(|| ApiError::invalid_task_id("", &[("id", &task), ("company", &COMPANY)]))?)
}

/// Whether there is such a task.
pub(crate) fn has_task(connection: &Connection, task: &str) -> StoreResult<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?.exists([task])?)
}

/// Adds and removes tags of a model; returns whether there is such a model.
pub(crate) fn change_tags(
    connection: &Connection,
    id: &str,
    add: &[String],
    remove: &[String],
    user: &str,
    now: Micros,
) -> StoreResult<bool> {
    let text: Option<String> = connection
        .prepare_cached("SELECT tags FROM models WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(text) = text else { return Ok(false) };
    let mut tags: Vec<String> = serde_json::from_str(&text)?;
    tags.retain(|tag| !remove.contains(tag));
    tags.extend(add.iter().cloned());
    connection
        .prepare_cached("UPDATE models SET tags = ?2, last_change = ?3, last_changed_by = ?4 WHERE id = ?1")?
        .execute(params![id, sorted(tags).to_string(), now, user])?;
    Ok(true)
}

/// Puts models into a project; returns how many there were.
pub(crate) fn move_to(
    connection: &Connection,
    ids: &[String],
    project: &str,
    user: &str,
    now: Micros,
) -> StoreResult<usize> {
    let moved = connection
        .prepare_cached(
            "UPDATE models SET project = ?2, last_update = ?3, last_change = ?3, last_changed_by = ?4 \
             WHERE id IN (SELECT value FROM json_each(?1))",
        )?
        .execute(params![Value::from(ids).to_string(), project, now, user])?;
    touch(connection, project, now)?;
    Ok(moved)
}
