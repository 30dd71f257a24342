//! Rows of the tasks. What is polled and sorted is in `tasks`, the large documents in `task_documents`.

mod conditions;
mod documents;
mod fields;
mod glance;
mod lifecycle;
mod links;
mod queueing;
mod runs;
mod silence;
mod status;
mod update;
mod usage;

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

pub(crate) use conditions::{is_dataset_version, is_pipeline_run, is_report};
pub(crate) use documents::{Document, read_document, write_document};
pub(crate) use fields::{artifact_id, create, edit, normalise_item, sorted_artifacts};
pub(crate) use glance::{glance, name_of, status_of, types_in, user_of};
pub(crate) use lifecycle::{Cleaned, CloneRequest, Reset, archive, clone, delete, publish, reset, unarchive};
pub(crate) use links::tags_of_type;
pub(crate) use queueing::{Enqueue, clear_queue, dequeue, enqueue, leave_popped, leave_queue};
pub(crate) use runs::{runs_besides, runs_named, steps};
pub(crate) use silence::{has_silent, stop_silent};
pub(crate) use status::{STOPPING, Transition, start, stop, transition};
pub(crate) use update::TaskUpdate;
pub(crate) use usage::{Breakdown, Usage, usage};

use super::StoreResult;
use super::events;
use crate::company::COMPANY;
use crate::store::query::{Entity, Expression, Field, Reference, Row};
use crate::time::Micros;

/// System tag of tasks that are put away.
pub(crate) const ARCHIVED: &str = "archived";

/// System tag of tasks that run on a developer's machine.
pub(crate) const DEVELOPMENT: &str = "development";

/// Tasks as the API shows them.
pub(crate) static TASK: Entity = Entity {
    name: "task",
    from: "tasks t LEFT JOIN task_documents d ON d.id = t.id",
    fields: &[
        Field::text("id", "t.id").list().required(),
        Field::text("name", "t.name").pattern().required(),
        Field::text("type", "t.type").list().required(),
        Field::text("status", "t.status").list().required(),
        Field::text("status_reason", "t.status_reason"),
        Field::text("status_message", "t.status_message"),
        Field::time("status_changed", "t.status_changed").datetime(),
        Field::text("enqueue_status", "t.enqueue_status").unasked(),
        Field::text("project", "t.project").list(),
        Field::text("parent", "t.parent").list(),
        Field::text("user", "t.user").list().required(),
        Field::text("company", "t.company").required(),
        Field::text("comment", "t.comment").pattern(),
        Field::text("report", "t.report").pattern(),
        Field::texts("report_assets", "t.report_assets"),
        Field::time("created", "t.created").range().required(),
        Field::time("started", "t.started").range(),
        Field::time("completed", "t.completed"),
        Field::time("published", "t.published"),
        Field::integer("active_duration", "t.active_duration").range(),
        Field::text("last_worker", "t.last_worker"),
        Field::time("last_worker_report", "t.last_worker_report"),
        Field::time("last_update", "t.last_update").datetime().required(),
        Field::time("last_change", "t.last_change").datetime().required(),
        Field::text("last_changed_by", "t.last_changed_by"),
        Field::integer("last_iteration", "t.last_iteration").range().required(),
        Field::texts("tags", "t.tags").list(),
        Field::texts("system_tags", "t.system_tags").list(),
        Field::json("runtime", "t.runtime").equal(),
        Field::json("script", "d.script"),
        Field::json("execution", "d.execution"),
        Field::text("execution.queue", "t.queue").list(),
        Field::json("hyperparams", "d.hyperparams").list(),
        Field::json("configuration", "d.configuration"),
        Field::json("container", "d.container"),
        Field::json("models", "d.models"),
        Field::texts(
            "models.input.model",
            "(SELECT json_group_array(json_extract(value, '$.model')) FROM json_each(d.models, '$.input'))",
        )
        .list()
        .unasked(),
        Field::json("output", "d.output"),
        Field::filled("last_metrics").range(),
        Field::filled("metric_stats"),
        Field::filled("unique_metrics").unasked(),
    ],
    references: &[
        Reference { field: "user", table: "users", columns: &["name"] },
        Reference { field: "company", table: "companies", columns: &["name"] },
        Reference { field: "project", table: "projects", columns: &["name", "basename"] },
        Reference { field: "parent", table: "tasks", columns: &["name", "type", "status", "project"] },
        Reference { field: "execution.queue", table: "queues", columns: &["name", "display_name"] },
    ],
    hidden: Some("t.system_tags != '[]' AND EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'hidden')"),
    computed: Some(computed),
    fill: Some(fill_metrics),
    ..Entity::EMPTY
};

fn computed(path: &[String]) -> Option<Expression> {
    events::last_metric_sql("t.id", path)
}

fn fill_metrics(connection: &Connection, paths: &[Vec<String>], rows: &mut [Row]) -> StoreResult<()> {
    let ids: Vec<String> =
        rows.iter().filter_map(|row| row.get("id").and_then(Value::as_str).map(str::to_owned)).collect();
    let mut metrics = events::task_metrics(connection, &ids)?;
    for (id, row) in ids.iter().zip(rows) {
        let found = metrics.remove(id).unwrap_or_default();
        let mut whole = Row::new();
        whole.insert("last_metrics".to_owned(), Value::Object(found.last_metrics));
        whole.insert("metric_stats".to_owned(), Value::Object(found.metric_stats));
        whole.insert("unique_metrics".to_owned(), Value::Array(found.unique_metrics));
        for path in paths {
            copy(&whole, row, path);
        }
    }
    Ok(())
}

/// Copies what is at `path`, making the objects above it.
fn copy(from: &Row, to: &mut Row, path: &[String]) {
    let [first, below @ ..] = path else { return };
    let Some(value) = from.get(first) else { return };
    if below.is_empty() {
        to.insert(first.clone(), value.clone());
        return;
    }
    let next = to.entry(first.clone()).or_insert_with(|| Value::Object(Row::new()));
    if let (Value::Object(value), Value::Object(next)) = (value, next) {
        copy(value, next, below);
    }
}

/// What decisions about a task are made from.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) status: TaskStatus,
    pub(crate) status_message: String,
    pub(crate) enqueue_status: Option<TaskStatus>,
    pub(crate) project: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) started: Option<Micros>,
    pub(crate) last_worker: Option<String>,
    pub(crate) last_update: Micros,
    pub(crate) tags: Vec<String>,
    pub(crate) system_tags: Vec<String>,
}

impl Task {
    /// The task of this id.
    pub(crate) fn find(connection: &Connection, id: &str) -> StoreResult<Option<Self>> {
        let mut statement = connection.prepare_cached(
            "SELECT id, name, type, status, status_message, enqueue_status, project, parent, comment, started,
             last_worker, last_update, tags, system_tags FROM tasks WHERE id = ?",
        )?;
        let task = statement.query_row([id], |row| {
            let status = |text: String| text.parse().unwrap_or(TaskStatus::Unknown);
            let list = |text: String| serde_json::from_str(&text).unwrap_or_default();
            Ok(Self {
                id: row.get(0)?,
                name: row.get(1)?,
                kind: row.get(2)?,
                status: status(row.get(3)?),
                status_message: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
                enqueue_status: row.get::<_, Option<String>>(5)?.map(status),
                project: row.get(6)?,
                parent: row.get(7)?,
                comment: row.get(8)?,
                started: row.get(9)?,
                last_worker: row.get(10)?,
                last_update: row.get(11)?,
                tags: list(row.get(12)?),
                system_tags: list(row.get(13)?),
            })
        });
        Ok(task.optional()?)
    }

    /// The task of this id, or the error that clients know.
    pub(crate) fn require(connection: &Connection, id: &str) -> StoreResult<Self> {
        Ok(Self::find(connection, id)?.ok_or_else(|| unknown_task(id))?)
    }

    /// Whether somebody asked for its end, and whoever runs it has not yet answered.
    pub(crate) fn is_stopping(&self) -> bool {
        self.status == TaskStatus::InProgress && self.status_message.contains(STOPPING)
    }

    /// Whether it has this system tag.
    pub(crate) fn has_system_tag(&self, tag: &str) -> bool {
        self.system_tags.iter().any(|known| known == tag)
    }
}

/// The error for an id that is no task.
pub(crate) fn unknown_task(id: &str) -> ApiError {
    ApiError::invalid_task_id("", &[("id", &id), ("company", &COMPANY)])
}

/// The error for a change that the task's status forbids.
pub(crate) fn forbidden_by_status(task: &Task, why: &str) -> ApiError {
    ApiError::invalid_task_status(why, &[("task", &task.id), ("status", &task.status)])
}
