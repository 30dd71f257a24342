//! Making an actor panic, from within one of its handlers.

use std::collections::HashMap;

use actix::prelude::*;
use protocols::ids::TaskId;

use crate::daemon::abort_watcher::AbortWatcher;
use crate::daemon::child::Child;
use crate::daemon::executor_gateway::ExecutorGateway;
use crate::daemon::gpu::partitioner::GpuPartitioner;
use crate::daemon::journal::Journal;
use crate::daemon::metrics::Metrics;
use crate::daemon::queue_poller::QueuePoller;
use crate::daemon::reporter::Reporter;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::task_manager::{FindRunner, TaskManager};
use crate::daemon::task_runner::TaskRunner;

/// The receiver panics.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct PanicNow;

/// Who is to panic.
#[derive(Clone, Debug)]
pub(crate) enum PanicTarget {
    Child(Child),
    Runner(TaskId),
}

/// Makes somebody panic.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct MakePanic(pub(crate) PanicTarget);

/// The children that can be made to panic.
pub(crate) type PanicButtons = HashMap<Child, Recipient<PanicNow>>;

macro_rules! panics {
    ($($actor:ty),+) => {
        $(impl Handler<PanicNow> for $actor {
            type Result = ();

            fn handle(&mut self, _: PanicNow, _: &mut Self::Context) {
                panic!("asked to");
            }
        })+
    };
}

panics!(
    AbortWatcher,
    ExecutorGateway,
    GpuPartitioner,
    Journal,
    Metrics,
    QueuePoller,
    Reporter,
    TaskManager,
    TaskRunner
);

impl Handler<MakePanic> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: MakePanic, _: &mut Self::Context) -> Self::Result {
        match message.0 {
            PanicTarget::Child(child) => {
                let button = self.panic_buttons.get(&child).cloned();
                Box::pin(async move {
                    if let Some(button) = button {
                        let _ = button.send(PanicNow).await;
                    }
                })
            }
            PanicTarget::Runner(task) => {
                let tasks = self.core.as_ref().map(|core| core.tasks.clone());
                Box::pin(async move {
                    let Some(tasks) = tasks else { return };
                    if let Ok(Some(runner)) = tasks.send(FindRunner { task }).await {
                        let _ = runner.send(PanicNow).await;
                    }
                })
            }
        }
    }
}
