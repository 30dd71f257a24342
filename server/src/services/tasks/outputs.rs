//! Artifacts and models of a task.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::models::Model;
use crate::store::tasks::{
    Document, Task, TaskUpdate, artifact_id, forbidden_by_status, read_document, sorted_artifacts,
};
use crate::store::{StoreResult, Tx};
use crate::time;

#[derive(Deserialize)]
struct AddArtifacts {
    task: String,
    artifacts: Vec<Map<String, Value>>,
}

/// Adds artifacts; one of the same key and mode takes the place of the other.
pub(super) async fn add_or_update_artifacts(state: &State, call: &Call) -> Reply {
    let AddArtifacts { task, artifacts } = call.arguments()?;
    let mut added = Vec::with_capacity(artifacts.len());
    for mut artifact in artifacts {
        artifact.retain(|_, value| !value.is_null());
        for field in ["key", "type"] {
            if !artifact.get(field).is_some_and(Value::is_string) {
                return Err(ApiError::missing_field(field));
            }
        }
        artifact.entry("mode").or_insert_with(|| Value::from("output"));
        added.push(Value::Object(artifact));
    }
    change_artifacts(state, call, task, move |list| list.extend(added)).await?;
    Ok(json!({"updated": 1}))
}

#[derive(Deserialize)]
struct ArtifactKey {
    key: String,
    mode: Option<String>,
}

#[derive(Deserialize)]
struct DeleteArtifacts {
    task: String,
    artifacts: Vec<ArtifactKey>,
}

/// Deletes artifacts by key and mode.
pub(super) async fn delete_artifacts(state: &State, call: &Call) -> Reply {
    let DeleteArtifacts { task, artifacts } = call.arguments()?;
    let keys: Vec<(String, String)> = artifacts
        .into_iter()
        .map(|artifact| (artifact.key, artifact.mode.unwrap_or_else(|| "output".to_owned())))
        .collect();
    change_artifacts(state, call, task, move |list| list.retain(|artifact| !keys.contains(&artifact_id(artifact))))
        .await?;
    Ok(json!({"deleted": 1}))
}

async fn change_artifacts(
    state: &State,
    call: &Call,
    task: String,
    change: impl FnOnce(&mut Vec<Value>) + Send + 'static,
) -> Result<(), ApiError> {
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            check_live(&task)?;
            let mut execution = read_document(tx, &task.id, Document::Execution)?;
            let mut list = match execution.get_mut("artifacts").map(Value::take) {
                Some(Value::Array(list)) => list,
                Some(_) | None => Vec::new(),
            };
            change(&mut list);
            execution["artifacts"] = sorted_artifacts(Value::Array(list));
            save(tx, &task, Document::Execution, &execution, &by.user_id)
        })
        .await
}

#[derive(Deserialize)]
struct AddModel {
    task: String,
    name: String,
    model: String,
    #[serde(rename = "type")]
    side: Side,
    iteration: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Side {
    Input,
    Output,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// Links a model to a task; one of the same name takes the place of the other.
pub(super) async fn add_or_update_model(state: &State, call: &Call) -> Reply {
    let AddModel { task, name, model, side, iteration } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            if Model::find(tx, &model)?.is_none() {
                return Err(ApiError::invalid_model_id("", &[("id", &model)]).into());
            }
            let mut models = read_document(tx, &task.id, Document::Models)?;
            let link = json!({"name": name, "model": model, "updated": time::to_iso(time::now())});
            let list = list_of(&mut models, side);
            match list.iter_mut().find(|known| known.get("name") == link.get("name")) {
                Some(known) => *known = link,
                None => list.push(link),
            }
            let mut update = TaskUpdate::default();
            if let Some(iteration) = iteration {
                update.integer("last_iteration", iteration);
            }
            update.quiet_document(Document::Models, &models).progress();
            update.apply(tx, &task.id, &by.user_id)
        })
        .await?;
    Ok(json!({"updated": 1}))
}

#[derive(Deserialize)]
struct ModelKey {
    name: String,
    #[serde(rename = "type")]
    side: Side,
}

#[derive(Deserialize)]
struct DeleteModels {
    task: String,
    models: Vec<ModelKey>,
}

/// Unlinks models from a task.
pub(super) async fn delete_models(state: &State, call: &Call) -> Reply {
    let DeleteModels { task, models: keys } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            check_live(&task)?;
            let mut models = read_document(tx, &task.id, Document::Models)?;
            for key in &keys {
                list_of(&mut models, key.side)
                    .retain(|known| known.get("name").and_then(Value::as_str) != Some(key.name.as_str()));
            }
            save(tx, &task, Document::Models, &models, &by.user_id)
        })
        .await?;
    Ok(json!({"updated": 1}))
}

fn list_of(models: &mut Value, side: Side) -> &mut Vec<Value> {
    let list = &mut models[side.name()];
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().expect("it was just made one")
}

/// What a task gives can be changed until it has ended.
fn check_live(task: &Task) -> Result<(), ApiError> {
    match task.status {
        TaskStatus::Created | TaskStatus::Queued | TaskStatus::InProgress => Ok(()),
        TaskStatus::Stopped
        | TaskStatus::Publishing
        | TaskStatus::Published
        | TaskStatus::Closed
        | TaskStatus::Failed
        | TaskStatus::Completed
        | TaskStatus::Unknown => Err(forbidden_by_status(task, "The task has ended")),
    }
}

fn save(tx: &Tx<'_>, task: &Task, document: Document, value: &Value, user: &str) -> StoreResult<()> {
    let mut update = TaskUpdate::default();
    update.quiet_document(document, value).progress();
    update.apply(tx, &task.id, user)?;
    Ok(())
}
