//! What the reporter is told, and what it tells.

use std::collections::BTreeMap;

use actix::prelude::*;
use protocols::ids::{AttemptId, QueueId, TaskId, WorkerId};
use protocols::lifecycle::{Outcome, StopReason};
use protocols::order::EnvironmentReport;

use crate::daemon::gpu::usage::{GpuPeak, GpuScalars};

/// Opens a task's lane. Whatever was open for the task before is closed.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct OpenLane {
    pub(crate) task: TaskId,
    pub(crate) pull: u64,
    pub(crate) pulled_at_ms: i64,
    pub(crate) worker: WorkerId,
    /// The queue it came from, as people call it.
    pub(crate) queue: String,
    /// The same, as the server calls it.
    pub(crate) queue_id: QueueId,
    /// Whether something may have been reported already: a lane that begins anew need not ask the server.
    pub(crate) resumed: bool,
    pub(crate) facts: Recipient<LaneFact>,
}

/// News for a task's lane.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Report {
    pub(crate) task: TaskId,
    pub(crate) item: ReportItem,
}

/// What a lane is told, in order.
#[derive(Debug, Clone)]
pub(crate) enum ReportItem {
    /// The task was taken: `tasks.started`, and a line in its log.
    Pulled,
    /// From here on the console is this attempt's; what an earlier one printed is complete.
    AttemptStarted(AttemptId),
    /// What its container is: `container` of the task, where that is to be set, and the ports of the machine that lead
    /// to it.
    Container { told: BTreeMap<String, serde_json::Value>, port_mapping: String },
    /// What preparation found out.
    Environment(EnvironmentReport, BTreeMap<String, serde_json::Value>),
    /// User code is about to run.
    UserStarted,
    /// A line of ours for its log.
    Note(String),
    /// As [`ReportItem::Note`], about something that the task's program did: where it fails, its reason says so.
    Blame(String),
    /// How it uses its GPUs.
    GpuScalars(GpuScalars),
    /// The most that it used of each GPU, by the card's index.
    GpuPeaks(BTreeMap<u32, GpuPeak>),
    /// All over: what is left of the console, then the final status.
    Finished(Outcome),
}

/// A task's console file has grown. Replaceable: only the newest matters.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ConsoleGrew {
    pub(crate) task: TaskId,
    /// In bytes.
    pub(crate) length: u64,
    /// When that was seen, in milliseconds since the epoch.
    pub(crate) at_ms: i64,
}

/// What a lane tells the task's runner.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum LaneFact {
    /// The server has the task as `in_progress`: from now on a changed status means something.
    Started,
    /// The server does not want it to run.
    NotWanted(StopReason),
    /// The server has the outcome, or has no use for it.
    Settled,
    /// The server has this much of the console.
    Shipped(u64),
    /// The lane panicked: open it again.
    Broken,
}

/// Closes a task's lane.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CloseLane {
    pub(crate) task: TaskId,
}
