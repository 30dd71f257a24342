//! The `pipelines` service: runs of pipelines, which are tasks of type `controller`.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::services::batch;
use crate::state::State;
use crate::store::projects::Project;
use crate::store::tasks::{self, CloneRequest, Document, Enqueue, Task, read_document};
use crate::store::{StoreResult, Tx, workers};
use crate::time;

/// System tag of the tasks of a pipeline.
const PIPELINE: &str = "pipeline";

/// Section of arguments that name none.
const DEFAULT_SECTION: &str = "Args";

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "delete_runs" => delete_runs(state, &call).await,
        "start_pipeline" => start_pipeline(state, &call).await,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Start {
    task: String,
    queue: Option<String>,
    #[serde(default)]
    args: Vec<Argument>,
    #[serde(default)]
    verify_watched_queue: bool,
}

#[derive(Deserialize)]
struct Argument {
    name: String,
    #[serde(default)]
    value: Value,
}

/// Starts a new run of a pipeline: a copy of an earlier run, with other arguments, in a queue.
async fn start_pipeline(state: &State, call: &Call) -> Reply {
    let Start { task, queue, args, verify_watched_queue } = call.arguments()?;
    let wish = Enqueue {
        to: Enqueue::destination(queue, None)?,
        reason: "Starting pipeline".to_owned(),
        message: String::new(),
        force: false,
        update_execution_queue: true,
    };
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let source = Task::require(tx, &task)?;
            require_controller(&source)?;
            let request = CloneRequest {
                name: Some(next_name(tx, &source)?),
                hyperparams: Some(with_arguments(read_document(tx, &source.id, Document::Hyperparams)?, args)),
                ..CloneRequest::default()
            };
            let id = tasks::clone(tx, &source, request, &by)?;
            let queue = wish.to.resolve(tx, &by)?;
            tasks::enqueue(tx, &Task::require(tx, &id)?, &queue, &wish, &by)?;
            let mut answer = json!({"pipeline": id, "enqueued": true});
            if verify_watched_queue {
                answer["queue_watched"] = json!(workers::is_watched(tx, &queue, time::now())?);
            }
            Ok(answer)
        })
        .await
}

fn require_controller(task: &Task) -> Result<(), ApiError> {
    if task.kind == "controller" && task.has_system_tag(PIPELINE) {
        return Ok(());
    }
    Err(ApiError::invalid_task_type("not a pipeline", &[("task", &task.id), ("type", &task.kind)]))
}

/// `name #2` after `name` or `name #1`: one more than the tasks of that name in the project.
fn next_name(tx: &Tx<'_>, source: &Task) -> StoreResult<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match source.name.rsplit_once(" #") {
        Some((name, number)) if is_number(number) => name,
        Some(_) | None => &source.name,
    };
    let runs = tasks::runs_named(tx, source.project.as_deref(), name)?;
    Ok(format!("{name} #{}", runs + 1))
}

fn with_arguments(mut hyperparams: Value, arguments: Vec<Argument>) -> Value {
    for Argument { name: full_name, value } in arguments {
        let (section, name) = full_name.split_once('/').unwrap_or((DEFAULT_SECTION, &full_name));
        let Some(sections) = hyperparams.as_object_mut() else { break };
        let names = sections.entry(section).or_insert_with(|| Value::Object(Map::new()));
        let Some(names) = names.as_object_mut() else { continue };
        let item = names.entry(name).or_insert_with(|| json!({"section": section, "name": name}));
        item["value"] = value;
    }
    hyperparams
}

#[derive(Deserialize)]
struct DeleteRuns {
    project: String,
    ids: Vec<String>,
}

/// Deletes runs of a pipeline with their steps; one run is always left.
async fn delete_runs(state: &State, call: &Call) -> Reply {
    let DeleteRuns { project, ids } = call.arguments()?;
    state
        .store
        .write(move |tx| {
            Project::require(tx, &project)?;
            if tasks::runs_besides(tx, &project, &ids)? == 0 {
                return Err(ApiError::cannot_remove_all_runs("", &[("project", &project)]).into());
            }
            let outcome = batch::each(tx, &ids, |id| delete_run(tx, id, &project))?;
            Ok(Value::Object(outcome.into_answer()))
        })
        .await
}

fn delete_run(tx: &Tx<'_>, id: &str, project: &str) -> StoreResult<Map<String, Value>> {
    let run = Task::require(tx, id)?;
    require_controller(&run)?;
    if run.project.as_deref() != Some(project) {
        return Err(ApiError::invalid_id("not a run of this pipeline", &[("task", &id), ("project", &project)]).into());
    }
    for step in tasks::steps(tx, id)? {
        tasks::delete(tx, &Task::require(tx, &step)?, true, true)?;
    }
    tasks::delete(tx, &run, true, true)?;
    Ok(Map::from_iter([("deleted".to_owned(), json!(true))]))
}
