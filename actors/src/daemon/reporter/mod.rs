//! Outbound news of every task: status, console, packages. Order kept, retried, spooled while the server is away.
//!
//! One lane per task, so that no task's flood delays another's reports. Console bytes never enter a mailbox: a lane
//! reads the file that the attempt writes, at its own pace; the file is the spool.

mod closing;
mod console;
mod gpus;
mod lane;
mod messages;
mod preparation;
mod requeue;
mod shipping;
mod stream;

use std::collections::HashMap;

use actix::prelude::*;
use protocols::ids::TaskId;
use tokio::sync::{mpsc, watch};

pub(crate) use self::closing::{class_name, status_message};
use self::lane::Lane;
pub(crate) use self::lane::LaneTools;
pub(crate) use self::messages::{CloseLane, ConsoleGrew, LaneFact, OpenLane, Report, ReportItem};
use super::child::Child;
use crate::kit::{Lifeline, tell};

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

impl Handler<CloseLane> for Reporter {
    type Result = ();

    fn handle(&mut self, message: CloseLane, _: &mut Self::Context) {
        self.lanes.remove(&message.task);
    }
}
