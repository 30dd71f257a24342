//! Queues without their entries.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::super::{StoreResult, Tx};
use crate::company::COMPANY;
use crate::signals::Change;
use crate::store::time_series::{self, Shift};
use crate::{ids, time};

/// System tag of the queue that is taken when none is named.
const DEFAULT_TAG: &str = "default";

/// Characters of a name at least.
const SHORTEST_NAME: usize = 3;

/// What a new queue is made of.
#[derive(Debug, Default)]
pub(crate) struct NewQueue {
    /// Unique.
    pub(crate) name: String,
    /// Shown instead of the name.
    pub(crate) display_name: Option<String>,
    /// Tags of users.
    pub(crate) tags: Vec<String>,
    /// Tags of programs.
    pub(crate) system_tags: Vec<String>,
    /// Key to `{key, type, value}`.
    pub(crate) metadata: Map<String, Value>,
    /// Id of the user who makes it.
    pub(crate) user: String,
}

/// Makes the queues that do not exist; the first becomes the default one if there is none.
pub(crate) fn bootstrap(tx: &Tx<'_>, names: &[String]) -> StoreResult<()> {
    let mut default_exists = default_ids(tx)?.into_iter().next().is_some();
    for name in names {
        if by_name(tx, name)?.is_some() {
            continue;
        }
        let system_tags = if default_exists { Vec::new() } else { vec![DEFAULT_TAG.to_owned()] };
        default_exists = true;
        create(tx, NewQueue { name: name.clone(), system_tags, ..NewQueue::default() })?;
    }
    Ok(())
}

/// Makes a queue and returns its id.
pub(crate) fn create(tx: &Tx<'_>, queue: NewQueue) -> StoreResult<String> {
    let name = checked_name(&queue.name)?;
    if by_name(tx, &name)?.is_some() {
        return Err(duplicate(&name).into());
    }
    let (id, now) = (ids::new_id(), time::now());
    tx.prepare_cached(
        "INSERT INTO queues (id, name, display_name, company, user, created, tags, system_tags, metadata)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        id,
        name,
        queue.display_name,
        COMPANY,
        queue.user,
        now,
        tags_text(queue.tags),
        tags_text(queue.system_tags),
        Value::Object(queue.metadata).to_string(),
    ])?;
    time_series::record_queue(tx, &id, &[(Shift::Empty, now)])?;
    Ok(id)
}

/// The id of the queue of this name, which is made if there is none.
pub(crate) fn find_or_create(tx: &Tx<'_>, name: &str, user: &str) -> StoreResult<String> {
    match by_name(tx, name)? {
        Some(id) => Ok(id),
        None => create(tx, NewQueue { name: name.to_owned(), user: user.to_owned(), ..NewQueue::default() }),
    }
}

/// The id and name of the default queue.
pub(crate) fn default_queue(connection: &Connection) -> StoreResult<(String, String)> {
    let mut found = default_ids(connection)?;
    match found.len() {
        0 => Err(ApiError::no_default_queue("", &[]).into()),
        1 => Ok(found.remove(0)),
        _ => Err(ApiError::multiple_default_queues("", &[]).into()),
    }
}

/// Whether there is such a queue.
fn exists(connection: &Connection, id: &str) -> StoreResult<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM queues WHERE id = ?")?.exists([id])?)
}

/// Refuses an id that is no queue.
pub(crate) fn require(connection: &Connection, id: &str) -> StoreResult<()> {
    if exists(connection, id)? {
        return Ok(());
    }
    Err(ApiError::invalid_queue_id("", &[("id", &id), ("company", &COMPANY)]).into())
}

/// Changes the fields that are given and returns their new values; `None` when there is no such queue.
pub(crate) fn update(tx: &Tx<'_>, id: &str, mut fields: Map<String, Value>) -> StoreResult<Option<Map<String, Value>>> {
    if !exists(tx, id)? {
        return Ok(None);
    }
    fields.retain(|name, value| {
        matches!(name.as_str(), "name" | "display_name" | "tags" | "system_tags" | "metadata") && !value.is_null()
    });
    for (name, value) in &mut fields {
        let text = match (name.as_str(), &*value) {
            ("name", Value::String(text)) => {
                let text = checked_name(text)?;
                if by_name(tx, &text)?.is_some_and(|other| other != id) {
                    return Err(duplicate(&text).into());
                }
                text
            }
            ("display_name", Value::String(text)) => text.clone(),
            ("tags" | "system_tags", Value::Array(tags)) => {
                let tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                tags_text(tags)
            }
            ("metadata", Value::Object(_)) => value.to_string(),
            (name, value) => return Err(ApiError::bad_field(name, &format!("impossible value {value}")).into()),
        };
        // The names are the five constants above.
        tx.execute(&format!("UPDATE queues SET {name} = ? WHERE id = ?"), params![text, id])?;
        *value = if value.is_string() { Value::String(text) } else { serde_json::from_str(&text)? };
    }
    Ok(Some(fields))
}

/// Adds metadata, or replaces all of it, or takes keys away; returns whether there is such a queue.
pub(crate) fn set_metadata(tx: &Tx<'_>, id: &str, change: impl FnOnce(&mut Map<String, Value>)) -> StoreResult<bool> {
    let text: Option<String> =
        tx.prepare_cached("SELECT metadata FROM queues WHERE id = ?")?.query_row([id], |row| row.get(0)).optional()?;
    let Some(text) = text else { return Ok(false) };
    let mut metadata: Map<String, Value> = serde_json::from_str(&text)?;
    change(&mut metadata);
    tx.prepare_cached("UPDATE queues SET metadata = ? WHERE id = ?")?
        .execute(params![Value::Object(metadata).to_string(), id])?;
    Ok(true)
}

/// Deletes a queue and its entries.
pub(crate) fn delete(tx: &Tx<'_>, id: &str) -> StoreResult<()> {
    tx.execute("DELETE FROM queue_entries WHERE queue = ?", [id])?;
    tx.execute("DELETE FROM queues WHERE id = ?", [id])?;
    tx.changed(Change::Queue(id.to_owned()));
    Ok(())
}

fn by_name(connection: &Connection, name: &str) -> StoreResult<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT id FROM queues WHERE name = ?")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

fn default_ids(connection: &Connection) -> StoreResult<Vec<(String, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name FROM queues WHERE EXISTS (SELECT 1 FROM json_each(system_tags) WHERE value = ?) LIMIT 2",
    )?;
    let rows = statement.query_map([DEFAULT_TAG], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn duplicate(name: &str) -> ApiError {
    ApiError::expected_unique_data("", &[("name", &name), ("company", &COMPANY)])
}

fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.chars().count() < SHORTEST_NAME {
        return Err(ApiError::data_validation("", &[("name", &"String value is too short")]));
    }
    Ok(name.to_owned())
}

fn tags_text(mut tags: Vec<String>) -> String {
    tags.sort();
    tags.dedup();
    Value::from(tags).to_string()
}
