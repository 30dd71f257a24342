//! The `reports` service: texts with live figures in them. A report is a task of type `report` in a hidden project.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Value, json};

use super::events;
use super::tasks::{OneTask, updated};
use crate::auth::Identity;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::projects::{self, NewProject, Project};
use crate::store::query::{self, Options, Row};
use crate::store::tasks::{self, TASK, Task, Transition, forbidden_by_status};
use crate::store::{StoreResult, Tx};
use crate::time;

/// Type of the tasks that are reports.
const REPORT: &str = "report";

/// Last part of the name of the hidden project that holds the reports of a project.
const FOLDER: &str = ".reports";

/// System tag of reports and of their folders.
const REPORTS: &str = "reports";

/// Tasks that a report shows data of at most.
const SHOWN_TASKS: u64 = 100;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "archive" => archive(state, &call).await,
        "create" => create(state, &call).await,
        "delete" => delete(state, &call).await,
        "get_all_ex" => get_all_ex(state, call).await,
        "get_tags" => get_tags(state).await,
        "get_task_data" => get_task_data(state, call).await,
        "move" => move_report(state, &call).await,
        "publish" => publish(state, &call).await,
        "unarchive" => unarchive(state, &call).await,
        "update" => update(state, &call).await,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Create {
    name: String,
    project: Option<String>,
}

/// Makes a draft of a report.
async fn create(state: &State, call: &Call) -> Reply {
    let Create { name, project } = call.arguments()?;
    let mut body = content(call);
    body.insert("name".to_owned(), Value::from(name));
    body.insert("type".to_owned(), Value::from(REPORT));
    body.insert("system_tags".to_owned(), json!([REPORTS]));
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let parent = project.filter(|id| !id.is_empty()).map(|id| Project::require(tx, &id)).transpose()?;
            let folder = folder(tx, parent.as_ref(), &by)?;
            body.insert("project".to_owned(), Value::from(folder.as_str()));
            Ok(json!({"id": tasks::create(tx, &body, &by)?, "project_id": folder}))
        })
        .await
}

/// The fields of a request that are what a report is made of.
fn content(call: &Call) -> Row {
    let fields = ["name", "tags", "comment", "report", "report_assets"];
    let given = call.body.iter().filter(|(field, _)| fields.contains(&field.as_str()));
    given.map(|(field, value)| (field.clone(), value.clone())).collect()
}

/// The project that holds the reports of another one, or those of no project; it is made when there is none.
fn folder(tx: &Tx<'_>, parent: Option<&Project>, by: &Identity) -> StoreResult<String> {
    let name = match parent {
        None => FOLDER.to_owned(),
        Some(parent) if parent.basename == FOLDER => return Ok(parent.id.clone()),
        Some(parent) => format!("{}/{FOLDER}", parent.name),
    };
    if let Some(known) = Project::named(tx, &name)? {
        return Ok(known.id);
    }
    let system_tags = vec!["hidden".to_owned(), REPORTS.to_owned()];
    projects::create(tx, NewProject { name, system_tags, ..NewProject::default() }, &by.user_id, time::now())
}

fn require_report(tx: &Tx<'_>, id: &str) -> StoreResult<Task> {
    let task = Task::require(tx, id)?;
    if task.kind != REPORT {
        return Err(ApiError::reports_only("", &[("id", &id), ("type", &task.kind)]).into());
    }
    Ok(task)
}

/// Changes a report. A published one keeps its text; tags can always be changed.
async fn update(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let body = content(call);
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let report = require_report(tx, &task)?;
            if report.status != TaskStatus::Created && body.keys().any(|field| field != "tags") {
                return Err(forbidden_by_status(&report, "The report is published").into());
            }
            tasks::edit(tx, &report, &body, &by)
        })
        .await?;
    Ok(Value::Object(updated(fields)))
}

#[derive(Deserialize)]
struct Comment {
    #[serde(default)]
    comment: String,
}

async fn archive(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let Comment { comment } = call.arguments()?;
    let by = call.identity();
    let archived =
        state.store.write(move |tx| tasks::archive(tx, &require_report(tx, &task)?, "", &comment, &by)).await?;
    Ok(json!({"archived": i64::from(archived)}))
}

async fn unarchive(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let by = call.identity();
    let unarchived = state.store.write(move |tx| tasks::unarchive(tx, &require_report(tx, &task)?, &by)).await?;
    Ok(json!({"unarchived": i64::from(unarchived)}))
}

/// Publishes a report, from then on read-only.
async fn publish(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let Comment { comment } = call.arguments()?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let report = require_report(tx, &task)?;
            if report.status == TaskStatus::Published {
                return Err(forbidden_by_status(&report, "The report is published").into());
            }
            // A report goes from draft to published at once, which no other task may.
            let wanted = Transition { to: TaskStatus::Published, reason: "", message: &comment, force: true };
            tasks::publish(tx, &report, wanted, false, &by)
        })
        .await?;
    Ok(Value::Object(updated(fields)))
}

#[derive(Deserialize)]
struct Force {
    #[serde(default)]
    force: bool,
}

async fn delete(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let Force { force } = call.arguments()?;
    state.store.write(move |tx| tasks::delete(tx, &require_report(tx, &task)?, force, false)).await?;
    Ok(json!({"deleted": true}))
}

#[derive(Deserialize)]
struct Move {
    project: Option<String>,
    project_name: Option<String>,
}

/// Puts a report into the folder of another project; an empty project is the root.
async fn move_report(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let Move { project, project_name } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let report = require_report(tx, &task)?;
            let parent = match (project.as_deref(), project_name.as_deref()) {
                (None, None) => return Err(ApiError::missing_field("project").into()),
                (Some(""), _) | (None, Some("")) => None,
                (Some(id), _) => Some(Project::require(tx, id)?),
                (None, Some(name)) => {
                    let id = projects::find_or_create(tx, name, &by.user_id, time::now())?;
                    Some(Project::require(tx, &id)?)
                }
            };
            let folder = folder(tx, parent.as_ref(), &by)?;
            tasks::edit(tx, &report, &Row::from_iter([("project".to_owned(), Value::from(folder.as_str()))]), &by)?;
            Ok(json!({"project_id": folder}))
        })
        .await
}

async fn get_tags(state: &State) -> Reply {
    let tags = state.store.read(|connection| tasks::tags_of_type(connection, REPORT)).await?;
    Ok(json!({"tags": tags}))
}

/// Reports by filters, as `tasks.get_all_ex` finds tasks.
async fn get_all_ex(state: &State, call: Call) -> Reply {
    let mut body = call.body;
    body.insert("search_hidden".to_owned(), Value::Bool(true));
    let options = Options { expand: true, conditions: vec![tasks::is_report()], ignored: &["type"] };
    let found = state.store.read(move |connection| query::find(connection, &TASK, &body, &options)).await?;
    let mut answer = json!({"tasks": found.rows});
    if let Some(scroll_id) = found.scroll_id {
        answer["scroll_id"] = Value::from(scroll_id);
    }
    Ok(answer)
}

/// Tasks by filters, with what a report shows of them: plots, images, curves, each as the `events` service gives it.
async fn get_task_data(state: &State, mut call: Call) -> Reply {
    let mut asked = |name: &str| call.body.remove(name).filter(|value| !value.is_null());
    let wanted = [
        ("plots", asked("plots"), "get_multi_task_plots", "plots"),
        ("debug_images", asked("debug_images"), "debug_images", "metrics"),
        (
            "scalar_metrics_iter_histogram",
            asked("scalar_metrics_iter_histogram"),
            "multi_task_scalar_metrics_iter_histogram",
            "metrics",
        ),
    ];
    let mut body = call.body.clone();
    let size = body.get("page_size").and_then(Value::as_u64).unwrap_or(SHOWN_TASKS).min(SHOWN_TASKS);
    body.insert("page_size".to_owned(), Value::from(size));
    let options = Options { expand: true, ignored: &["model_events"], ..Options::default() };
    let found = state.store.read(move |connection| query::find(connection, &TASK, &body, &options)).await?;
    let ids: Vec<Value> = found.rows.iter().filter_map(|row| row.get("id").cloned()).collect();
    let mut answer = json!({"tasks": found.rows});
    for (name, request, action, shown) in wanted {
        let Some(request) = request else { continue };
        let Value::Object(request) = request else { return Err(ApiError::bad_field(name, "must be an object")) };
        answer[name] = if ids.is_empty() {
            json!({})
        } else {
            let body = request_for(action, request, &ids);
            let call = Call { body, ..call.clone() };
            let reply = events::dispatch(state, action, call).await;
            let mut data = reply.unwrap_or_else(|| Err(ApiError::not_supported("", &[("action", &action)])))?;
            data.get_mut(shown).map(Value::take).unwrap_or_default()
        };
    }
    Ok(answer)
}

/// The request for one kind of data of the tasks.
fn request_for(action: &str, mut request: Row, ids: &[Value]) -> Row {
    if action != "debug_images" {
        request.insert("tasks".to_owned(), Value::from(ids));
        return request;
    }
    let metrics = match request.remove("metrics") {
        Some(Value::Array(metrics)) if !metrics.is_empty() => metrics,
        Some(_) | None => vec![json!({})],
    };
    let each = ids.iter().flat_map(|id| {
        metrics.iter().map(move |metric| {
            let mut metric = metric.as_object().cloned().unwrap_or_default();
            metric.insert("task".to_owned(), id.clone());
            Value::Object(metric)
        })
    });
    let each: Vec<Value> = each.collect();
    request.insert("metrics".to_owned(), Value::from(each));
    request
}
