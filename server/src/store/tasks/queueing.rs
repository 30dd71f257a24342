//! Tasks into queues and out of them.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde_json::Value;

use super::{Task, TaskUpdate, Transition, transition};
use crate::auth::Identity;
use crate::store::query::Row;
use crate::store::{StoreResult, Tx, queues};

/// Where to enqueue.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// The queue of this id.
    Id(String),
    /// The queue of this name, which is made if there is none.
    Name(String),
    /// The default queue.
    Default,
}

/// A wish to enqueue.
#[derive(Clone, Debug)]
pub(crate) struct Enqueue {
    pub(crate) to: Destination,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) force: bool,
    /// Whether the task remembers the queue.
    pub(crate) update_execution_queue: bool,
}

impl Destination {
    /// The queue's id.
    pub(crate) fn resolve(&self, tx: &Tx<'_>, by: &Identity) -> StoreResult<String> {
        match self {
            Self::Id(id) => {
                queues::require(tx, id)?;
                Ok(id.clone())
            }
            Self::Name(name) => queues::find_or_create(tx, name, &by.user_id),
            Self::Default => Ok(queues::default_queue(tx)?.0),
        }
    }
}

/// Puts a task at the end of a queue and out of every other one, in one step; returns the changed fields.
pub(crate) fn enqueue(tx: &Tx<'_>, task: &Task, queue: &str, wish: &Enqueue, by: &Identity) -> StoreResult<Row> {
    // What a dequeue returns the task to: the status before it was first enqueued.
    let previous = match (task.status, task.enqueue_status) {
        (TaskStatus::Queued, Some(previous)) => previous,
        (TaskStatus::Queued, None) => TaskStatus::Created,
        (status, _) => status,
    };
    let mut update = TaskUpdate::default();
    update.text("enqueue_status", previous.as_str());
    if wish.update_execution_queue {
        update.text("queue", queue);
    }
    let wanted = Transition { to: TaskStatus::Queued, reason: &wish.reason, message: &wish.message, force: wish.force };
    queues::remove_from_others(tx, queue, &task.id)?;
    queues::add(tx, queue, &task.id)?;
    transition(tx, task, wanted, by, update)
}

/// Takes a task out of the queues and gives it `new_status`, or the status before it was enqueued. A task that is
/// neither queued nor running stays as it is; `None` then.
pub(crate) fn dequeue(
    tx: &Tx<'_>,
    id: &str,
    new_status: Option<TaskStatus>,
    reason: &str,
    message: &str,
    by: &Identity,
) -> StoreResult<Option<Row>> {
    queues::remove_from_all(tx, id)?;
    let Some(task) = Task::find(tx, id)? else { return Ok(None) };
    if !matches!(task.status, TaskStatus::Queued | TaskStatus::InProgress) {
        return Ok(None);
    }
    let mut update = TaskUpdate::default();
    update.unset("enqueue_status");
    let to = new_status.or(task.enqueue_status).unwrap_or_default();
    let wanted = Transition { to, reason, message, force: true };
    Ok(Some(transition(tx, &task, wanted, by, update)?))
}

/// Gives a task that lost its queue the status before it was enqueued. A task that does not exist, or is not
/// queued, is left alone.
pub(crate) fn leave_queue(tx: &Tx<'_>, id: &str, reason: &str, by: &Identity) -> StoreResult<()> {
    let Some(task) = Task::find(tx, id)? else { return Ok(()) };
    if task.status != TaskStatus::Queued {
        return Ok(());
    }
    let mut update = TaskUpdate::default();
    update.unset("enqueue_status").unset("queue");
    let to = task.enqueue_status.unwrap_or_default();
    transition(tx, &task, Transition { to, reason, message: "", force: true }, by, update)?;
    Ok(())
}

/// Empties a queue; the tasks that waited in it return to the status before. Returns their ids.
pub(crate) fn clear_queue(tx: &Tx<'_>, queue: &str, reason: &str, by: &Identity) -> StoreResult<Vec<String>> {
    let tasks = queues::clear(tx, queue)?;
    for task in &tasks {
        leave_queue(tx, task, reason, by)?;
    }
    Ok(tasks)
}

/// Gives the tasks that were popped from a queue and never started the status before they were enqueued.
pub(crate) fn leave_popped(tx: &Tx<'_>, queue: &str, reason: &str, by: &Identity) -> StoreResult<()> {
    let mut statement = tx.prepare_cached(
        "SELECT id FROM tasks WHERE queue = ? AND status = 'queued'
         AND NOT EXISTS (SELECT 1 FROM queue_entries e WHERE e.task = tasks.id)",
    )?;
    let popped: Vec<String> = statement.query_map([queue], |row| row.get(0))?.collect::<Result<_, _>>()?;
    popped.iter().try_for_each(|task| leave_queue(tx, task, reason, by))
}

impl Enqueue {
    /// Reads where to: `queue` (an id) or `queue_name`, not both.
    pub(crate) fn destination(queue: Option<String>, queue_name: Option<String>) -> Result<Destination, ApiError> {
        match (queue, queue_name) {
            (Some(_), Some(_)) => Err(ApiError::validation("Either queue id or queue name should be provided", &[])),
            (Some(id), None) => Ok(Destination::Id(id)),
            (None, Some(name)) => Ok(Destination::Name(name)),
            (None, None) => Ok(Destination::Default),
        }
    }

    /// What the answer of a single enqueue holds beside `updated`.
    pub(crate) fn answer(fields: Row) -> Row {
        Row::from_iter([
            ("queued".to_owned(), Value::from(1)),
            ("updated".to_owned(), Value::from(1)),
            ("fields".to_owned(), Value::Object(fields)),
        ])
    }
}
