//! Editing tasks.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{OneTask, compat, updated};
use crate::auth::Identity;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::query::Row;
use crate::store::tasks::{self, Document, Task, TaskUpdate, forbidden_by_status, read_document};
use crate::store::{StoreResult, Tx};
use crate::time;

/// What [`update`] may change, in any status.
const LIGHT_FIELDS: &[&str] =
    &["name", "status_message", "comment", "created", "project", "tags", "system_tags", "output__error"];

/// Changes anything, while the task is a draft or `force` is given.
pub(super) async fn edit(state: &State, call: Call) -> Reply {
    let by = call.identity();
    let mut body = call.body;
    let (id, force) = task_and_force(&mut body)?;
    compat::upgrade(call.version, &mut body);
    let fields = state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &id)?;
            if task.status != TaskStatus::Created && !force {
                return Err(forbidden_by_status(&task, "Task must be in created status to be edited").into());
            }
            tasks::edit(tx, &task, &body, &by)
        })
        .await?;
    Ok(Value::Object(updated(fields)))
}

/// Changes what users set, in any status.
pub(super) async fn update(state: &State, call: Call) -> Reply {
    let by = call.identity();
    let body = call.body;
    let fields = state.store.write(move |tx| light_update(tx, body, &by)).await?;
    Ok(Value::Object(updated(fields.unwrap_or_default())))
}

/// [`update`] for each line of the body.
pub(super) async fn update_batch(state: &State, call: Call) -> Reply {
    let by = call.identity();
    let lines = call.lines.unwrap_or_else(|| vec![Value::Object(call.body)]);
    if lines.is_empty() {
        return Err(ApiError::empty_batch("", &[]));
    }
    let count = state
        .store
        .write(move |tx| {
            let mut count = 0;
            for line in lines {
                let Value::Object(body) = line else { continue };
                let fields = light_update(tx, body, &by)?;
                count += usize::from(fields.is_some_and(|fields| !fields.is_empty()));
            }
            Ok(count)
        })
        .await?;
    Ok(json!({"updated": count}))
}

fn light_update(tx: &Tx<'_>, mut body: Row, by: &Identity) -> StoreResult<Option<Row>> {
    let (id, _) = task_and_force(&mut body)?;
    body.retain(|field, _| LIGHT_FIELDS.contains(&field.as_str()));
    match Task::find(tx, &id)? {
        Some(task) => Ok(Some(tasks::edit(tx, &task, &body, by)?)),
        None => Ok(None),
    }
}

fn task_and_force(body: &mut Row) -> Result<(String, bool), ApiError> {
    let Some(Value::String(id)) = body.remove("task") else { return Err(ApiError::missing_field("task")) };
    let force = body.remove("force").and_then(|force| force.as_bool()).unwrap_or(false);
    Ok((id, force))
}

#[derive(Deserialize)]
struct SetRequirements {
    task: String,
    requirements: Map<String, Value>,
}

/// Replaces the requirements of the script.
pub(super) async fn set_requirements(state: &State, call: &Call) -> Reply {
    let SetRequirements { task, requirements } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            let mut script = read_document(tx, &task.id, Document::Script)?;
            script["requirements"] = Value::Object(requirements);
            let mut update = TaskUpdate::default();
            update.quiet_document(Document::Script, &script).progress();
            update.apply(tx, &task.id, &by.user_id)
        })
        .await?;
    Ok(json!({"updated": 1, "fields": {}}))
}

/// Says that a task is alive. One that does not exist is no error.
pub(super) async fn ping(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let Some(task) = Task::find(tx, &task)? else { return Ok(()) };
            let mut update = TaskUpdate::default();
            update.progress();
            if let (TaskStatus::InProgress, Some(started)) = (task.status, task.started) {
                update.integer("active_duration", (time::now() - started) / 1_000_000);
            }
            update.apply(tx, &task.id, &by.user_id)?;
            Ok(())
        })
        .await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
struct Move {
    ids: Vec<String>,
    project: Option<String>,
    project_name: Option<String>,
}

/// Moves tasks to a project, which is made if only its name is given and there is none.
pub(super) async fn move_tasks(state: &State, call: &Call) -> Reply {
    let Move { ids, project, project_name } = call.arguments()?;
    let by = call.identity();
    let project = state
        .store
        .write(move |tx| {
            let project = match (project, project_name) {
                (Some(project), _) => project,
                (None, Some(name)) => {
                    crate::store::projects::find_or_create(tx, &name, &by.user_id, crate::time::now())?
                }
                (None, None) => return Err(ApiError::missing_field("project").into()),
            };
            let body = Row::from_iter([("project".to_owned(), Value::from(project.as_str()))]);
            for id in &ids {
                tasks::edit(tx, &Task::require(tx, id)?, &body, &by)?;
            }
            Ok(project)
        })
        .await?;
    Ok(json!({"project_id": project}))
}

#[derive(Deserialize)]
struct UpdateTags {
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
}

/// Adds tags to tasks, and takes tags away.
pub(super) async fn update_tags(state: &State, call: &Call) -> Reply {
    let UpdateTags { ids, add_tags, remove_tags } = call.arguments()?;
    let by = call.identity();
    let count = state
        .store
        .write(move |tx| {
            let mut count = 0;
            for id in &ids {
                let Some(task) = Task::find(tx, id)? else { continue };
                let mut tags = task.tags;
                tags.retain(|tag| !remove_tags.contains(tag));
                tags.extend(add_tags.iter().cloned());
                let mut update = TaskUpdate::default();
                update.texts("tags", tags);
                update.apply(tx, id, &by.user_id)?;
                count += 1;
            }
            Ok(count)
        })
        .await?;
    Ok(json!({"updated": count}))
}
