//! The `events` service: console lines.

use serde::{Deserialize, Serialize};

use crate::clearml::tasks::null_as_default;
use crate::ids::{TaskId, WorkerId};

/// `type` of a console event.
pub const LOG_EVENT: &str = "log";

/// Level of lines that the user's process printed.
pub const LEVEL_DEBUG: &str = "DEBUG";
/// Level of the agent's own lines.
pub const LEVEL_INFO: &str = "INFO";
/// Level of lines that tell of something that went wrong.
pub const LEVEL_ERROR: &str = "ERROR";

/// One console event: what `events.add_batch` takes, one JSON object per line, and `events.get_task_log` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Always [`LOG_EVENT`].
    #[serde(rename = "type", default = "log_event")]
    pub kind: String,
    /// The task.
    #[serde(default = "no_task")]
    pub task: TaskId,
    /// Who ran it.
    #[serde(default = "no_worker")]
    pub worker: WorkerId,
    /// [`LEVEL_DEBUG`], [`LEVEL_INFO`] or [`LEVEL_ERROR`].
    #[serde(default, deserialize_with = "null_as_default")]
    pub level: String,
    /// One line or several, newlines included.
    #[serde(default, deserialize_with = "null_as_default")]
    pub msg: String,
    /// When, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "null_as_default")]
    pub timestamp: i64,
    /// Whether the event is taken for a published task too.
    #[serde(default, deserialize_with = "null_as_default")]
    pub allow_locked: bool,
}

impl LogEvent {
    /// An event of a task; it arrives even where the task has been published in the meantime.
    pub fn new(task: TaskId, worker: WorkerId, level: &str, msg: String, timestamp_ms: i64) -> Self {
        Self {
            kind: log_event(),
            task,
            worker,
            level: level.to_owned(),
            msg,
            timestamp: timestamp_ms,
            allow_locked: true,
        }
    }
}

fn log_event() -> String {
    LOG_EVENT.to_owned()
}

fn no_task() -> TaskId {
    TaskId::from("")
}

fn no_worker() -> WorkerId {
    WorkerId::from("")
}

/// Answer of `events.add_batch`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddBatchResponse {
    /// How many were stored.
    #[serde(deserialize_with = "null_as_default")]
    pub added: u64,
    /// How many were not.
    #[serde(deserialize_with = "null_as_default")]
    pub errors: u64,
    /// Why to how many. Clients insist on an object.
    #[serde(deserialize_with = "null_as_default")]
    pub errors_info: serde_json::Map<String, serde_json::Value>,
}

/// Request of `events.get_task_log`, API 2.9.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTaskLogRequest {
    /// The task.
    pub task: TaskId,
    /// Events per answer; all that share the last time stamp are answered even beyond it.
    pub batch_size: u64,
    /// Newest first and backwards, rather than oldest first and forwards.
    pub navigate_earlier: bool,
    /// Start beyond this time stamp, in milliseconds since the epoch; from the end or the beginning where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_timestamp: Option<i64>,
}

/// Answer of `events.get_task_log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetTaskLogResponse {
    /// The events.
    #[serde(deserialize_with = "null_as_default")]
    pub events: Vec<LogEvent>,
    /// How many are in this answer.
    #[serde(deserialize_with = "null_as_default")]
    pub returned: u64,
    /// How many there are.
    #[serde(deserialize_with = "null_as_default")]
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_on_the_wire_is_frozen() {
        let event = LogEvent::new("t".into(), "w".into(), LEVEL_DEBUG, "a\nb\n".to_owned(), 5);
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"type":"log","task":"t","worker":"w","level":"DEBUG","msg":"a\nb\n","timestamp":5,"allow_locked":true}"#
        );
    }

    #[test]
    fn stored_events_are_read_leniently() {
        let event: LogEvent = serde_json::from_str(r#"{"msg": "x", "timestamp": 7, "@timestamp": "2026"}"#).unwrap();
        assert_eq!((event.msg.as_str(), event.timestamp, event.kind.as_str()), ("x", 7, "log"));
        let batch: AddBatchResponse = serde_json::from_str(r#"{"added": 2, "errors": null}"#).unwrap();
        assert_eq!(batch.added, 2);
    }
}
