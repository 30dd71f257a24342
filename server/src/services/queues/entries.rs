//! What waits in the queues.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{OneQueue, QueuedTask};
use crate::company::COMPANY;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::queues;
use crate::store::tasks::{self, Task, TaskUpdate, Transition};

#[derive(Deserialize)]
struct AddTask {
    queue: String,
    task: String,
    update_execution_queue: Option<bool>,
}

/// Adds an entry; neither the task's status nor its existence matter.
pub(super) async fn add_task(state: &State, call: &Call) -> Reply {
    let AddTask { queue, task, update_execution_queue } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            queues::require(tx, &queue)?;
            queues::add(tx, &queue, &task)?;
            if update_execution_queue.unwrap_or(true) && Task::find(tx, &task)?.is_some() {
                let mut update = TaskUpdate::default();
                update.text("queue", &*queue);
                update.apply(tx, &task, &by.user_id)?;
            }
            Ok(())
        })
        .await?;
    Ok(json!({"added": 1}))
}

#[derive(Deserialize)]
struct RemoveTask {
    queue: String,
    task: String,
    #[serde(default)]
    update_task_status: bool,
}

/// Takes an entry out; the task keeps its status unless asked otherwise.
pub(super) async fn remove_task(state: &State, call: &Call) -> Reply {
    let RemoveTask { queue, task, update_task_status } = call.arguments()?;
    let by = call.identity();
    state
        .store
        .write(move |tx| {
            if !queues::remove(tx, &queue, &task)? {
                return Err(ApiError::task_not_queued("", &[("task", &task), ("queue", &queue)]).into());
            }
            if update_task_status {
                tasks::leave_queue(tx, &task, &format!("Removed from queue {queue}"), &by)?;
            }
            Ok(())
        })
        .await?;
    Ok(json!({"removed": 1}))
}

/// Empties a queue.
pub(super) async fn clear_queue(state: &State, call: &Call) -> Reply {
    let OneQueue { queue } = call.arguments()?;
    let by = call.identity();
    let removed = state
        .store
        .write(move |tx| {
            queues::require(tx, &queue)?;
            tasks::clear_queue(tx, &queue, &format!("Queue {queue} was cleared"), &by)
        })
        .await?;
    Ok(json!({"removed_tasks": removed}))
}

#[derive(Deserialize)]
struct NextTask {
    queue: String,
    task: Option<String>,
    #[serde(default)]
    get_task_info: bool,
}

/// Takes the next entry; with `task`, only if it is that one.
pub(super) async fn get_next_task(state: &State, call: &Call) -> Reply {
    let NextTask { queue, task, get_task_info } = call.arguments()?;
    let by = call.identity();
    // One way to the store instead of a look first and a change after it. A poll that finds nothing changes nothing,
    // and so waits for no disk.
    state
        .store
        .write(move |tx| {
            let Some(entry) = queues::pop(tx, &queue, task.as_deref())? else {
                queues::require(tx, &queue)?;
                return Ok(json!({}));
            };
            let mut answer = json!({"entry": entry.to_json()});
            let status = tasks::status_of(tx, &entry.task)?;
            if status.is_some_and(|(status, _)| status == TaskStatus::Stopped.as_str()) {
                let task = Task::require(tx, &entry.task)?;
                let wanted = Transition { to: TaskStatus::Queued, reason: "", message: "", force: true };
                tasks::transition(tx, &task, wanted, &by, TaskUpdate::default())?;
            }
            if get_task_info {
                answer["task_info"] = json!({"company": COMPANY, "user": tasks::user_of(tx, &entry.task)?});
            }
            Ok(answer)
        })
        .await
}

/// Shows the next task without taking it.
pub(super) async fn peek_task(state: &State, call: &Call) -> Reply {
    let OneQueue { queue } = call.arguments()?;
    let head = state
        .store
        .read(move |connection| {
            queues::require(connection, &queue)?;
            queues::head(connection, &queue)
        })
        .await?;
    Ok(json!({"task": head.map(|entry| entry.task)}))
}

/// Counts what waits.
pub(super) async fn get_num_entries(state: &State, call: &Call) -> Reply {
    let OneQueue { queue } = call.arguments()?;
    let count = state
        .store
        .read(move |connection| {
            queues::require(connection, &queue)?;
            queues::entry_count(connection, &queue)
        })
        .await?;
    Ok(json!({"num": count}))
}

#[derive(Deserialize)]
struct Count {
    count: Option<i64>,
}

/// Moves an entry by `count` places in a direction: -1 is towards the front.
pub(super) async fn move_by(state: &State, call: &Call, direction: i64) -> Reply {
    let Count { count } = call.arguments()?;
    let count = count.unwrap_or(1);
    if count < 0 {
        return Err(ApiError::bad_field("count", "must not be negative"));
    }
    move_to(state, call, direction.saturating_mul(count)).await
}

/// Moves an entry by some places, as far as the queue goes. A queue that does not exist does not hold it.
pub(super) async fn move_to(state: &State, call: &Call, offset: i64) -> Reply {
    let QueuedTask { queue, task } = call.arguments()?;
    let position = state.store.write(move |tx| queues::move_entry(tx, &queue, &task, offset)).await?;
    Ok(json!({"position": Value::from(position)}))
}
