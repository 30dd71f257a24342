//! The command line and the daemon: what they say over the control socket (JSON lines, one request, one answer).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::explain::Explanation;
use crate::failure::Phase;
use crate::gpu::{GpuCard, Share};
use crate::ids::{AttemptId, GpuId, QueueId, TaskId, WorkerId};

/// A request on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum ControlRequest {
    /// What is going on.
    Status,
    /// Finish what runs, take nothing new, then leave.
    Drain,
    /// Stop the tasks with grace, then leave.
    Stop,
    /// Leave the tasks running, and leave.
    Detach,
    /// What does a task, or the next of a queue, wait for?
    Explain {
        /// Name or id of a queue or a task.
        of: String,
    },
}

/// The answer to a [`ControlRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ControlAnswer {
    /// To `Status`.
    Status(Box<DaemonStatus>),
    /// To `Explain`.
    Explanation(Box<Explanation>),
    /// The request was taken; the daemon acts on it now.
    Accepted,
    /// It was not.
    Refused {
        /// Why.
        why: String,
    },
}

/// A daemon, for people and scripts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Version of the program.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in milliseconds since the epoch.
    pub started_at_ms: i64,
    /// The API server.
    pub server: String,
    /// Whether the last call to it was answered.
    pub server_reachable: bool,
    /// Taking tasks, or on its way out.
    pub mode: DaemonMode,
    /// Its workers.
    pub workers: Vec<WorkerStatus>,
    /// How many services run, where tasks are services.
    #[serde(default)]
    pub services: Option<ServicesStatus>,
    /// The driver that its cards were read from, where it is not the system's.
    #[serde(default)]
    pub gpu_library: Option<PathBuf>,
    /// What tasks of each queue get of cards that are divided among tasks, by the queue's name, in order of priority;
    /// empty where every card belongs to a worker.
    #[serde(default)]
    pub demands: Vec<(String, String)>,
    /// The cards of which MIG instances are made on demand.
    #[serde(default)]
    pub divided: Vec<GpuCard>,
    /// GPUs and MIG instances that get no task for now, and why.
    #[serde(default)]
    pub out_of_use: BTreeMap<GpuId, String>,
    /// What is prepared for tasks that still wait in queues; absent where nothing is.
    #[serde(default)]
    pub prefetch: Option<PrefetchStatus>,
    /// The tasks whose end the server has not acknowledged.
    pub tasks: Vec<TaskSnapshot>,
}

/// Long-lived tasks, each a worker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesStatus {
    /// How many run.
    pub running: usize,
    /// How many may; absent where there is no limit.
    pub limit: Option<u32>,
}

/// Code and environments of tasks that wait, ahead of their turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefetchStatus {
    /// For which task that is done now.
    pub now: Option<TaskId>,
    /// Tasks that still wait and for which it is done.
    pub ready: Vec<TaskId>,
    /// Tasks that still wait and for which it cannot be done, and why.
    #[serde(default)]
    pub failed: BTreeMap<TaskId, String>,
}

/// What a daemon is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonMode {
    /// Takes tasks.
    Serving,
    /// Finishes what runs, takes nothing new.
    Draining,
    /// Stops what runs.
    Stopping,
}

/// A worker and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// As ClearML sees it.
    pub id: WorkerId,
    /// The queues that it serves, by name, in order.
    pub queues: Vec<String>,
    /// Its cards; empty for a CPU worker.
    pub gpus: Vec<GpuCard>,
    /// How much of each of them.
    #[serde(default = "Share::whole")]
    pub share: Share,
    /// The task that holds its slot.
    pub task: Option<TaskId>,
}

/// One task as everything but its `TaskRunner` sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSnapshot {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// In whose name it runs.
    pub worker: WorkerId,
    /// From which queue.
    pub queue: QueueId,
    /// The cards that it holds.
    #[serde(default)]
    pub gpus: Vec<GpuCard>,
    /// How much of each of them.
    #[serde(default = "Share::whole")]
    pub share: Share,
    /// Which try; 0 before the first.
    pub attempt: AttemptId,
    /// What it does.
    pub phase: Phase,
    /// Whether its executor is connected.
    pub attached: bool,
    /// When it was pulled, in milliseconds since the epoch.
    pub pulled_at_ms: i64,
    /// Length of its console file in bytes, as far as known.
    pub console_bytes: u64,
    /// How much of that the server has.
    pub shipped_bytes: u64,
}
