//! Rows of the queues and their entries.

mod entries;
mod records;

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};

pub(crate) use entries::{
    Entry, add, clear, entry_count, head, move_entry, pop, remove, remove_from_all, remove_from_others,
};
pub(crate) use records::{
    NewQueue, bootstrap, create, default_queue, delete, find_or_create, require, set_metadata, update,
};

use super::StoreResult;
use crate::store::query::{Entity, Field, Reference, Row};
use crate::time;

/// Queues as the API shows them.
pub(crate) static QUEUE: Entity = Entity {
    name: "queue",
    from: "queues q",
    fields: &[
        Field::text("id", "q.id").list().required(),
        Field::text("name", "q.name").pattern().required(),
        Field::text("display_name", "q.display_name").pattern(),
        Field::text("company", "q.company"),
        Field::text("user", "q.user"),
        Field::time("created", "q.created").range().required(),
        Field::time("last_update", "q.last_update").datetime(),
        Field::texts("tags", "q.tags").list(),
        Field::texts("system_tags", "q.system_tags").list(),
        Field::json("metadata", "q.metadata").list(),
        Field::filled("entries"),
    ],
    references: &[
        Reference { field: "user", table: "users", columns: &["name"] },
        Reference { field: "company", table: "companies", columns: &["name"] },
    ],
    hidden: Some("EXISTS (SELECT 1 FROM json_each(q.system_tags) WHERE value = 'k8s-glue')"),
    reveals: &["id", "name"],
    fill: Some(fill_entries),
    ..Entity::EMPTY
};

fn fill_entries(connection: &Connection, _paths: &[Vec<String>], rows: &mut [Row]) -> StoreResult<()> {
    for row in rows {
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
        let entries: Vec<Value> = entries::list(connection, id)?.iter().map(Entry::to_json).collect();
        row.insert("entries".to_owned(), Value::Array(entries));
    }
    Ok(())
}

impl Entry {
    /// The entry as the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({"task": self.task, "added": time::to_iso(self.added)})
    }
}

/// Name and display name of a queue.
pub(crate) fn names_of(connection: &Connection, id: &str) -> StoreResult<Option<(String, Option<String>)>> {
    let mut statement = connection.prepare_cached("SELECT name, display_name FROM queues WHERE id = ?")?;
    Ok(statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
