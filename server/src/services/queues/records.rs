//! Queues without their entries.

use protocols::clearml::envelope::ApiVersion;
use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::OneQueue;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::query::{self, Options, Row};
use crate::store::queues::{self, NewQueue, QUEUE};
use crate::store::tasks;
use crate::store::workers;
use crate::time;

/// Callers of this version and before see no metadata.
const NO_METADATA: ApiVersion = ApiVersion::new(2, 16);

#[derive(Deserialize)]
struct Create {
    name: String,
    display_name: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    system_tags: Vec<String>,
    #[serde(default)]
    metadata: Value,
}

/// Makes a queue.
pub(super) async fn create(state: &State, call: &Call) -> Reply {
    let Create { name, display_name, tags, system_tags, metadata } = call.arguments()?;
    let metadata = metadata_map(metadata)?;
    let user = call.identity().user_id;
    let queue = NewQueue { name, display_name, tags, system_tags, metadata, user };
    let id = state.store.write(move |tx| queues::create(tx, queue)).await?;
    Ok(json!({"id": id}))
}

/// Renames a queue, changes its tags or metadata.
pub(super) async fn update(state: &State, call: &Call) -> Reply {
    let OneQueue { queue } = call.arguments()?;
    let mut fields = call.body.clone();
    if let Some(metadata) = fields.get_mut("metadata").filter(|metadata| !metadata.is_null()) {
        *metadata = Value::Object(metadata_map(metadata.take())?);
    }
    let id = queue.clone();
    let fields = state.store.write(move |tx| queues::update(tx, &id, fields)).await?;
    let fields = fields.ok_or_else(|| unknown(&queue))?;
    Ok(json!({"updated": 1, "fields": fields}))
}

#[derive(Deserialize)]
struct Delete {
    queue: String,
    #[serde(default)]
    force: bool,
}

/// Deletes a queue; with `force` also one that has entries. Their tasks return to the status before, and so do those
/// that were popped and never started.
pub(super) async fn delete(state: &State, call: &Call) -> Reply {
    let Delete { queue, force } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            queues::require(tx, &queue)?;
            if !force && queues::entry_count(tx, &queue)? > 0 {
                return Err(ApiError::queue_not_empty("use force=true to delete", &[("id", &queue)]).into());
            }
            let reason = format!("Queue {queue} was deleted");
            tasks::clear_queue(tx, &queue, &reason, &by)?;
            tasks::leave_popped(tx, &queue, &reason, &by)?;
            queues::delete(tx, &queue)
        })
        .await?;
    Ok(json!({"deleted": 1}))
}

/// One queue with its entries.
pub(super) async fn get_by_id(state: &State, call: &Call) -> Reply {
    let OneQueue { queue } = call.arguments()?;
    let id = queue.clone();
    let found = state.store.read(move |connection| query::get(connection, &QUEUE, &id, &[])).await?;
    let mut found = found.ok_or_else(|| unknown(&queue))?;
    shape(call.version, max_entries(&call.body), &mut found);
    Ok(json!({"queue": found}))
}

/// Queues by filters.
pub(super) async fn get_all(state: &State, call: Call) -> Reply {
    let (version, limit) = (call.version, max_entries(&call.body));
    let body = call.body;
    let options = Options { ignored: &["max_task_entries"], ..Options::default() };
    let mut found = state.store.read(move |connection| query::find(connection, &QUEUE, &body, &options)).await?;
    found.rows.iter_mut().for_each(|row| shape(version, limit, row));
    let mut answer = json!({"queues": found.rows});
    if let Some(scroll_id) = found.scroll_id {
        answer["scroll_id"] = Value::from(scroll_id);
    }
    Ok(answer)
}

/// Queues with the names of their tasks, and the workers that serve them.
pub(super) async fn get_all_ex(state: &State, call: Call) -> Reply {
    let (version, limit) = (call.version, max_entries(&call.body));
    let mut body = call.body;
    // The members of joined objects are always given: the fields themselves are enough to ask for.
    if let Some(Value::Array(only)) = body.get_mut("only_fields") {
        for path in only {
            if path.as_str().is_some_and(|path| path.starts_with("entries.")) {
                *path = json!("entries");
            }
        }
    }
    let options = Options { expand: true, ignored: &["max_task_entries"], ..Options::default() };
    let rows = state
        .store
        .read(move |connection| {
            let mut rows = query::find(connection, &QUEUE, &body, &options)?.rows;
            let workers = workers::list(connection, time::now())?;
            for row in &mut rows {
                shape(version, limit, row);
                for entry in row.get_mut("entries").and_then(Value::as_array_mut).into_iter().flatten() {
                    let task = entry["task"].take();
                    let name = tasks::name_of(connection, task.as_str().unwrap_or_default())?;
                    entry["task"] = json!({"id": task, "name": name});
                }
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
                let serving = workers.iter().filter(|worker| worker.queues.iter().any(|queue| queue == id));
                let serving: Vec<Value> = serving
                    .map(|worker| json!({"name": worker.id, "ip": worker.ip, "key": worker.key, "task": worker.task}))
                    .collect();
                row.insert("workers".to_owned(), Value::Array(serving));
            }
            Ok(rows)
        })
        .await?;
    Ok(json!({"queues": rows}))
}

/// The queue that is taken when none is named.
pub(super) async fn get_default(state: &State) -> Reply {
    let (id, name) = state.store.read(queues::default_queue).await?;
    Ok(json!({"id": id, "name": name}))
}

#[derive(Deserialize)]
struct AddMetadata {
    queue: String,
    metadata: Value,
    #[serde(default)]
    replace_metadata: bool,
}

/// Adds metadata, or replaces all of it.
pub(super) async fn add_or_update_metadata(state: &State, call: &Call) -> Reply {
    let AddMetadata { queue, metadata, replace_metadata } = call.arguments()?;
    let metadata = metadata_map(metadata)?;
    set_metadata(state, queue, move |known| {
        if replace_metadata {
            known.clear();
        }
        known.extend(metadata);
    })
    .await
}

#[derive(Deserialize)]
struct DeleteMetadata {
    queue: String,
    keys: Vec<String>,
}

/// Takes metadata away.
pub(super) async fn delete_metadata(state: &State, call: &Call) -> Reply {
    let DeleteMetadata { queue, keys } = call.arguments()?;
    set_metadata(state, queue, move |known| known.retain(|key, _| !keys.contains(key))).await
}

async fn set_metadata(
    state: &State,
    queue: String,
    change: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
) -> Reply {
    let id = queue.clone();
    if state.store.write(move |tx| queues::set_metadata(tx, &id, change)).await? {
        return Ok(json!({"updated": 1}));
    }
    Err(unknown(&queue))
}

/// Metadata as a list of `{key, type, value}` or as a map of them.
fn metadata_map(metadata: Value) -> Result<Map<String, Value>, ApiError> {
    match metadata {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item.get("key").and_then(Value::as_str) {
                Some(key) => Ok((key.to_owned(), item.clone())),
                None => Err(ApiError::missing_field("key")),
            })
            .collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(ApiError::bad_field("metadata", "must be a list of objects"))
        }
    }
}

fn max_entries(body: &Row) -> Option<usize> {
    body.get("max_task_entries").and_then(Value::as_u64).map(|limit| limit as usize)
}

fn shape(version: ApiVersion, max_entries: Option<usize>, queue: &mut Row) {
    if version <= NO_METADATA
        && let Some(metadata) = queue.get_mut("metadata")
    {
        *metadata = json!([]);
    }
    if let (Some(limit), Some(Value::Array(entries))) = (max_entries, queue.get_mut("entries")) {
        entries.truncate(limit);
    }
}

fn unknown(queue: &str) -> ApiError {
    ApiError::invalid_queue_id("", &[("id", &queue), ("company", &crate::company::COMPANY)])
}
