//! The `workers` service: registration and heartbeats.

use serde::{Deserialize, Serialize};

use crate::clearml::tasks::null_as_default;
use crate::ids::{QueueId, TaskId, WorkerId};

/// Request of `workers.register` and `workers.unregister`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// The worker.
    pub worker: WorkerId,
    /// Queues that it serves.
    #[serde(default, deserialize_with = "null_as_default")]
    pub queues: Vec<QueueId>,
    /// After how many seconds of silence the server forgets it; 600 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Tags of people.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Request of `workers.set_runtime_properties`, which the open-source server does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRuntimePropertiesRequest {
    /// The worker.
    pub worker: WorkerId,
    /// What is set; others stay.
    pub runtime_properties: Vec<RuntimeProperty>,
}

/// A property of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeProperty {
    /// Its name.
    pub key: String,
    /// What it is.
    pub value: String,
}

/// Answer of `workers.get_all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetAllWorkersResponse {
    /// The workers that were heard of.
    #[serde(deserialize_with = "null_as_default")]
    pub workers: Vec<Worker>,
}

/// A worker as `workers.get_all` gives it; the fields that an agent reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The worker.
    pub id: WorkerId,
    /// The queues that it serves.
    #[serde(default, deserialize_with = "null_as_default")]
    pub queues: Vec<ServedQueue>,
}

/// A queue of a [`Worker`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedQueue {
    /// The queue.
    pub id: QueueId,
}

/// Request of `workers.status_report`: the heartbeat of a worker.
///
/// A report without `task` tells the server that the worker is idle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The worker.
    pub worker: WorkerId,
    /// When, in milliseconds since the epoch.
    pub timestamp: i64,
    /// The task that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The queue that the task came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// Queues that it serves; an empty list leaves the server's as they are.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueId>,
    /// How the machine is, where it was measured.
    #[serde(default)]
    pub machine_stats: Option<MachineStats>,
    /// Tags of people; `null` leaves the server's as they are.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Whether the sender serves queues, rather than running one task.
    #[serde(default)]
    pub is_daemon: bool,
}

/// `machine_stats` of a [`StatusReport`]. What was not measured is left out.
///
/// Servers store no value that is exactly 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineStats {
    /// Use of all cores together in percent: one element.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub cpu_usage: Vec<f64>,
    /// Hottest core in °C: one element.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub cpu_temperature: Vec<f64>,
    /// Memory in use, in MB (1024²).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<f64>,
    /// Memory available, in MB (1024²).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<f64>,
    /// Free space of the home directory's file system, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_home: Option<f64>,
    /// Read from all disks, in MB/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_read: Option<f64>,
    /// Written to all disks, in MB/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_write: Option<f64>,
    /// Received from the network, in MB/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_rx: Option<f64>,
    /// Sent to the network, in MB/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_tx: Option<f64>,
    /// Use of each card of the worker, in percent.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gpu_usage: Vec<f64>,
    /// Temperature of each card, in °C.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gpu_temperature: Vec<f64>,
    /// Memory in use of each card, in MB (1024²).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gpu_memory_used: Vec<f64>,
    /// Free memory of each card, in MB (1024²).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gpu_memory_free: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_idle_report_has_no_task_and_says_so_of_the_machine() {
        let report = StatusReport {
            worker: WorkerId::from("host:0"),
            timestamp: 1_700_000_000_000,
            task: None,
            queue: None,
            queues: vec![QueueId::from("q")],
            machine_stats: None,
            tags: None,
            is_daemon: true,
        };
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({"worker": "host:0", "timestamp": 1_700_000_000_000_i64, "queues": ["q"], "machine_stats": null,
                   "tags": null, "is_daemon": true})
        );
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let stats = MachineStats { cpu_usage: vec![12.5], memory_free: Some(1024.0), ..Default::default() };
        let value = serde_json::to_value(&stats).unwrap();
        assert_eq!(value, json!({"cpu_usage": [12.5], "memory_free": 1024.0}));
        assert_eq!(serde_json::from_value::<MachineStats>(value).unwrap(), stats);
        let lenient: MachineStats = serde_json::from_value(json!({"gpu_usage": null, "gpu_fraction": [1.0]})).unwrap();
        assert_eq!(lenient, MachineStats::default());
    }
}
