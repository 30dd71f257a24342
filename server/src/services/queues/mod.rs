//! The `queues` service.

mod entries;
mod history;
mod metrics;
mod records;

use serde::Deserialize;

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "create" => records::create(state, &call).await,
        "update" => records::update(state, &call).await,
        "delete" => records::delete(state, &call).await,
        "get_by_id" => records::get_by_id(state, &call).await,
        "get_all" => records::get_all(state, call).await,
        "get_all_ex" => records::get_all_ex(state, call).await,
        "get_default" => records::get_default(state).await,
        "add_or_update_metadata" => records::add_or_update_metadata(state, &call).await,
        "delete_metadata" => records::delete_metadata(state, &call).await,
        "add_task" => entries::add_task(state, &call).await,
        "remove_task" => entries::remove_task(state, &call).await,
        "clear_queue" => entries::clear_queue(state, &call).await,
        "get_next_task" => entries::get_next_task(state, &call).await,
        "peek_task" => entries::peek_task(state, &call).await,
        "get_num_entries" => entries::get_num_entries(state, &call).await,
        "get_queue_metrics" => metrics::get_queue_metrics(state, &call).await,
        "move_task_forward" => entries::move_by(state, &call, -1).await,
        "move_task_backward" => entries::move_by(state, &call, 1).await,
        "move_task_to_front" => entries::move_to(state, &call, i64::MIN).await,
        "move_task_to_back" => entries::move_to(state, &call, i64::MAX).await,
        _ => return None,
    })
}

/// `{"queue": ..}`.
#[derive(Deserialize)]
struct OneQueue {
    queue: String,
}

/// `{"queue": .., "task": ..}`.
#[derive(Deserialize)]
struct QueuedTask {
    queue: String,
    task: String,
}
