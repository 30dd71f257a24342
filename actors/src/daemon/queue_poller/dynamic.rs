//! The loop that gives dynamic GPUs to those that wait in the queues.

use std::sync::Arc;

use drivers::clearml::ClientError;
use protocols::gpu::Demand;
use protocols::ids::{QueueId, TaskId};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::group::{LONG_POLL, STILL_SETTLING};
use super::pull::{self, Pull};
use super::tools::{PollerTools, Reservation};
use crate::daemon::gpu_partitioner::ReserveFirst;
use crate::daemon::task_manager::FindRunner;
use crate::kit::Backoff;

/// The head of a queue.
#[derive(Clone, Debug)]
struct Waiting {
    queue: QueueId,
    task: TaskId,
    demand: Demand,
}

/// What the queues have.
#[derive(Clone, Debug, Default)]
struct Heads {
    /// In order of priority.
    waiting: Vec<Waiting>,
    empty: Vec<QueueId>,
    /// A head is there whose earlier run is still being settled.
    is_settling: bool,
}

pub(super) struct Dynamic {
    tools: PollerTools,
    queues: Vec<(QueueId, Demand)>,
    freed: Arc<Notify>,
    pulling: watch::Receiver<bool>,
    backoff: Backoff,
    /// For `--order-fairness`: where the next round begins.
    next_queue: usize,
    warned: bool,
}

impl Dynamic {
    pub(super) fn new(
        tools: PollerTools,
        queues: Vec<(QueueId, Demand)>,
        freed: Arc<Notify>,
        pulling: watch::Receiver<bool>,
    ) -> Self {
        Self { tools, queues, freed, pulling, backoff: Backoff::for_server(), next_queue: 0, warned: false }
    }

    /// Looks, leases, pulls, until told to stop. Never stops between an intent and its decision.
    pub(super) async fn run(mut self) {
        while *self.pulling.borrow() {
            let freed = Arc::clone(&self.freed);
            let mut pulling = self.pulling.clone();
            // From here on: what is given back while we look is not missed.
            let freed = freed.notified();
            let heads = tokio::select! {
                heads = self.heads() => heads,
                _ = pulling.changed() => continue,
            };
            let Some(heads) = heads else { continue };
            if let Some((waiting, reservation)) = self.reserve(&heads).await {
                self.take(waiting, reservation).await;
                continue;
            }
            tokio::select! {
                () = freed => {}
                () = self.change(&heads) => {}
                _ = pulling.changed() => {}
            }
        }
    }

    /// Invariant Q1: the lease comes before the pull.
    async fn reserve(&self, heads: &Heads) -> Option<(Waiting, Reservation)> {
        if heads.waiting.is_empty() {
            return None;
        }
        let waiting = heads.waiting.iter().map(|waiting| (waiting.task.clone(), waiting.demand)).collect();
        let (position, lease) = self.tools.reserve_first.send(ReserveFirst { waiting }).await.ok()??;
        let reservation = Reservation::new(lease, self.tools.release.clone());
        Some((heads.waiting[position].clone(), reservation))
    }

    async fn take(&mut self, waiting: Waiting, reservation: Reservation) {
        let Waiting { task, queue, .. } = waiting;
        if let Some(index) = self.queues.iter().position(|(other, _)| *other == queue) {
            self.next_queue = index + 1;
        }
        pull::pull(&self.tools, Pull { task, queue, reservation }).await;
    }

    /// What stands at the head of each queue; `None` to look again.
    async fn heads(&mut self) -> Option<Heads> {
        let order = self.queue_order();
        let ids: Vec<QueueId> = order.iter().map(|(queue, _)| queue.clone()).collect();
        let found = match self.tools.server.queues_heads(&ids).await {
            Ok(found) => found,
            Err(error) => {
                self.is_away(&error).await;
                return None;
            }
        };
        if std::mem::take(&mut self.warned) {
            info!("the server answers again");
        }
        self.backoff.reset();
        let mut heads = Heads::default();
        for (queue, demand) in order {
            let head = found.iter().find(|(other, _)| *other == queue).and_then(|(_, head)| head.clone());
            let Some(task) = head else {
                heads.empty.push(queue);
                continue;
            };
            if self.is_settling(&task).await {
                debug!(%task, "waits for its earlier run to be settled");
                heads.is_settling = true;
            } else {
                heads.waiting.push(Waiting { queue, task, demand });
            }
        }
        Some(heads)
    }

    /// Its last run has ended, and the server has not acknowledged, or the journal not noted, that yet.
    async fn is_settling(&self, task: &TaskId) -> bool {
        matches!(self.tools.find.send(FindRunner { task: task.clone() }).await, Ok(Some(_)))
    }

    async fn is_away(&mut self, error: &ClientError) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!(%error, "cannot look into the queues; will try again");
        }
        self.backoff.wait().await;
    }

    /// Returns when it is worth a look again: an empty queue has something, or what waits may be another by now.
    async fn change(&self, heads: &Heads) {
        if heads.is_settling {
            tokio::time::sleep(STILL_SETTLING).await;
            return;
        }
        let look_again = async {
            // The head of a queue that waits for GPUs may be taken back, and what it holds is free then.
            let is_held = !heads.waiting.is_empty() || !self.tools.long_poll.is_there();
            tokio::time::sleep(if is_held { self.tools.settings.polling_interval } else { LONG_POLL }).await;
        };
        tokio::select! {
            () = look_again => {}
            () = self.arrival(&heads.empty) => {}
        }
    }

    /// Returns when one of these queues has something, or the server is away. Never, on a server that cannot tell.
    async fn arrival(&self, empty: &[QueueId]) {
        while self.tools.long_poll.is_there() && !empty.is_empty() {
            match self.tools.server.wait_for_queues(empty, LONG_POLL).await {
                Ok(Some(_)) => return,
                Ok(None) => {}
                Err(error) => {
                    self.tools.long_poll.learn_from(&error);
                    return;
                }
            }
        }
        std::future::pending::<()>().await;
    }

    fn queue_order(&self) -> Vec<(QueueId, Demand)> {
        let mut order = self.queues.clone();
        if self.tools.settings.order_fairness && !order.is_empty() {
            order.rotate_left(self.next_queue % self.queues.len());
        }
        order
    }
}
