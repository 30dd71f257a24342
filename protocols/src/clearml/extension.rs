//! Hostler's own extension of the ClearML API: immediate dispatch by long-poll.
//!
//! A server that has it lists it in `server.info` under `extensions`; a client that does not find it there
//! polls as the stock agent does. Neither side needs the other to be ours.

use serde::{Deserialize, Serialize};

use crate::clearml::status::TaskStatus;
use crate::ids::{QueueId, TaskId};

/// Key in `server.info` data: a map from extension endpoint name to its version, for example
/// `{"hostler.wait_for_queues": 1}`.
pub const EXTENSIONS_KEY: &str = "extensions";

/// Endpoint: answers as soon as one of the queues has an entry. Does not take it.
pub const WAIT_FOR_QUEUES: &str = "hostler.wait_for_queues";

/// Endpoint: answers as soon as one of the tasks is to be stopped, or is no longer `in_progress`.
pub const WAIT_FOR_TASKS: &str = "hostler.wait_for_tasks";

/// The longest that a server keeps a long-poll open, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 55;

/// Field of `tasks.started`: the change is refused (400/110) unless the task's status is one of these and no
/// stop was asked for. A server without the extension ignores it.
pub const EXPECTED_STATUS: &str = "expected_status";

/// Request of [`WAIT_FOR_QUEUES`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitForQueuesRequest {
    /// Queue ids; the first with an entry is answered.
    pub queues: Vec<QueueId>,
    /// How long to wait, in seconds, at most [`MAX_WAIT_SECONDS`].
    pub timeout_seconds: f64,
}

/// Answer of [`WAIT_FOR_QUEUES`]: the head of the first non-empty queue, or nothing after the timeout.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitForQueuesResponse {
    /// The queue that has an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// The task at its head, to be named in a conditional `queues.get_next_task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

/// Request of [`WAIT_FOR_TASKS`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitForTasksRequest {
    /// The tasks that the caller runs.
    pub tasks: Vec<TaskId>,
    /// How long to wait, in seconds, at most [`MAX_WAIT_SECONDS`].
    pub timeout_seconds: f64,
}

/// What became of one watched task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchedTask {
    /// The task.
    pub id: TaskId,
    /// Its status; absent when the task does not exist (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Its status message.
    #[serde(default)]
    pub status_message: String,
}

/// Answer of [`WAIT_FOR_TASKS`]: the tasks among the watched that are not plainly `in_progress`; empty after
/// the timeout.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitForTasksResponse {
    /// The tasks that need attention.
    pub tasks: Vec<WatchedTask>,
}
