//! Creating and editing: from the fields of a request to columns and documents.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use super::{Document, Task, TaskUpdate, links, read_document};
use crate::auth::Identity;
use crate::store::query::Row;
use crate::store::{StoreResult, Tx};
use crate::{ids, time};

/// Every type that a task can have.
const TASK_TYPES: &[&str] = &[
    "training",
    "testing",
    "inference",
    "data_processing",
    "application",
    "monitor",
    "controller",
    "report",
    "optimizer",
    "service",
    "qc",
    "custom",
];

/// Fields whose edit says nothing about the task's progress.
const USER_FIELDS: &[&str] = &["name", "status_message", "comment", "created", "project", "tags", "system_tags"];

/// Characters of a name at least.
const SHORTEST_NAME: usize = 3;

/// Fields of `script` that are one line each.
const ONE_LINE_FIELDS: &[&str] =
    &["binary", "repository", "tag", "branch", "version_num", "entry_point", "working_dir"];

/// Makes a task of the fields of a request and returns its id. Unknown fields are ignored.
pub(crate) fn create(tx: &Tx<'_>, body: &Row, by: &Identity) -> StoreResult<String> {
    let required = |field| body.get(field).and_then(Value::as_str).ok_or_else(|| ApiError::missing_field(field));
    let (name, kind) = (checked_name(required("name")?)?, checked_type(required("type")?)?);
    let id = ids::new_id();
    let now = time::now();
    tx.prepare_cached(
        "INSERT INTO tasks (id, name, type, status, user, company, created, last_update, last_change,
         status_changed, last_changed_by) VALUES (?1, ?2, ?3, 'created', ?4, ?5, ?6, ?6, ?6, ?6, ?4)",
    )?
    .execute(params![id, name, kind, by.user_id, by.company, now])?;
    tx.prepare_cached("INSERT INTO task_documents (id, execution) VALUES (?, ?)")?.execute(params![
        id,
        json!({"parameters": {}, "model_desc": {}, "model_labels": {}, "artifacts": []}).to_string()
    ])?;
    let mut update = TaskUpdate::default();
    for (field, value) in body.iter().filter(|(field, _)| !matches!(field.as_str(), "name" | "type" | "status")) {
        collect(tx, &id, field, value, &mut update)?;
    }
    update.apply(tx, &id, &by.user_id)?;
    Ok(id)
}

/// Changes fields of a task and returns their new values; nothing when the request has no field to change.
pub(crate) fn edit(tx: &Tx<'_>, task: &Task, body: &Row, by: &Identity) -> StoreResult<Row> {
    let mut update = TaskUpdate::default();
    let mut is_progress = false;
    for (field, value) in body {
        let before = update.len();
        collect(tx, &task.id, field, value, &mut update)?;
        is_progress |= update.len() > before && !USER_FIELDS.contains(&field.as_str());
    }
    if update.is_empty() {
        return Ok(Row::new());
    }
    if is_progress {
        update.progress();
    }
    update.apply(tx, &task.id, &by.user_id)
}

fn collect(
    connection: &Connection,
    task: &str,
    field: &str,
    value: &Value,
    update: &mut TaskUpdate,
) -> StoreResult<()> {
    if value.is_null() {
        return Ok(());
    }
    match field {
        "name" => update.text("name", checked_name(text(field, value)?)?),
        "type" => update.text("type", checked_type(text(field, value)?)?),
        "status" => {
            let text = text(field, value)?;
            let status: TaskStatus = text.parse().map_err(|_| bad(field, value))?;
            update.text("status", status.as_str()).time("status_changed", time::now())
        }
        "comment" => update.text("comment", text(field, value)?),
        "report" => update.text("report", text(field, value)?),
        "report_assets" => update.texts("report_assets", texts(field, value)?),
        "status_message" => update.text("status_message", text(field, value)?),
        "status_reason" => update.text("status_reason", text(field, value)?),
        "parent" => match text(field, value)? {
            "" => update.unset("parent"),
            parent => update.text("parent", parent),
        },
        "project" => match text(field, value)? {
            "" => update.unset("project"),
            project => {
                if !links::project_exists(connection, project)? {
                    return Err(ApiError::fields_value("", &[("project", &project)]).into());
                }
                update.text("project", project)
            }
        },
        "created" => {
            let micros = value.as_str().and_then(time::from_iso).ok_or_else(|| bad(field, value))?;
            update.time("created", micros)
        }
        "tags" => update.texts("tags", texts(field, value)?),
        "system_tags" => update.texts("system_tags", texts(field, value)?),
        "runtime" => update.object("runtime", Value::Object(object(field, value)?.clone())),
        "container" => update.document(Document::Container, &Value::Object(object(field, value)?.clone())),
        "hyperparams" => update.document(Document::Hyperparams, &sections(field, value)?),
        "configuration" => update.document(Document::Configuration, &items(field, object(field, value)?, None)?),
        "script" => merge(connection, task, Document::Script, script(object(field, value)?), update)?,
        "models" => merge(connection, task, Document::Models, object(field, value)?.clone(), update)?,
        "output" => merge(connection, task, Document::Output, object(field, value)?.clone(), update)?,
        "output_dest" => merge(connection, task, Document::Output, one("destination", value), update)?,
        "error" | "output__error" => merge(connection, task, Document::Output, one("error", value), update)?,
        "execution" => {
            let mut execution = object(field, value)?.clone();
            match execution.remove("queue") {
                Some(Value::String(queue)) if queue.is_empty() => update.unset("queue"),
                Some(Value::String(queue)) => update.text("queue", queue),
                Some(_) | None => update,
            };
            if let Some(artifacts) = execution.get_mut("artifacts") {
                *artifacts = sorted_artifacts(artifacts.take());
            }
            merge(connection, task, Document::Execution, execution, update)?
        }
        // Unknown fields are ignored, as everywhere in the API.
        _ => update,
    };
    Ok(())
}

fn merge<'a>(
    connection: &Connection,
    task: &str,
    document: Document,
    changes: Map<String, Value>,
    update: &'a mut TaskUpdate,
) -> StoreResult<&'a mut TaskUpdate> {
    let mut whole = read_document(connection, task, document)?.as_object().cloned().unwrap_or_default();
    for (name, value) in changes {
        if value.is_null() {
            whole.remove(&name);
        } else {
            whole.insert(name, value);
        }
    }
    if document == Document::Script {
        for (field, default) in [("binary", "python"), ("repository", ""), ("entry_point", "")] {
            whole.entry(field).or_insert_with(|| Value::from(default));
        }
    }
    let whole = Value::Object(whole);
    // Two fields of a request may go into one document (`output` and `output_dest`): the second builds on the
    // first, so what is collected is written right away to be read again.
    super::write_document(connection, task, document, &whole.to_string())?;
    Ok(update.document(document, &whole))
}

fn one(name: &str, value: &Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.clone())])
}

fn script(fields: &Map<String, Value>) -> Map<String, Value> {
    let mut script = fields.clone();
    for field in ONE_LINE_FIELDS {
        if let Some(Value::String(text)) = script.get_mut(*field) {
            *text = text.trim().to_owned();
        }
    }
    script
}

/// `{section: {name: {section, name, value, type, description}}}`, each value a text.
fn sections(field: &str, value: &Value) -> Result<Value, ApiError> {
    let mut sections = Map::new();
    for (section, names) in object(field, value)? {
        sections.insert(section.clone(), items(field, object(field, names)?, Some(section))?);
    }
    Ok(Value::Object(sections))
}

/// `{name: {name, value, type, description}}`.
fn items(field: &str, names: &Map<String, Value>, section: Option<&str>) -> Result<Value, ApiError> {
    let mut items = Map::new();
    for (name, item) in names {
        if name.is_empty() {
            return Err(ApiError::bad_field(field, "a name must not be empty"));
        }
        let mut item = object(field, item)?.clone();
        item.entry("name").or_insert_with(|| Value::from(name.as_str()));
        if let Some(section) = section {
            item.entry("section").or_insert_with(|| Value::from(section));
        }
        normalise_item(&mut item);
        items.insert(name.clone(), Value::Object(item));
    }
    Ok(Value::Object(items))
}

/// Makes the value of a parameter a text and leaves out what is null.
pub(crate) fn normalise_item(item: &mut Map<String, Value>) {
    item.retain(|_, value| !value.is_null());
    if let Some(value) = item.get_mut("value")
        && !value.is_string()
    {
        *value = Value::String(value.to_string());
    }
}

/// Artifacts in the order of their keys, each key and mode once, the last one counting.
pub(crate) fn sorted_artifacts(artifacts: Value) -> Value {
    let list = match artifacts {
        Value::Array(list) => list,
        // The form of the database of a stock server, keyed by something that means nothing to clients.
        Value::Object(map) => map.into_iter().map(|(_, artifact)| artifact).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let mut sorted = std::collections::BTreeMap::new();
    for artifact in list {
        sorted.insert(artifact_id(&artifact), artifact);
    }
    sorted.into_values().collect()
}

/// What tells artifacts of a task apart: key and mode.
pub(crate) fn artifact_id(artifact: &Value) -> (String, String) {
    let text = |field, default: &str| artifact.get(field).and_then(Value::as_str).unwrap_or(default).to_owned();
    (text("key", ""), text("mode", "output"))
}

fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.chars().count() < SHORTEST_NAME {
        return Err(ApiError::data_validation("", &[("name", &"String value is too short")]));
    }
    Ok(name.to_owned())
}

fn checked_type(kind: &str) -> Result<String, ApiError> {
    if !TASK_TYPES.contains(&kind) {
        return Err(ApiError::bad_field("type", &format!("must be one of {}", TASK_TYPES.join(", "))));
    }
    Ok(kind.to_owned())
}

fn bad(field: &str, value: &Value) -> ApiError {
    ApiError::bad_field(field, &format!("impossible value {value}"))
}

fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| bad(field, value))
}

fn object<'a>(field: &str, value: &'a Value) -> Result<&'a Map<String, Value>, ApiError> {
    value.as_object().ok_or_else(|| bad(field, value))
}

fn texts(field: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    let list = value.as_array().ok_or_else(|| bad(field, value))?;
    list.iter().map(|item| text(field, item).map(str::to_owned)).collect()
}
