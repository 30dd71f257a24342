//! The `tasks` service.

mod compat;
mod create;
mod edit;
mod lifecycle;
mod outputs;
mod params;
mod queueing;
mod read;
mod status;

pub(super) use read::{get_all, get_by_id_ex};

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::query::Row;
use crate::store::tasks::{self, Task};
use crate::store::{StoreResult, Tx};

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "create" => create::create(state, call).await,
        "validate" => create::validate(state, call).await,
        "get_by_id" => read::get_by_id(state, &call).await,
        "get_types" => read::get_types(state, &call).await,
        "edit" => edit::edit(state, call).await,
        "update" => edit::update(state, call).await,
        "update_batch" => edit::update_batch(state, call).await,
        "set_requirements" => edit::set_requirements(state, &call).await,
        "ping" => edit::ping(state, &call).await,
        "move" => edit::move_tasks(state, &call).await,
        "update_tags" => edit::update_tags(state, &call).await,
        "started" => status::started(state, &call).await,
        "stopped" => status::ended(state, &call, protocols::clearml::status::TaskStatus::Stopped).await,
        "failed" => status::ended(state, &call, protocols::clearml::status::TaskStatus::Failed).await,
        "completed" => status::completed(state, &call).await,
        "close" => status::close(state, &call).await,
        "stop" => status::stop(state, &call).await,
        "stop_many" => status::stop_many(state, &call).await,
        "publish" => status::publish(state, &call).await,
        "publish_many" => status::publish_many(state, &call).await,
        "enqueue" => queueing::enqueue(state, &call).await,
        "enqueue_many" => queueing::enqueue_many(state, &call).await,
        "dequeue" => queueing::dequeue(state, &call).await,
        "dequeue_many" => queueing::dequeue_many(state, &call).await,
        "reset" => lifecycle::reset(state, &call).await,
        "reset_many" => lifecycle::reset_many(state, &call).await,
        "delete" => lifecycle::delete(state, &call).await,
        "delete_many" => lifecycle::delete_many(state, &call).await,
        "clone" => lifecycle::clone(state, &call).await,
        "archive" => lifecycle::archive(state, &call).await,
        "archive_many" => lifecycle::archive_many(state, &call).await,
        "unarchive_many" => lifecycle::unarchive_many(state, &call).await,
        "get_hyper_params" => params::get_hyper_params(state, &call).await,
        "edit_hyper_params" => params::edit_hyper_params(state, &call).await,
        "delete_hyper_params" => params::delete_hyper_params(state, &call).await,
        "get_configurations" => params::get_configurations(state, &call).await,
        "get_configuration_names" => params::get_configuration_names(state, &call).await,
        "edit_configuration" => params::edit_configuration(state, &call).await,
        "delete_configuration" => params::delete_configuration(state, &call).await,
        "edit_runtime" => params::edit_runtime(state, &call).await,
        "add_or_update_artifacts" => outputs::add_or_update_artifacts(state, &call).await,
        "delete_artifacts" => outputs::delete_artifacts(state, &call).await,
        "add_or_update_model" => outputs::add_or_update_model(state, &call).await,
        "delete_models" => outputs::delete_models(state, &call).await,
        // One company, one visibility: there is nobody to show a task to or hide it from.
        "make_public" | "make_private" => Ok(json!({"updated": 0})),
        _ => return None,
    })
}

/// Type of tasks that start others: the steps of a pipeline.
const CONTROLLER: &str = "controller";

/// Whether the steps of a pipeline share the fate of their controller.
#[derive(Clone, Copy, Deserialize)]
struct PipelineSteps {
    #[serde(default)]
    include_pipeline_steps: bool,
}

impl PipelineSteps {
    /// Ids of the steps of a task that are to share its fate.
    fn of(self, tx: &Tx<'_>, task: &Task) -> StoreResult<Vec<String>> {
        let includes = self.include_pipeline_steps && task.kind == CONTROLLER;
        if includes { tasks::steps(tx, &task.id) } else { Ok(Vec::new()) }
    }
}

/// `{"task": ..}`.
#[derive(Deserialize)]
pub(super) struct OneTask {
    pub(super) task: String,
}

/// What every change of status takes.
#[derive(Clone, Debug, Default, Deserialize)]
struct Reasons {
    #[serde(default)]
    status_reason: String,
    #[serde(default)]
    status_message: String,
    #[serde(default)]
    force: bool,
}

/// `{"ids": [..]}`.
#[derive(Deserialize)]
struct ManyTasks {
    ids: Vec<String>,
}

impl ManyTasks {
    fn of(call: &Call) -> Result<Vec<String>, ApiError> {
        Ok(call.arguments::<Self>()?.ids)
    }
}

/// `{"updated": 1, "fields": {..}}`.
pub(super) fn updated(fields: Row) -> Map<String, Value> {
    let count = i64::from(!fields.is_empty());
    Map::from_iter([("updated".to_owned(), json!(count)), ("fields".to_owned(), Value::Object(fields))])
}

/// The answer of a change, with one more member.
fn updated_and(fields: Row, name: &str, value: impl Into<Value>) -> Value {
    let mut answer = updated(fields);
    answer.insert(name.to_owned(), value.into());
    Value::Object(answer)
}
