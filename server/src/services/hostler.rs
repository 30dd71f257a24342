//! Our own extension: long-polls, so that work and aborts reach their worker at once.
//!
//! A waiter is registered before the store is looked at, so a change between the look and the wait wakes it;
//! while it waits it holds no connection of the store.

use std::time::Duration;

use protocols::clearml::error::ApiError;
use protocols::clearml::extension::{
    MAX_WAIT_SECONDS, WaitForQueuesRequest, WaitForQueuesResponse, WaitForTasksRequest, WaitForTasksResponse,
    WatchedTask,
};
use protocols::clearml::status::TaskStatus;
use protocols::ids::TaskId;
use serde::Serialize;
use tokio::time::Instant;

use crate::http::{Call, Reply};
use crate::signals::Change;
use crate::state::State;
use crate::store::tasks::{self, STOPPING};
use crate::store::{StoreResult, queues};

/// Queues or tasks of one call at most.
const MOST_WATCHED: usize = 1000;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "wait_for_queues" => Some(wait_for_queues(state, &call).await),
        "wait_for_tasks" => Some(wait_for_tasks(state, &call).await),
        _ => None,
    }
}

async fn wait_for_queues(state: &State, call: &Call) -> Reply {
    let WaitForQueuesRequest { queues, timeout_seconds } = call.arguments()?;
    let deadline = deadline(timeout_seconds, queues.len())?;
    let changes = queues.iter().map(|queue| Change::Queue(queue.as_str().to_owned())).collect();
    let waiter = state.signals.wait_for(changes);
    loop {
        let watched = queues.clone();
        let found = state
            .store
            .read(move |connection| {
                for queue in &watched {
                    queues::require(connection, queue.as_str())?;
                }
                for queue in watched {
                    if let Some(entry) = queues::head(connection, queue.as_str())? {
                        return Ok(Some(WaitForQueuesResponse { queue: Some(queue), task: Some(entry.task.into()) }));
                    }
                }
                Ok(None)
            })
            .await?;
        if let Some(found) = found {
            return answer(&found);
        }
        match tokio::time::timeout_at(deadline, waiter.woken()).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return answer(&WaitForQueuesResponse::default()),
        }
    }
}

async fn wait_for_tasks(state: &State, call: &Call) -> Reply {
    let WaitForTasksRequest { tasks, timeout_seconds } = call.arguments()?;
    let deadline = deadline(timeout_seconds, tasks.len())?;
    let changes = tasks.iter().map(|task| Change::Task(task.as_str().to_owned())).collect();
    let waiter = state.signals.wait_for(changes);
    loop {
        let watched = tasks.clone();
        let found = state.store.read(move |connection| needing_attention(connection, watched)).await?;
        if !found.is_empty() {
            return answer(&WaitForTasksResponse { tasks: found });
        }
        match tokio::time::timeout_at(deadline, waiter.woken()).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return answer(&WaitForTasksResponse::default()),
        }
    }
}

fn needing_attention(connection: &crate::store::Snapshot, watched: Vec<TaskId>) -> StoreResult<Vec<WatchedTask>> {
    let mut found = Vec::new();
    for id in watched {
        let (status, status_message) = match tasks::status_of(connection, id.as_str())? {
            Some((status, message)) => {
                (Some(status.parse().unwrap_or(TaskStatus::Unknown)), message.unwrap_or_default())
            }
            None => (None, String::new()),
        };
        if status != Some(TaskStatus::InProgress) || status_message.contains(STOPPING) {
            found.push(WatchedTask { id, status, status_message });
        }
    }
    Ok(found)
}

fn deadline(timeout_seconds: f64, watched: usize) -> Result<Instant, ApiError> {
    if watched > MOST_WATCHED {
        return Err(ApiError::fields_value("too many to wait for", &[("most", &MOST_WATCHED)]));
    }
    // NaN and negative numbers are no time at all.
    let seconds = timeout_seconds.max(0.0).min(MAX_WAIT_SECONDS as f64);
    Ok(Instant::now() + Duration::from_secs_f64(seconds))
}

fn answer<T: Serialize>(answer: &T) -> Reply {
    serde_json::to_value(answer).map_err(|error| ApiError::internal("", &[("reason", &error)]))
}
