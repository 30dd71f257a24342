//! Images, code and environments of the next tasks in our queues, ahead of their turn: what a task would wait for is there
//! when it is taken.
//!
//! Queues are only read, with a call that every server knows; no task is claimed, no slot and no card is leased. One
//! task at a time is prepared, by a process that gets processors and disks only when nobody else wants them, and that
//! is stopped as soon as a task of ours begins to be prepared: nobody whose turn has come waits for one whose turn has
//! not. What it has downloaded until then is kept. How it ends means nothing to the task: a task that cannot be
//! prepared fails by itself, when its turn comes.

mod ahead;
mod board;
pub(super) mod work;

use std::collections::HashSet;
use std::sync::Arc;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use protocols::ids::TaskId;
use tokio::sync::watch;

use self::ahead::Ahead;
pub(crate) use self::board::PrefetchBoard;
use super::child::Child;
use super::long_poll::LongPoll;
use super::settings::DaemonSettings;
use crate::kit::Lifeline;

/// A task of ours begins to be prepared, or is not prepared any more.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct PreparationChanged {
    pub(crate) task: TaskId,
    pub(crate) is_under_way: bool,
}

/// Prepares nothing from now on. Answered when nothing runs any more.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct StopPrefetching;

/// Whom the prefetcher asks, and where it shows what it does.
#[derive(Clone)]
pub(crate) struct PrefetcherTools {
    pub(crate) settings: Arc<DaemonSettings>,
    pub(crate) server: Arc<dyn TaskServer>,
    /// Whether the server has the long-poll extension.
    pub(crate) long_poll: LongPoll,
    pub(crate) board: PrefetchBoard,
}

pub(crate) struct Prefetcher {
    tools: PrefetcherTools,
    /// Tasks of ours that are being prepared.
    under_way: HashSet<TaskId>,
    /// Whether there are none.
    is_quiet: watch::Sender<bool>,
    is_wanted: watch::Sender<bool>,
    /// Whether the loop is alive.
    is_working: watch::Sender<bool>,
    _lifeline: Lifeline<Child>,
}

impl Prefetcher {
    pub(crate) fn new(tools: PrefetcherTools, lifeline: Lifeline<Child>) -> Self {
        Self {
            tools,
            under_way: HashSet::new(),
            is_quiet: watch::channel(true).0,
            is_wanted: watch::channel(true).0,
            is_working: watch::channel(false).0,
            _lifeline: lifeline,
        }
    }
}

impl Actor for Prefetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.is_working.send_replace(true);
        let ahead = Ahead::new(self.tools.clone(), self.is_quiet.subscribe(), self.is_wanted.subscribe());
        ctx.spawn(ahead.run().into_actor(self).map(|(), this, _| {
            this.is_working.send_replace(false);
        }));
    }
}

impl Handler<PreparationChanged> for Prefetcher {
    type Result = ();

    fn handle(&mut self, message: PreparationChanged, _: &mut Self::Context) {
        if message.is_under_way {
            self.under_way.insert(message.task);
        } else {
            self.under_way.remove(&message.task);
        }
        self.is_quiet.send_if_modified(|is_quiet| {
            let before = std::mem::replace(is_quiet, self.under_way.is_empty());
            before != *is_quiet
        });
    }
}

impl Handler<StopPrefetching> for Prefetcher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopPrefetching, _: &mut Self::Context) -> Self::Result {
        self.is_wanted.send_replace(false);
        let mut is_working = self.is_working.subscribe();
        Box::pin(async move {
            let _ = is_working.wait_for(|is_working| !is_working).await;
        })
    }
}
