//! The executor's side of the connection to the daemon: keeps what was not acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use protocols::ipc::{DaemonFrame, ExecutorFact};
use protocols::order::ExecutorOrder;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::child::Child;
use super::link::{self, LinkNews, NumberedFact, Outbox};
use super::log_pump::ConsoleGrew;
use crate::kit::{Lifeline, tell};

/// Sends a fact to the daemon, now or when there is one again, until it is acknowledged.
#[derive(Message, Clone, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub(super) struct SendFact {
    /// From 1, without gaps.
    pub(super) number: u64,
    /// What happened.
    pub(super) fact: ExecutorFact,
}

/// What comes down from the daemon, or is known about it.
#[derive(Message, Clone, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub(super) enum UplinkNews {
    /// End the task.
    Stop {
        /// Why, in the words of the protocol.
        reason: protocols::lifecycle::StopReason,
        /// Time between SIGTERM and SIGKILL.
        grace: Duration,
    },
    /// The daemon does not want this executor.
    Refused {
        /// Why.
        why: String,
    },
    /// Every fact up to this number is durable at the daemon.
    Acknowledged {
        /// The number.
        number: u64,
    },
    /// The attempt's folder is not there any more: nobody will ever ask for this attempt.
    FolderGone,
}

/// Owns the facts that the daemon has not acknowledged.
pub(super) struct Uplink {
    order: Arc<ExecutorOrder>,
    outbox: watch::Sender<Outbox>,
    parent: Recipient<UplinkNews>,
    _lifeline: Lifeline<Child>,
}

impl Uplink {
    /// An uplink that has `facts` to send, all from number 1 on.
    pub(super) fn new(
        order: Arc<ExecutorOrder>,
        facts: impl IntoIterator<Item = ExecutorFact>,
        parent: Recipient<UplinkNews>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        let facts: VecDeque<NumberedFact> = (1..).zip(facts).collect();
        let (outbox, _) = watch::channel(Outbox { facts, console: None });
        Self { order, outbox, parent, _lifeline: lifeline }
    }

    fn acknowledged(&self, number: u64) {
        self.outbox.send_if_modified(|outbox| {
            outbox.facts.retain(|(other, _)| *other > number);
            false // there is less to send, hence nothing to wake for
        });
        tell(&self.parent, UplinkNews::Acknowledged { number });
    }
}

impl Actor for Uplink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let news = ctx.address().recipient();
        let link = link::keep_connected(Arc::clone(&self.order), self.outbox.subscribe(), news);
        ctx.spawn(link.into_actor(self));
    }
}

impl Handler<SendFact> for Uplink {
    type Result = ();

    fn handle(&mut self, SendFact { number, fact }: SendFact, _: &mut Self::Context) {
        self.outbox.send_modify(|outbox| outbox.facts.push_back((number, fact)));
    }
}

impl Handler<ConsoleGrew> for Uplink {
    type Result = ();

    fn handle(&mut self, grown: ConsoleGrew, _: &mut Self::Context) {
        self.outbox.send_modify(|outbox| outbox.console = Some(grown));
    }
}

impl Handler<LinkNews> for Uplink {
    type Result = ();

    fn handle(&mut self, news: LinkNews, _: &mut Self::Context) {
        match news {
            LinkNews::FolderGone => tell(&self.parent, UplinkNews::FolderGone),
            LinkNews::Frame(DaemonFrame::Welcome { acknowledged }) => {
                debug!(acknowledged, "attached to the daemon");
                self.acknowledged(acknowledged);
            }
            LinkNews::Frame(DaemonFrame::Acknowledged { number }) => self.acknowledged(number),
            LinkNews::Frame(DaemonFrame::Refused { why }) => {
                warn!(%why, "refused by the daemon");
                tell(&self.parent, UplinkNews::Refused { why });
            }
            LinkNews::Frame(DaemonFrame::Stop { reason, grace_ms }) => {
                tell(&self.parent, UplinkNews::Stop { reason, grace: Duration::from_millis(grace_ms) });
            }
        }
    }
}
