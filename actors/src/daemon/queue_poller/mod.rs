//! Takes tasks from queues. Invariant Q1: no pull without a lease.
//!
//! A pop is destructive and the server keeps no trace of who popped. So every pull is written down twice: as an
//! intent before it, naming the task at the head of the queue, and as a fact after it. A daemon that finds an intent
//! without its fact asks the server: a task that is still `queued` and stands in no queue was taken.

mod dynamic;
mod group;
mod one;
mod pull;
mod tools;

use std::sync::Arc;

use actix::prelude::*;
use protocols::ids::{QueueId, TaskId, WorkerId};
use tokio::sync::{Notify, watch};

use self::dynamic::Dynamic;
use self::group::Group;
pub(crate) use self::one::NothingToRun;
use self::one::One;
pub(crate) use self::tools::PollerTools;
use super::child::Child;
use super::gpu::partitioner::LeaseFreed;
use super::settings::DaemonSettings;
use super::task_manager::FindRunner;
use crate::kit::Lifeline;

/// Takes nothing new from now on. Answered when no pull is under way any more.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct StopPulling;

pub(crate) struct QueuePoller {
    tools: PollerTools,
    freed: Arc<Notify>,
    pulling: watch::Sender<bool>,
    /// How many loops are alive.
    loops: watch::Sender<usize>,
    _lifeline: Lifeline<Child>,
}

impl QueuePoller {
    pub(crate) fn new(tools: PollerTools, lifeline: Lifeline<Child>) -> Self {
        Self {
            tools,
            freed: Arc::new(Notify::new()),
            pulling: watch::channel(true).0,
            loops: watch::channel(0).0,
            _lifeline: lifeline,
        }
    }

    fn start_loops(&mut self, ctx: &mut Context<Self>) {
        if let Some(only) = &self.tools.settings.only {
            let one = One::new(self.tools.clone(), only.clone(), self.pulling.subscribe());
            self.start_loop(one.run(), ctx);
            return;
        }
        if let Some(dynamic) = &self.tools.settings.dynamic {
            let (tools, gpus) = (self.tools.clone(), dynamic.clone());
            let dynamic = Dynamic::new(tools, gpus, Arc::clone(&self.freed), self.pulling.subscribe());
            self.start_loop(dynamic.run(), ctx);
            return;
        }
        for (queues, workers) in groups(&self.tools.settings) {
            let group =
                Group::new(self.tools.clone(), queues, workers, Arc::clone(&self.freed), self.pulling.subscribe());
            self.start_loop(group.run(), ctx);
        }
    }

    fn start_loop(&self, running: impl Future<Output = ()> + 'static, ctx: &mut Context<Self>) {
        self.loops.send_modify(|loops| *loops += 1);
        ctx.spawn(running.into_actor(self).map(|(), this, _| {
            this.loops.send_modify(|loops| *loops -= 1);
        }));
    }
}

/// Workers that serve the same queues in the same order poll together.
fn groups(settings: &DaemonSettings) -> Vec<(Vec<QueueId>, Vec<WorkerId>)> {
    let mut groups: Vec<(Vec<QueueId>, Vec<WorkerId>)> = Vec::new();
    for worker in &settings.workers {
        match groups.iter_mut().find(|(queues, _)| *queues == worker.queues) {
            Some((_, workers)) => workers.push(worker.id.clone()),
            None => groups.push((worker.queues.clone(), vec![worker.id.clone()])),
        }
    }
    groups
}

impl Actor for QueuePoller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Invariant S1: what an earlier daemon, or an earlier incarnation, left undecided is decided first.
        let tools = self.tools.clone();
        let deciding = async move {
            pull::decide_intents(tools.clone()).await;
            // Whoever asks there waits until what runs is booked: no slot of it may be given out before.
            let _ = tools.find.send(FindRunner { task: TaskId::new("") }).await;
        };
        ctx.wait(deciding.into_actor(self).map(|(), this, ctx| this.start_loops(ctx)));
    }
}

impl Handler<LeaseFreed> for QueuePoller {
    type Result = ();

    fn handle(&mut self, _: LeaseFreed, _: &mut Self::Context) {
        self.freed.notify_waiters();
    }
}

impl Handler<StopPulling> for QueuePoller {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopPulling, _: &mut Self::Context) -> Self::Result {
        self.pulling.send_replace(false);
        let mut loops = self.loops.subscribe();
        Box::pin(async move {
            let _ = loops.wait_for(|loops| *loops == 0).await;
        })
    }
}
