//! Reading models.

use protocols::clearml::envelope::ApiVersion;
use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::models::{MODEL, unknown_model};
use crate::store::projects;
use crate::store::query::{self, Options, Row};

/// From this version on metadata is an object; before, clients are given an empty list.
const WITH_METADATA_OBJECTS: ApiVersion = ApiVersion::new(2, 17);

/// `models.get_all`, and with `expand` its `_ex` form.
pub(super) async fn get_all(state: &State, call: Call, expand: bool) -> Reply {
    let version = call.version;
    let mut body = call.body;
    let with_children = body.remove("include_subprojects").is_some_and(|flag| flag == true);
    state
        .store
        .read(move |connection| {
            if with_children && let Some(project) = body.get("project") {
                body.insert("project".to_owned(), projects::with_children(connection, project)?);
            }
            let options = Options { expand, ..Options::default() };
            let found = query::find(connection, &MODEL, &body, &options)?;
            let models: Vec<Row> = found.rows.into_iter().map(|row| for_version(row, version)).collect();
            let mut reply = json!({"models": models});
            if let Some(scroll_id) = found.scroll_id {
                reply["scroll_id"] = scroll_id.into();
            }
            Ok(reply)
        })
        .await
}

#[derive(Debug, Deserialize)]
struct GetById {
    model: String,
    #[serde(default)]
    only_fields: Option<Vec<String>>,
}

/// `models.get_by_id`.
pub(super) async fn get_by_id(state: &State, call: &Call) -> Reply {
    let request: GetById = call.arguments()?;
    let version = call.version;
    state
        .store
        .read(move |connection| {
            let only: Vec<&str> = request.only_fields.iter().flatten().map(String::as_str).collect();
            let found = query::get(connection, &MODEL, &request.model, &only)?;
            let model = found.ok_or_else(|| unknown_model(&request.model))?;
            Ok(json!({"model": for_version(model, version)}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct GetByTaskId {
    task: String,
}

/// `models.get_by_task_id`, for old clients: the newest model that the task made.
pub(super) async fn get_by_task_id(state: &State, call: &Call) -> Reply {
    let request: GetByTaskId = call.arguments()?;
    let version = call.version;
    state
        .store
        .read(move |connection| {
            let body = Row::from_iter([
                ("task".to_owned(), Value::from(request.task.as_str())),
                ("order_by".to_owned(), json!(["-created"])),
                ("page_size".to_owned(), 1.into()),
            ]);
            let found = query::find(connection, &MODEL, &body, &Options::default())?;
            let model = found.rows.into_iter().next();
            let model = model.ok_or_else(|| ApiError::invalid_model_id("", &[("task", &request.task)]))?;
            Ok(json!({"model": for_version(model, version)}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct GetFrameworks {
    #[serde(default)]
    projects: Vec<String>,
}

/// `models.get_frameworks`.
pub(super) async fn get_frameworks(state: &State, call: &Call) -> Reply {
    let request: GetFrameworks = call.arguments()?;
    state
        .store
        .read(move |connection| {
            let scope = projects::Scope::of(connection, &request.projects, true)?;
            Ok(json!({"frameworks": projects::frameworks(connection, &scope)?}))
        })
        .await
}

fn for_version(mut model: Row, version: ApiVersion) -> Row {
    if version < WITH_METADATA_OBJECTS
        && let Some(metadata) = model.get_mut("metadata")
    {
        *metadata = json!([]);
    }
    model
}
