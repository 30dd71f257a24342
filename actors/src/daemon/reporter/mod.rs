//! Outbound news of every task: status, console, packages. Order kept, retried, spooled while the server is away.
//!
//! One lane per task, so that no task's flood delays another's reports. Console bytes never enter a mailbox: a lane
//! reads the file that the attempt writes, at its own pace; the file is the spool.

mod closing;
mod console;
mod lane;
mod stream;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use drivers::clock::Clock;
use drivers::journal::Journal as Store;
use protocols::failure::FailureClass;
use protocols::ids::{AttemptId, TaskId, WorkerId};
use protocols::lifecycle::{Outcome, StopReason};
use protocols::order::EnvironmentReport;
use tokio::sync::{Semaphore, mpsc, watch};

use self::lane::Lane;
use super::supervisor::Child;
use crate::kit::{Lifeline, tell};

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
    /// What preparation found out.
    Environment(EnvironmentReport, std::collections::BTreeMap<String, serde_json::Value>),
    /// User code is about to run.
    UserStarted,
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

/// Counts how tasks ended, for the log.
pub(crate) fn class_name(outcome: &Outcome) -> &'static str {
    outcome.class().map_or("none", FailureClass::as_str)
}

/// What every lane needs.
#[derive(Clone)]
pub(crate) struct LaneTools {
    pub(crate) server: Arc<dyn TaskServer>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) attempts_dir: PathBuf,
    pub(crate) suppress_carriage_return: bool,
    /// How many lanes may hold a large packet in memory at the same time.
    pub(crate) packets: Arc<Semaphore>,
}

/// Tells the runner when its lane panics.
struct LaneGuard(Recipient<LaneFact>);

impl Drop for LaneGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&self.0, LaneFact::Broken);
        }
    }
}

struct Handle {
    items: mpsc::UnboundedSender<ReportItem>,
    console: watch::Sender<(u64, i64)>,
    running: tokio::task::AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) struct Reporter {
    tools: LaneTools,
    lanes: HashMap<TaskId, Handle>,
    _lifeline: Lifeline<Child>,
}

impl Reporter {
    pub(crate) fn new(tools: LaneTools, lifeline: Lifeline<Child>) -> Self {
        Self { tools, lanes: HashMap::new(), _lifeline: lifeline }
    }
}

impl Actor for Reporter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(256);
    }
}

impl Handler<OpenLane> for Reporter {
    type Result = ();

    fn handle(&mut self, message: OpenLane, _: &mut Self::Context) {
        // A lane's few status items are unbounded by type and bounded by the lifecycle: a dozen per run.
        let (items, told) = mpsc::unbounded_channel();
        let (console, length) = watch::channel((0, 0));
        let (task, facts) = (message.task.clone(), message.facts.clone());
        let lane = Lane::new(self.tools.clone(), message, told, length);
        let guard = LaneGuard(facts);
        let running = tokio::spawn(async move {
            lane.run().await;
            drop(guard);
        })
        .abort_handle();
        self.lanes.insert(task, Handle { items, console, running });
    }
}

impl Handler<Report> for Reporter {
    type Result = ();

    fn handle(&mut self, message: Report, _: &mut Self::Context) {
        let Some(lane) = self.lanes.get(&message.task) else {
            tracing::debug!(task = %message.task, "news for a lane that is not open");
            return;
        };
        // A lane that is gone has settled its task.
        let _ = lane.items.send(message.item);
    }
}

impl Handler<ConsoleGrew> for Reporter {
    type Result = ();

    fn handle(&mut self, message: ConsoleGrew, _: &mut Self::Context) {
        if let Some(lane) = self.lanes.get(&message.task) {
            lane.console.send_replace((message.length, message.at_ms));
        }
    }
}

/// Closes a task's lane.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CloseLane {
    pub(crate) task: TaskId,
}

impl Handler<CloseLane> for Reporter {
    type Result = ();

    fn handle(&mut self, message: CloseLane, _: &mut Self::Context) {
        self.lanes.remove(&message.task);
    }
}
