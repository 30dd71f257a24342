//! Making and editing models.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{Touched, touch_owner};
use crate::store::models::{self, Model, NewModel, metadata_object};
use crate::store::projects::{self, Project, RowUpdate};
use crate::store::{Snapshot, StoreResult, Tx};
use crate::time::{self, Micros};

/// Characters of a name at least.
const NAME_LENGTH: usize = 3;

/// The fields of a model that a client can set.
#[derive(Clone, Debug, Default, Deserialize)]
struct Fields {
    name: Option<String>,
    uri: Option<String>,
    comment: Option<String>,
    tags: Option<Vec<String>>,
    system_tags: Option<Vec<String>>,
    framework: Option<String>,
    design: Option<Value>,
    labels: Option<Value>,
    ui_cache: Option<Value>,
    ready: Option<bool>,
    project: Option<String>,
    parent: Option<String>,
    task: Option<String>,
    metadata: Option<Value>,
    iteration: Option<i64>,
}

fn check_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.chars().count() < NAME_LENGTH {
        return Err(ApiError::data_validation("", &[("name", &"String value is too short")]));
    }
    Ok(name.to_owned())
}

fn check_labels(labels: Option<&Value>) -> Result<(), ApiError> {
    match labels {
        None => Ok(()),
        Some(Value::Object(labels)) if labels.values().all(Value::is_i64) => Ok(()),
        Some(_) => Err(ApiError::bad_field("labels", "must be an object of integers")),
    }
}

/// `models.create`.
pub(super) async fn create(state: &State, call: &Call) -> Reply {
    let fields: Fields = call.arguments()?;
    let uri = fields.uri.clone().ok_or_else(|| ApiError::missing_field("uri"))?;
    let name = fields.name.clone().ok_or_else(|| ApiError::missing_field("name"))?;
    let new = new_model(fields, check_name(&name)?, uri)?;
    let user = call.identity().user_id;
    let id = state
        .store
        .write(move |tx| {
            if let Some(task) = &new.task {
                require_task(tx, task)?;
            }
            models::create(tx, new, &user, time::now())
        })
        .await?;
    Ok(json!({"id": id, "created": true}))
}

fn new_model(fields: Fields, name: String, uri: String) -> Result<NewModel, ApiError> {
    check_labels(fields.labels.as_ref())?;
    Ok(NewModel {
        name,
        uri,
        comment: fields.comment,
        tags: fields.tags.unwrap_or_default(),
        system_tags: fields.system_tags.unwrap_or_default(),
        framework: fields.framework,
        design: fields.design,
        labels: fields.labels,
        ready: fields.ready.unwrap_or(true),
        project: fields.project,
        parent: fields.parent,
        task: fields.task,
        metadata: metadata_object(&fields.metadata.unwrap_or_default())?,
    })
}

fn require_task(connection: &Snapshot, task: &str) -> StoreResult<()> {
    if models::has_task(connection, task)? {
        return Ok(());
    }
    Err(ApiError::fields_value("unknown task", &[("task", &task)]).into())
}

/// `models.edit`, `models.update`.
pub(super) async fn edit(state: &State, call: &Call) -> Reply {
    let fields: Fields = call.arguments()?;
    let id = call.body.get("model").and_then(Value::as_str).ok_or_else(|| ApiError::missing_field("model"))?.to_owned();
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let model = Model::require(tx, &id)?;
            let now = time::now();
            let update = changes(tx, &fields)?;
            note_iteration(tx, &model, &fields, &user, now)?;
            if update.is_empty() {
                return Ok(json!({"updated": 0, "fields": {}}));
            }
            let changed = apply(tx, &model, update, &user, now)?;
            Ok(json!({"updated": 1, "fields": changed}))
        })
        .await
}

fn changes(tx: &Tx<'_>, fields: &Fields) -> StoreResult<RowUpdate> {
    let fields = fields.clone();
    check_labels(fields.labels.as_ref())?;
    if let Some(project) = &fields.project
        && Project::find(tx, project)?.is_none()
    {
        return Err(ApiError::fields_value("unknown project", &[("project", project)]).into());
    }
    if let Some(task) = &fields.task {
        require_task(tx, task)?;
    }
    let name = fields.name.as_deref().map(check_name).transpose()?;
    let metadata = fields.metadata.as_ref().map(metadata_object).transpose()?;
    let mut update = RowUpdate::default();
    update
        .text("name", name)
        .text("uri", fields.uri)
        .text("comment", fields.comment)
        .text("framework", fields.framework)
        .text("project", fields.project)
        .text("parent", fields.parent)
        .text("task", fields.task)
        .texts("tags", fields.tags)
        .texts("system_tags", fields.system_tags)
        .json("design", fields.design)
        .json("labels", fields.labels)
        .json("ui_cache", fields.ui_cache)
        .json("metadata", metadata.map(Value::Object))
        .flag("ready", fields.ready);
    Ok(update)
}

fn apply(
    tx: &Tx<'_>,
    model: &Model,
    mut update: RowUpdate,
    user: &str,
    now: Micros,
) -> StoreResult<crate::store::query::Row> {
    update.time("last_update", now).time("last_change", now).text("last_changed_by", Some(user));
    if let Some(project) = &model.project {
        projects::touch(tx, project, now)?;
    }
    update.apply(tx, "models", &model.id)
}

/// A model that was saved at an iteration tells that its task has reached it.
fn note_iteration(tx: &Tx<'_>, model: &Model, fields: &Fields, user: &str, now: Micros) -> StoreResult<()> {
    let task = fields.task.as_ref().or(model.task.as_ref());
    if let (Some(task), Some(iteration)) = (task, fields.iteration) {
        let touched = Touched { owner: task.clone(), is_model: false, last_iteration: Some(iteration) };
        touch_owner(tx, &touched, user, now)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct UpdateForTask {
    task: String,
    override_model_id: Option<String>,
}

/// `models.update_for_task`, for old clients: changes the newest model that the task made, or makes one.
pub(super) async fn update_for_task(state: &State, call: &Call) -> Reply {
    let request: UpdateForTask = call.arguments()?;
    let fields: Fields = call.arguments()?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let now = time::now();
            let found = match &request.override_model_id {
                Some(id) => Some(Model::require(tx, id)?),
                None => models::newest_of_task(tx, &request.task)?,
            };
            if let Some(model) = found {
                let update = changes(tx, &Fields { task: None, ..fields })?;
                let changed = apply(tx, &model, update, &user, now)?;
                return Ok(json!({"id": model.id, "created": false, "updated": 1, "fields": changed}));
            }
            let (task_name, project) = models::task_of_new_model(tx, &request.task)?;
            let uri = fields.uri.clone().ok_or_else(|| ApiError::missing_field("uri"))?;
            let name = check_name(fields.name.as_deref().unwrap_or(&task_name))?;
            let mut new = new_model(fields, name, uri)?;
            new.ready = false;
            new.project = new.project.or(project);
            new.task = Some(request.task);
            Ok(json!({"id": models::create(tx, new, &user, now)?, "created": true}))
        })
        .await
}
