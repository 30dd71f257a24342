//! Publishing models, and the tasks that made them.

use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Value, json};

use super::many::object;
use crate::auth::Identity;
use crate::http::{Call, Reply};
use crate::services::batch;
use crate::state::State;
use crate::store::models::{self, Model};
use crate::store::tasks::{self, Task, Transition};
use crate::store::{StoreResult, Tx};
use crate::time;

#[derive(Debug, Deserialize)]
struct SetReady {
    model: String,
    #[serde(default = "yes")]
    publish_task: bool,
    #[serde(default)]
    force_publish_task: bool,
}

fn yes() -> bool {
    true
}

/// `models.set_ready`.
pub(super) async fn set_ready(state: &State, call: &Call) -> Reply {
    let request: SetReady = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| publish(tx, &request.model, request.publish_task, request.force_publish_task, &by))
        .await
}

#[derive(Debug, Deserialize)]
struct PublishMany {
    ids: Vec<String>,
    #[serde(default = "yes")]
    publish_task: bool,
    #[serde(default)]
    force_publish_task: bool,
}

/// `models.publish_many`.
pub(super) async fn publish_many(state: &State, call: &Call) -> Reply {
    let request: PublishMany = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let outcome = batch::each(tx, &request.ids, |id| {
                Ok(object(publish(tx, id, request.publish_task, request.force_publish_task, &by)?))
            })?;
            Ok(Value::Object(outcome.into_answer()))
        })
        .await
}

/// Publishes a model, and its task as well if that may be: a task that may not is left as it is, and not mentioned.
fn publish(tx: &Tx<'_>, id: &str, publish_task: bool, force: bool, by: &Identity) -> StoreResult<Value> {
    let model = Model::require(tx, id)?;
    models::publish(tx, &model, &by.user_id, time::now())?;
    let mut reply = json!({"updated": 1});
    let task = match &model.task {
        Some(task) if publish_task => Task::find(tx, task)?,
        Some(_) | None => None,
    };
    if let Some(task) = task.filter(|task| task.status != TaskStatus::Published) {
        let wanted = Transition { to: TaskStatus::Published, reason: "", message: "", force };
        if let Ok(fields) = tx.attempt(|| tasks::publish(tx, &task, wanted, false, by))? {
            reply["published_task"] = json!({"id": task.id, "data": {"updated": 1, "fields": fields}});
        }
    }
    Ok(reply)
}
