//! Into queues and out of them.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ManyTasks, OneTask};
use crate::http::{Call, Reply};
use crate::services::batch;
use crate::state::State;
use crate::store::tasks::{self, Enqueue, Task};
use crate::store::workers;
use crate::time;

#[derive(Deserialize)]
struct EnqueueArguments {
    queue: Option<String>,
    queue_name: Option<String>,
    #[serde(default)]
    status_reason: String,
    #[serde(default)]
    status_message: String,
    #[serde(default)]
    force: bool,
    update_execution_queue: Option<bool>,
    #[serde(default)]
    verify_watched_queue: bool,
}

impl EnqueueArguments {
    fn into_wish(self) -> Result<Enqueue, ApiError> {
        Ok(Enqueue {
            to: Enqueue::destination(self.queue, self.queue_name)?,
            reason: self.status_reason,
            message: self.status_message,
            force: self.force,
            update_execution_queue: self.update_execution_queue.unwrap_or(true),
        })
    }
}

/// Puts a task at the end of a queue.
pub(super) async fn enqueue(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let arguments: EnqueueArguments = call.arguments()?;
    let verify = arguments.verify_watched_queue;
    let wish = arguments.into_wish()?;
    let by = call.identity();
    let answer = state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            let queue = wish.to.resolve(tx, &by)?;
            let mut answer = Enqueue::answer(tasks::enqueue(tx, &task, &queue, &wish, &by)?);
            if verify {
                answer.insert("queue_watched".to_owned(), json!(workers::is_watched(tx, &queue, time::now())?));
            }
            Ok(answer)
        })
        .await?;
    Ok(Value::Object(answer))
}

/// [`enqueue`] for each task.
pub(super) async fn enqueue_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let arguments: EnqueueArguments = call.arguments()?;
    let verify = arguments.verify_watched_queue;
    let wish = arguments.into_wish()?;
    let by = call.identity();
    let answer = state
        .store
        .write(move |tx| {
            let queue = wish.to.resolve(tx, &by)?;
            let outcome = batch::each(tx, &ids, |id| {
                let task = Task::require(tx, id)?;
                Ok(Enqueue::answer(tasks::enqueue(tx, &task, &queue, &wish, &by)?))
            })?;
            let mut answer = outcome.into_answer();
            if verify {
                answer.insert("queue_watched".to_owned(), json!(workers::is_watched(tx, &queue, time::now())?));
            }
            Ok(answer)
        })
        .await?;
    Ok(Value::Object(answer))
}

#[derive(Deserialize)]
struct DequeueArguments {
    new_status: Option<TaskStatus>,
    #[serde(default)]
    status_reason: String,
    #[serde(default)]
    status_message: String,
}

/// Takes a task out of its queues. One that does not exist is no error.
pub(super) async fn dequeue(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let DequeueArguments { new_status, status_reason, status_message } = call.arguments()?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| tasks::dequeue(tx, &task, new_status, &status_reason, &status_message, &by))
        .await?;
    Ok(Value::Object(dequeued(fields)))
}

/// [`dequeue`] for each task.
pub(super) async fn dequeue_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let DequeueArguments { new_status, status_reason, status_message } = call.arguments()?;
    let by = call.identity();
    let outcome = state
        .store
        .write(move |tx| {
            batch::each(tx, &ids, |id| {
                Ok(dequeued(tasks::dequeue(tx, id, new_status, &status_reason, &status_message, &by)?))
            })
        })
        .await?;
    Ok(Value::Object(outcome.into_answer()))
}

fn dequeued(fields: Option<Map<String, Value>>) -> Map<String, Value> {
    let updated = i64::from(fields.is_some());
    Map::from_iter([
        ("dequeued".to_owned(), json!(1)),
        ("updated".to_owned(), json!(updated)),
        ("fields".to_owned(), Value::Object(fields.unwrap_or_default())),
    ])
}
