//! Reset, delete, clone, archive.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ManyTasks, OneTask, PipelineSteps, compat, updated};
use crate::auth::Identity;
use crate::http::{Call, Reply};
use crate::services::batch;
use crate::state::State;
use crate::store::query::Row;
use crate::store::tasks::{self, Cleaned, CloneRequest, Reset, Task};
use crate::store::{StoreResult, Tx};

#[derive(Clone, Copy, Deserialize)]
struct CleanArguments {
    #[serde(default)]
    force: bool,
    #[serde(default)]
    clear_all: bool,
    delete_output_models: Option<bool>,
    #[serde(default)]
    return_file_urls: bool,
}

impl CleanArguments {
    fn deletes_models(self) -> bool {
        self.delete_output_models.unwrap_or(true)
    }

    fn reset(self) -> Reset {
        Reset { force: self.force, clear_all: self.clear_all, delete_output_models: self.deletes_models() }
    }

    /// Deletes a task, and before it what it started if that is to go too.
    fn delete(self, tx: &Tx<'_>, id: &str, steps: PipelineSteps) -> StoreResult<Map<String, Value>> {
        let task = Task::require(tx, id)?;
        for step in steps.of(tx, &task)? {
            tasks::delete(tx, &Task::require(tx, &step)?, self.force, self.deletes_models())?;
        }
        Ok(self.delete_answer(tasks::delete(tx, &task, self.force, self.deletes_models())?))
    }

    fn reset_answer(self, mut cleaned: Cleaned) -> Map<String, Value> {
        let urls = if self.return_file_urls { cleaned.urls.take() } else { json!({}) };
        let mut answer = updated(cleaned.fields);
        answer.insert("dequeued".to_owned(), json!({"removed": cleaned.dequeued}));
        answer.insert("events".to_owned(), json!({}));
        answer.insert("deleted_models".to_owned(), json!(cleaned.deleted_models));
        answer.insert("urls".to_owned(), urls);
        answer
    }

    fn delete_answer(self, mut cleaned: Cleaned) -> Map<String, Value> {
        let urls = if self.return_file_urls { cleaned.urls.take() } else { Value::Null };
        Map::from_iter([
            ("deleted".to_owned(), json!(true)),
            ("updated_children".to_owned(), json!(cleaned.updated_children)),
            ("updated_models".to_owned(), json!(cleaned.updated_models)),
            ("deleted_models".to_owned(), json!(cleaned.deleted_models)),
            ("urls".to_owned(), urls),
        ])
    }
}

/// Makes a draft of a task again.
pub(super) async fn reset(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let arguments: CleanArguments = call.arguments()?;
    let by = call.identity();
    let cleaned =
        state.store.write(move |tx| tasks::reset(tx, &Task::require(tx, &task)?, arguments.reset(), &by)).await?;
    Ok(Value::Object(arguments.reset_answer(cleaned)))
}

/// [`reset`] for each task.
pub(super) async fn reset_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let arguments: CleanArguments = call.arguments()?;
    let by = call.identity();
    let outcome = state
        .store
        .write(move |tx| {
            batch::each(tx, &ids, |id| {
                let cleaned = tasks::reset(tx, &Task::require(tx, id)?, arguments.reset(), &by)?;
                Ok(arguments.reset_answer(cleaned))
            })
        })
        .await?;
    Ok(Value::Object(outcome.into_answer()))
}

/// Deletes a task.
pub(super) async fn delete(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let arguments: CleanArguments = call.arguments()?;
    let steps: PipelineSteps = call.arguments()?;
    let answer = state.store.write(move |tx| arguments.delete(tx, &task, steps)).await?;
    Ok(Value::Object(answer))
}

/// [`delete`] for each task.
pub(super) async fn delete_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let arguments: CleanArguments = call.arguments()?;
    let steps: PipelineSteps = call.arguments()?;
    let outcome = state.store.write(move |tx| batch::each(tx, &ids, |id| arguments.delete(tx, id, steps))).await?;
    Ok(Value::Object(outcome.into_answer()))
}

#[derive(Deserialize)]
struct CloneArguments {
    task: String,
    new_task_name: Option<String>,
    new_task_comment: Option<String>,
    new_task_tags: Option<Vec<Value>>,
    new_task_system_tags: Option<Vec<Value>>,
    new_task_parent: Option<String>,
    new_task_project: Option<String>,
    new_project_name: Option<String>,
    new_task_hyperparams: Option<Value>,
    new_task_configuration: Option<Value>,
    new_task_container: Option<Value>,
    new_task_input_models: Option<Value>,
    execution_overrides: Option<Map<String, Value>>,
}

/// Makes a draft that is to run what another task runs.
pub(super) async fn clone(state: &State, call: &Call) -> Reply {
    let mut arguments: CloneArguments = call.arguments()?;
    if let Some(execution) = arguments.execution_overrides.take() {
        let mut body = Row::from_iter([("execution".to_owned(), Value::Object(execution))]);
        compat::upgrade(call.version, &mut body);
        let part = |body: &mut Row, name: &str| body.remove(name);
        arguments.execution_overrides =
            part(&mut body, "execution").and_then(|execution| execution.as_object().cloned());
        arguments.new_task_hyperparams = arguments.new_task_hyperparams.or_else(|| part(&mut body, "hyperparams"));
        arguments.new_task_configuration =
            arguments.new_task_configuration.or_else(|| part(&mut body, "configuration"));
        arguments.new_task_container = arguments.new_task_container.or_else(|| part(&mut body, "container"));
        let models = part(&mut body, "models").and_then(|mut models| models.get_mut("input").map(Value::take));
        arguments.new_task_input_models = arguments.new_task_input_models.or(models);
    }
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let source = Task::require(tx, &arguments.task)?;
            let mut new_project = None;
            let project = match (arguments.new_task_project, arguments.new_project_name) {
                (Some(_), Some(_)) => {
                    return Err(ApiError::fields_conflict("new_task_project and new_project_name", &[]).into());
                }
                (None, Some(name)) => {
                    let id = crate::store::projects::find_or_create(tx, &name, &by.user_id, crate::time::now())?;
                    new_project = Some(json!({"id": id, "name": name}));
                    Some(id)
                }
                (project, None) => project,
            };
            let request = CloneRequest {
                name: arguments.new_task_name,
                comment: arguments.new_task_comment,
                tags: arguments.new_task_tags,
                system_tags: arguments.new_task_system_tags,
                parent: arguments.new_task_parent,
                project,
                hyperparams: arguments.new_task_hyperparams,
                configuration: arguments.new_task_configuration,
                container: arguments.new_task_container,
                input_models: arguments.new_task_input_models,
                execution_overrides: arguments.execution_overrides,
            };
            let mut answer = json!({"id": tasks::clone(tx, &source, request, &by)?});
            if let Some(new_project) = new_project {
                answer["new_project"] = new_project;
            }
            Ok(answer)
        })
        .await
}

#[derive(Deserialize)]
struct ArchiveArguments {
    #[serde(default)]
    status_reason: String,
    #[serde(default)]
    status_message: String,
}

impl ArchiveArguments {
    fn archive(&self, tx: &Tx<'_>, id: &str, steps: PipelineSteps, by: &Identity) -> StoreResult<bool> {
        let task = Task::require(tx, id)?;
        for step in steps.of(tx, &task)? {
            tasks::archive(tx, &Task::require(tx, &step)?, &self.status_reason, &self.status_message, by)?;
        }
        tasks::archive(tx, &task, &self.status_reason, &self.status_message, by)
    }
}

/// Puts tasks away.
pub(super) async fn archive(state: &State, call: &Call) -> Reply {
    #[derive(Deserialize)]
    struct Tasks {
        tasks: Vec<String>,
    }
    let Tasks { tasks } = call.arguments()?;
    let arguments: ArchiveArguments = call.arguments()?;
    let steps: PipelineSteps = call.arguments()?;
    let by = call.identity();
    let archived = state
        .store
        .write(move |tx| {
            let mut archived = 0;
            for id in &tasks {
                archived += i64::from(arguments.archive(tx, id, steps, &by)?);
            }
            Ok(archived)
        })
        .await?;
    Ok(json!({"archived": archived}))
}

/// [`archive`] with an answer for each task.
pub(super) async fn archive_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let arguments: ArchiveArguments = call.arguments()?;
    let steps: PipelineSteps = call.arguments()?;
    let by = call.identity();
    let outcome = state
        .store
        .write(move |tx| {
            batch::each(tx, &ids, |id| {
                let archived = arguments.archive(tx, id, steps, &by)?;
                Ok(Map::from_iter([("archived".to_owned(), json!(archived))]))
            })
        })
        .await?;
    Ok(Value::Object(outcome.into_answer()))
}

/// Takes tasks back.
pub(super) async fn unarchive_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let steps: PipelineSteps = call.arguments()?;
    let by = call.identity();
    let outcome = state
        .store
        .write(move |tx| {
            batch::each(tx, &ids, |id| {
                let task = Task::require(tx, id)?;
                for step in steps.of(tx, &task)? {
                    tasks::unarchive(tx, &Task::require(tx, &step)?, &by)?;
                }
                let unarchived = tasks::unarchive(tx, &task, &by)?;
                Ok(Map::from_iter([("unarchived".to_owned(), json!(unarchived))]))
            })
        })
        .await?;
    Ok(Value::Object(outcome.into_answer()))
}
