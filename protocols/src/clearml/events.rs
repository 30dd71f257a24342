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

/// `type` of a point of a plot.
const SCALAR_EVENT: &str = "training_stats_scalar";

/// Metric of how machines' GPUs are, which the SDK reports too.
pub const MONITOR_GPU: &str = ":monitor:gpu";
/// Metric of how machines are: of a task that has it, the SDK looks after both.
pub const MONITOR_MACHINE: &str = ":monitor:machine";

/// A value of a metric's variant.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalarValue {
    /// For example `gpu_0_utilization`.
    pub variant: String,
    /// Its value.
    pub value: f64,
}

/// One point of a plot: what `events.add_batch` takes, one JSON object per line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalarEvent {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The task.
    pub task: TaskId,
    /// Who measured it.
    pub worker: WorkerId,
    /// The plot.
    pub metric: String,
    /// The line in it.
    pub variant: String,
    /// How far along the plot.
    pub iter: i64,
    /// How high.
    pub value: f64,
    /// When, in milliseconds since the epoch.
    pub timestamp: i64,
}

impl ScalarEvent {
    /// A point of a task's plot.
    pub fn new(
        task: TaskId,
        worker: WorkerId,
        metric: &str,
        value: ScalarValue,
        iteration: i64,
        timestamp_ms: i64,
    ) -> Self {
        let ScalarValue { variant, value } = value;
        let (metric, iter, timestamp) = (metric.to_owned(), iteration, timestamp_ms);
        Self { kind: SCALAR_EVENT, task, worker, metric, variant, iter, value, timestamp }
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
    fn a_point_on_the_wire_is_frozen() {
        let value = ScalarValue { variant: "gpu_0_utilization".to_owned(), value: 97.5 };
        let event = ScalarEvent::new("t".into(), "w".into(), MONITOR_GPU, value, 30, 5);
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"type":"training_stats_scalar","task":"t","worker":"w","metric":":monitor:gpu","variant":"gpu_0_utilization","iter":30,"value":97.5,"timestamp":5}"#
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
