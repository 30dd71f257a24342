//! Hyperparameters, configuration objects, runtime properties.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::Snapshot;
use crate::store::StoreResult;
use crate::store::query;
use crate::store::tasks::{self, Document, TASK, Task, TaskUpdate, forbidden_by_status, normalise_item, read_document};

/// Section that may be edited in any status; it says nothing about how the task runs.
const PROPERTIES: &str = "properties";

#[derive(Deserialize)]
struct ManyTasks {
    tasks: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Replace {
    #[default]
    None,
    Section,
    All,
}

/// The parameters of tasks, sorted.
pub(super) async fn get_hyper_params(state: &State, call: &Call) -> Reply {
    let ManyTasks { tasks } = call.arguments()?;
    let params = state
        .store
        .read(move |connection| {
            let mut params = Vec::with_capacity(tasks.len());
            for task in tasks {
                let sections = read_map(connection, &task, Document::Hyperparams)?;
                // Maps are sorted by their keys.
                let items: Vec<Value> = sections.into_values().flat_map(values_of).collect();
                params.push(json!({"task": task, "hyperparams": items}));
            }
            Ok(params)
        })
        .await?;
    Ok(json!({"params": params}))
}

fn values_of(names: Value) -> Vec<Value> {
    match names {
        Value::Object(names) => names.into_iter().map(|(_, item)| item).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Vec::new(),
    }
}

#[derive(Deserialize)]
struct EditHyperParams {
    task: String,
    hyperparams: Vec<Map<String, Value>>,
    #[serde(default)]
    replace_hyperparams: Replace,
    #[serde(default)]
    force: bool,
}

/// Sets parameters: those given, their whole sections, or all there are.
pub(super) async fn edit_hyper_params(state: &State, call: &Call) -> Reply {
    let EditHyperParams { task, hyperparams, replace_hyperparams, force } = call.arguments()?;
    let by = call.identity();
    let items = hyperparams.into_iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            let sections: Vec<&str> = items.iter().map(|(section, ..)| section.as_str()).collect();
            check_editable(&task, &sections, force)?;
            let mut all = read_map(tx, &task.id, Document::Hyperparams)?;
            match replace_hyperparams {
                Replace::None => {}
                Replace::Section => all.retain(|section, _| !sections.contains(&section.as_str())),
                // What may be edited in any status is not what is replaced.
                Replace::All => all.retain(|section, _| section == PROPERTIES),
            }
            for (section, name, item) in items {
                let names = all.entry(section).or_insert_with(|| json!({}));
                names[name] = Value::Object(item);
            }
            save(tx, &task, Document::Hyperparams, all, &by.user_id)
        })
        .await?;
    Ok(json!({"updated": 1}))
}

fn parameter(mut item: Map<String, Value>) -> Result<(String, String, Map<String, Value>), ApiError> {
    let required = |field: &str| match item.get(field).and_then(Value::as_str) {
        Some("") | None => Err(ApiError::missing_field(field)),
        Some(text) => Ok(text.to_owned()),
    };
    let (mut section, name) = (required("section")?, required("name")?);
    if section.eq_ignore_ascii_case(PROPERTIES) {
        section.make_ascii_lowercase();
        item.insert("section".to_owned(), Value::from(section.as_str()));
    }
    normalise_item(&mut item);
    Ok((section, name, item))
}

#[derive(Deserialize)]
struct ParameterKey {
    section: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct DeleteHyperParams {
    task: String,
    hyperparams: Vec<ParameterKey>,
    #[serde(default)]
    force: bool,
}

/// Deletes parameters, or whole sections where no name is given.
pub(super) async fn delete_hyper_params(state: &State, call: &Call) -> Reply {
    let DeleteHyperParams { task, hyperparams, force } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            let sections: Vec<&str> = hyperparams.iter().map(|key| key.section.as_str()).collect();
            check_editable(&task, &sections, force)?;
            let mut all = read_map(tx, &task.id, Document::Hyperparams)?;
            for key in &hyperparams {
                let Some(name) = &key.name else {
                    all.remove(&key.section);
                    continue;
                };
                if let Some(Value::Object(names)) = all.get_mut(&key.section) {
                    names.remove(name);
                    if names.is_empty() {
                        all.remove(&key.section);
                    }
                }
            }
            save(tx, &task, Document::Hyperparams, all, &by.user_id)
        })
        .await?;
    Ok(json!({"deleted": 1}))
}

#[derive(Deserialize)]
struct GetConfigurations {
    tasks: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    skip_empty: Option<bool>,
}

/// The configuration objects of tasks, all or those of some names.
pub(super) async fn get_configurations(state: &State, call: &Call) -> Reply {
    let GetConfigurations { tasks, names, .. } = call.arguments()?;
    let configurations = state
        .store
        .read(move |connection| {
            let mut configurations = Vec::with_capacity(tasks.len());
            for task in tasks {
                let all = read_map(connection, &task, Document::Configuration)?;
                let wanted = all.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name));
                let items: Vec<Value> = wanted.map(|(_, item)| item).collect();
                configurations.push(json!({"task": task, "configuration": items}));
            }
            Ok(configurations)
        })
        .await?;
    Ok(json!({"configurations": configurations}))
}

/// The names of the configuration objects of tasks.
pub(super) async fn get_configuration_names(state: &State, call: &Call) -> Reply {
    let GetConfigurations { tasks, skip_empty, .. } = call.arguments()?;
    let skip_empty = skip_empty.unwrap_or(true);
    let configurations = state
        .store
        .read(move |connection| {
            let mut configurations = Vec::with_capacity(tasks.len());
            for task in tasks {
                let all = read_map(connection, &task, Document::Configuration)?;
                let is_empty = |item: &Value| item.get("value").and_then(Value::as_str).unwrap_or_default().is_empty();
                let names = all.into_iter().filter(|(_, item)| !(skip_empty && is_empty(item)));
                let names: Vec<String> = names.map(|(name, _)| name).collect();
                configurations.push(json!({"task": task, "names": names}));
            }
            Ok(configurations)
        })
        .await?;
    Ok(json!({"configurations": configurations}))
}

#[derive(Deserialize)]
struct EditConfiguration {
    task: String,
    configuration: Vec<Map<String, Value>>,
    #[serde(default)]
    replace_configuration: bool,
    #[serde(default)]
    force: bool,
}

/// Sets configuration objects: those given, or all there are.
pub(super) async fn edit_configuration(state: &State, call: &Call) -> Reply {
    let EditConfiguration { task, configuration, replace_configuration, force } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            check_editable(&task, &[], force)?;
            let mut all = read_map(tx, &task.id, Document::Configuration)?;
            if replace_configuration {
                all.clear();
            }
            for mut item in configuration {
                let name = match item.get("name").and_then(Value::as_str) {
                    Some("") | None => return Err(ApiError::missing_field("name").into()),
                    Some(name) => name.to_owned(),
                };
                normalise_item(&mut item);
                all.insert(name, Value::Object(item));
            }
            save(tx, &task, Document::Configuration, all, &by.user_id)
        })
        .await?;
    Ok(json!({"updated": 1}))
}

#[derive(Deserialize)]
struct DeleteConfiguration {
    task: String,
    configuration: Vec<String>,
    #[serde(default)]
    force: bool,
}

/// Deletes configuration objects.
pub(super) async fn delete_configuration(state: &State, call: &Call) -> Reply {
    let DeleteConfiguration { task, configuration, force } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            check_editable(&task, &[], force)?;
            let mut all = read_map(tx, &task.id, Document::Configuration)?;
            all.retain(|name, _| !configuration.contains(name));
            save(tx, &task, Document::Configuration, all, &by.user_id)
        })
        .await?;
    Ok(json!({"deleted": 1}))
}

#[derive(Deserialize)]
struct EditRuntime {
    task: String,
    #[serde(default)]
    add_or_update: Map<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
}

/// Sets and removes runtime properties, in any status.
pub(super) async fn edit_runtime(state: &State, call: &Call) -> Reply {
    let EditRuntime { task, add_or_update, remove } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            let found = query::get(tx, &TASK, &task, &["runtime"])?;
            let mut found = found.ok_or_else(|| tasks::unknown_task(&task))?;
            let mut runtime = match found.remove("runtime") {
                Some(Value::Object(runtime)) => runtime,
                Some(_) | None => Map::new(),
            };
            runtime.retain(|name, _| !remove.contains(name));
            runtime.extend(add_or_update);
            let mut update = TaskUpdate::default();
            update.object("runtime", Value::Object(runtime)).progress();
            update.apply(tx, &task, &by.user_id)
        })
        .await?;
    Ok(json!({"updated": 1}))
}

/// Parameters may be changed in a draft; with force also while it waits or runs; properties always.
fn check_editable(task: &Task, sections: &[&str], force: bool) -> Result<(), ApiError> {
    let only_properties =
        !sections.is_empty() && sections.iter().all(|section| section.eq_ignore_ascii_case(PROPERTIES));
    let is_live = matches!(task.status, TaskStatus::Queued | TaskStatus::InProgress);
    if only_properties || task.status == TaskStatus::Created || (force && is_live) {
        return Ok(());
    }
    Err(forbidden_by_status(task, "The task can not be edited in this status"))
}

fn read_map(connection: &Snapshot, task: &str, document: Document) -> StoreResult<Map<String, Value>> {
    Ok(match read_document(connection, task, document)? {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    })
}

fn save(
    tx: &crate::store::Tx<'_>,
    task: &Task,
    document: Document,
    map: Map<String, Value>,
    user: &str,
) -> StoreResult<()> {
    let mut update = TaskUpdate::default();
    update.quiet_document(document, &Value::Object(map)).progress();
    update.apply(tx, &task.id, user)?;
    Ok(())
}
