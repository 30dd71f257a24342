//! Rows of the models.

mod metadata;
mod write;

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _};

pub(crate) use metadata::{add_metadata, delete_metadata, metadata_object};
pub(crate) use write::{
    NewModel, change_tags, create, delete, has_task, move_to, newest_of_task, publish, set_archived, task_of_new_model,
};

use super::StoreResult;
use crate::company::COMPANY;
use crate::store::events;
use crate::store::query::{Entity, Expression, Field, Reference, Row};
use serde_json::Value;

/// System tag of models that are put away.
pub(crate) const ARCHIVED: &str = "archived";

/// Models as the API shows them.
pub(crate) static MODEL: Entity = Entity {
    name: "model",
    from: "models m",
    fields: &[
        Field::text("id", "m.id").list().required(),
        Field::text("name", "m.name").pattern().required(),
        Field::text("parent", "m.parent").list(),
        Field::text("project", "m.project").list(),
        Field::text("task", "m.task").list(),
        Field::text("user", "m.user").list().required(),
        Field::text("company", "m.company").required(),
        Field::time("created", "m.created").range().required(),
        Field::time("last_update", "m.last_update").datetime().required(),
        Field::time("last_change", "m.last_change").datetime().required(),
        Field::text("last_changed_by", "m.last_changed_by"),
        Field::integer("last_iteration", "m.last_iteration").range().required(),
        Field::text("comment", "m.comment").pattern(),
        Field::text("uri", "m.uri").list(),
        Field::text("framework", "m.framework").list(),
        Field::boolean("ready", "m.ready").equal().required(),
        Field::texts("tags", "m.tags").list(),
        Field::texts("system_tags", "m.system_tags").list(),
        Field::json("design", "m.design"),
        Field::json("labels", "m.labels"),
        Field::json("ui_cache", "m.ui_cache"),
        Field::json("metadata", "m.metadata").list(),
        Field::filled("last_metrics").range(),
        Field::filled("unique_metrics").unasked(),
    ],
    references: &[
        Reference { field: "user", table: "users", columns: &["name"] },
        Reference { field: "company", table: "companies", columns: &["name"] },
        Reference { field: "project", table: "projects", columns: &["name", "basename"] },
        Reference { field: "parent", table: "models", columns: &["name"] },
        Reference { field: "task", table: "tasks", columns: &["name", "type", "status"] },
    ],
    computed: Some(computed),
    fill: Some(fill_metrics),
    ..Entity::EMPTY
};

fn computed(path: &[String]) -> Option<Expression> {
    events::last_metric_sql("m.id", path)
}

fn fill_metrics(connection: &Connection, paths: &[Vec<String>], rows: &mut [Row]) -> StoreResult<()> {
    let ids: Vec<String> =
        rows.iter().map(|row| row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()).collect();
    let metrics = events::task_metrics(connection, &ids)?;
    for (id, row) in ids.iter().zip(rows) {
        if let Some(found) = metrics.get(id) {
            for path in paths {
                found.copy_to(row, path);
            }
        } else if paths.iter().any(|path| path.first().is_some_and(|name| name == "last_metrics")) {
            row.insert("last_metrics".to_owned(), Value::Object(Row::new()));
        }
    }
    Ok(())
}

/// What decisions about a model are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) is_published: bool,
    pub(crate) uri: Option<String>,
    /// The task that made it, or a tombstone.
    pub(crate) task: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) metadata: String,
}

impl Model {
    /// The model of this id.
    pub(crate) fn find(connection: &Connection, id: &str) -> StoreResult<Option<Self>> {
        let mut statement =
            connection.prepare_cached("SELECT id, ready, uri, task, project, metadata FROM models WHERE id = ?")?;
        let model = statement.query_row([id], |row| {
            Ok(Self {
                id: row.get(0)?,
                is_published: row.get(1)?,
                uri: row.get(2)?,
                task: row.get(3)?,
                project: row.get(4)?,
                metadata: row.get(5)?,
            })
        });
        Ok(model.optional()?)
    }

    /// The model of this id, or the error that clients know.
    pub(crate) fn require(connection: &Connection, id: &str) -> StoreResult<Self> {
        Ok(Self::find(connection, id)?.ok_or_else(|| unknown_model(id))?)
    }
}

/// The error for an id that is no model.
pub(crate) fn unknown_model(id: &str) -> ApiError {
    ApiError::invalid_model_id("", &[("id", &id), ("company", &COMPANY)])
}
