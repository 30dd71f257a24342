//! Reset, delete, clone, archive, publish.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde_json::{Map, Value, json};

use super::{
    ARCHIVED, DEVELOPMENT, Document, Task, TaskUpdate, Transition, create, dequeue, forbidden_by_status, links,
    read_document, transition,
};
use crate::auth::Identity;
use crate::store::query::Row;
use crate::store::{StoreResult, Tx, events, queues};
use crate::time;

/// What a reset or delete cleaned up.
#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    /// Queues that held the task.
    pub(crate) dequeued: usize,
    /// Draft models that were deleted.
    pub(crate) deleted_models: usize,
    /// Models that lost their task.
    pub(crate) updated_models: usize,
    /// Children that lost their parent.
    pub(crate) updated_children: usize,
    /// Files that nobody knows any more.
    pub(crate) urls: Value,
    /// The changed fields, after a reset.
    pub(crate) fields: Row,
}

/// How to reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reset {
    pub(crate) force: bool,
    /// Also forgets what to run and how.
    pub(crate) clear_all: bool,
    pub(crate) delete_output_models: bool,
}

/// What a clone gets instead of what its source has.
#[derive(Clone, Debug, Default)]
pub(crate) struct CloneRequest {
    pub(crate) name: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) tags: Option<Vec<Value>>,
    pub(crate) system_tags: Option<Vec<Value>>,
    pub(crate) parent: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) hyperparams: Option<Value>,
    pub(crate) configuration: Option<Value>,
    pub(crate) container: Option<Value>,
    pub(crate) input_models: Option<Value>,
    pub(crate) execution_overrides: Option<Map<String, Value>>,
}

/// Makes a draft of a task again: results, events and draft models are gone.
pub(crate) fn reset(tx: &Tx<'_>, task: &Task, how: Reset, by: &Identity) -> StoreResult<Cleaned> {
    if task.status == TaskStatus::Published && !how.force {
        return Err(forbidden_by_status(task, "The task is published").into());
    }
    if !how.force && !task.status.may_become(TaskStatus::Created) {
        let details: [(&str, &dyn std::fmt::Display); 2] =
            [("current_status", &task.status), ("new_status", &TaskStatus::Created)];
        return Err(ApiError::invalid_task_status("Invalid status change", &details).into());
    }
    let mut cleaned = clean(tx, task, how.force, how.delete_output_models)?;
    let mut update = TaskUpdate::default();
    update.integer("last_iteration", 0).object("runtime", json!({}));
    for column in [
        "last_worker",
        "last_worker_report",
        "started",
        "completed",
        "published",
        "active_duration",
        "enqueue_status",
        "queue",
    ] {
        update.unset(column);
    }
    reset_documents(tx, &task.id, how.clear_all, &mut update)?;
    let wanted = Transition { to: TaskStatus::Created, reason: "reset", message: "reset", force: true };
    // The run that may be ending now leaves no duration behind.
    let ended = Task { started: None, ..task.clone() };
    cleaned.fields = transition(tx, &ended, wanted, by, update)?;
    Ok(cleaned)
}

fn reset_documents(tx: &Tx<'_>, task: &str, clear_all: bool, update: &mut TaskUpdate) -> StoreResult<()> {
    let mut models = read_document(tx, task, Document::Models)?;
    models["output"] = json!([]);
    update.document(Document::Models, &models);
    let mut output = read_document(tx, task, Document::Output)?;
    if let Some(output) = output.as_object_mut() {
        output.remove("result");
        output.remove("error");
    }
    update.quiet_document(Document::Output, &output);
    if clear_all {
        update.document(Document::Script, &json!({})).document(Document::Execution, &json!({}));
    } else {
        let execution = without_output_artifacts(read_document(tx, task, Document::Execution)?);
        update.quiet_document(Document::Execution, &execution);
    }
    Ok(())
}

/// Deletes a task. What still names it as its parent or maker names a tombstone afterwards.
pub(crate) fn delete(tx: &Tx<'_>, task: &Task, force: bool, delete_output_models: bool) -> StoreResult<Cleaned> {
    if task.status != TaskStatus::Created && !task.has_system_tag(ARCHIVED) && !force {
        let details: [(&str, &dyn std::fmt::Display); 2] = [("task", &task.id), ("current", &task.status)];
        return Err(ApiError::task_cannot_be_deleted("due to status", &details).into());
    }
    let mut cleaned = clean(tx, task, force, delete_output_models)?;
    let tombstone = format!("__DELETED__{}", task.id);
    cleaned.updated_children = links::orphan_children(tx, &task.id, &tombstone)?;
    cleaned.updated_models = links::orphan_models(tx, &task.id, &tombstone)?;
    tx.prepare_cached("DELETE FROM task_documents WHERE id = ?")?.execute([&task.id])?;
    tx.prepare_cached("DELETE FROM tasks WHERE id = ?")?.execute([&task.id])?;
    tx.changed(crate::signals::Change::Task(task.id.clone()));
    Ok(cleaned)
}

fn clean(tx: &Tx<'_>, task: &Task, force: bool, delete_output_models: bool) -> StoreResult<Cleaned> {
    if !force && links::has_published_children(tx, &task.id)? {
        return Err(ApiError::task_cannot_be_deleted("has published children", &[("task", &task.id)]).into());
    }
    let mut cleaned = Cleaned { dequeued: queues::remove_from_all(tx, &task.id)?, ..Cleaned::default() };
    let mut model_urls = Vec::new();
    if delete_output_models {
        for model in links::output_models(tx, &task.id)? {
            if !model.is_published && !model.is_used {
                links::delete_model(tx, &model.id)?;
                model_urls.extend(model.uri);
                cleaned.deleted_models += 1;
            }
        }
    }
    let execution = read_document(tx, &task.id, Document::Execution)?;
    cleaned.urls = json!({
        "model_urls": model_urls,
        "artifact_urls": artifact_urls(&execution),
        "event_urls": links::image_urls(tx, &task.id)?,
    });
    events::delete_for_tasks(tx, std::slice::from_ref(&task.id))?;
    Ok(cleaned)
}

fn artifacts(execution: &Value) -> &[Value] {
    execution.get("artifacts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn is_input(artifact: &Value) -> bool {
    artifact.get("mode").and_then(Value::as_str) == Some("input")
}

fn artifact_urls(execution: &Value) -> Vec<&str> {
    artifacts(execution)
        .iter()
        .filter(|artifact| !is_input(artifact))
        .filter_map(|one| one.get("uri")?.as_str())
        .collect()
}

fn without_output_artifacts(mut execution: Value) -> Value {
    let kept: Vec<Value> = artifacts(&execution).iter().filter(|artifact| is_input(artifact)).cloned().collect();
    if execution.get("artifacts").is_some() {
        execution["artifacts"] = Value::Array(kept);
    }
    execution
}

/// Makes a draft that is to run what another task runs; returns its id.
pub(crate) fn clone(tx: &Tx<'_>, source: &Task, request: CloneRequest, by: &Identity) -> StoreResult<String> {
    let document = |document| read_document(tx, &source.id, document);
    let mut execution = without_output_artifacts(document(Document::Execution)?);
    if let (Some(overrides), Some(execution)) = (request.execution_overrides, execution.as_object_mut()) {
        execution.extend(overrides.into_iter().filter(|(_, value)| !value.is_null()));
        execution.remove("queue");
    }
    let mut models = document(Document::Models)?;
    models["output"] = json!([]);
    if let Some(input) = request.input_models {
        models["input"] = input;
    }
    let destination = document(Document::Output)?.get("destination").cloned();
    let kept_tags = || source.system_tags.iter().filter(|tag| !matches!(tag.as_str(), DEVELOPMENT | ARCHIVED));
    let body = json!({
        "name": request.name.unwrap_or_else(|| source.name.clone()),
        "type": source.kind,
        "comment": request.comment.or_else(|| source.comment.clone()),
        "tags": request.tags.map_or_else(|| json!(source.tags), Value::Array),
        "system_tags": request.system_tags.map_or_else(|| json!(kept_tags().collect::<Vec<_>>()), Value::Array),
        "parent": request.parent.or_else(|| source.parent.clone()).unwrap_or_else(|| source.id.clone()),
        "project": request.project.or_else(|| source.project.clone()),
        "script": document(Document::Script)?,
        "execution": execution,
        "models": models,
        "output": {"destination": destination},
        "hyperparams": request.hyperparams.map_or_else(|| document(Document::Hyperparams), Ok)?,
        "configuration": request.configuration.map_or_else(|| document(Document::Configuration), Ok)?,
        "container": request.container.map_or_else(|| document(Document::Container), Ok)?,
    });
    let Value::Object(mut body) = body else { return Ok(String::new()) };
    body.retain(|_, value| !value.is_null());
    create(tx, &body, by)
}

/// Puts a task away: what runs is stopped, what waits is dequeued; returns whether it was not away before.
pub(crate) fn archive(tx: &Tx<'_>, task: &Task, reason: &str, message: &str, by: &Identity) -> StoreResult<bool> {
    if task.has_system_tag(ARCHIVED) {
        return Ok(false);
    }
    let task = match task.status {
        TaskStatus::Queued => {
            dequeue(tx, &task.id, None, reason, message, by)?;
            Task::require(tx, &task.id)?
        }
        TaskStatus::InProgress => {
            let wanted = Transition { to: TaskStatus::Stopped, reason, message, force: true };
            transition(tx, task, wanted, by, TaskUpdate::default())?;
            Task::require(tx, &task.id)?
        }
        TaskStatus::Created
        | TaskStatus::Stopped
        | TaskStatus::Publishing
        | TaskStatus::Published
        | TaskStatus::Closed
        | TaskStatus::Failed
        | TaskStatus::Completed
        | TaskStatus::Unknown => task.clone(),
    };
    let mut update = TaskUpdate::default();
    update.texts("system_tags", task.system_tags.iter().cloned().chain([ARCHIVED.to_owned()]).collect());
    update.text("status_reason", reason).text("status_message", message);
    update.apply(tx, &task.id, &by.user_id)?;
    Ok(true)
}

/// Takes a task back; returns whether it was away.
pub(crate) fn unarchive(tx: &Tx<'_>, task: &Task, by: &Identity) -> StoreResult<bool> {
    if !task.has_system_tag(ARCHIVED) {
        return Ok(false);
    }
    let mut update = TaskUpdate::default();
    update.texts("system_tags", task.system_tags.iter().filter(|tag| *tag != ARCHIVED).cloned().collect());
    update.apply(tx, &task.id, &by.user_id)?;
    Ok(true)
}

/// Publishes a task and, if asked, its newest output model; returns the changed fields.
pub(crate) fn publish(
    tx: &Tx<'_>,
    task: &Task,
    wanted: Transition<'_>,
    publish_model: bool,
    by: &Identity,
) -> StoreResult<Row> {
    let now = time::now();
    let mut update = TaskUpdate::default();
    update.time("published", now);
    let fields = transition(tx, task, wanted, by, update)?;
    if publish_model {
        let models = read_document(tx, &task.id, Document::Models)?;
        let newest = models.as_object().and_then(|models| links::linked_outputs(models).next_back().map(str::to_owned));
        if let Some(model) = newest {
            links::publish_model(tx, &model, now)?;
        }
    }
    Ok(fields)
}
