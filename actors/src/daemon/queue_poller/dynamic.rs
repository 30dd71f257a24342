//! The loop that gives dynamic GPUs to those that wait in the queues.

use std::collections::BTreeSet;
use std::sync::Arc;

use drivers::clearml::ClientError;
use protocols::gpu::{Demand, Share, WishError};
use protocols::ids::{QueueId, TaskId};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::group::{LONG_POLL, STILL_SETTLING};
use super::pull::{self, Pull};
use super::tools::{PollerTools, Reservation};
use crate::daemon::gpu::partitioner::{ReserveFirst, Reserved, RestoreLease, Wanted};
use crate::daemon::settings::DynamicGpus;
use crate::daemon::task_manager::FindRunner;
use crate::kit::Backoff;

/// What the queues have.
#[derive(Clone, Debug, Default)]
struct Heads {
    /// In order of priority.
    waiting: Vec<Wanted>,
    /// Heads that say nonsense of GPUs.
    refused: Vec<(QueueId, TaskId, WishError)>,
    empty: Vec<QueueId>,
    /// A head is there whose earlier run is still being settled.
    is_settling: bool,
}

pub(super) struct Dynamic {
    tools: PollerTools,
    gpus: DynamicGpus,
    freed: Arc<Notify>,
    pulling: watch::Receiver<bool>,
    backoff: Backoff,
    /// For `--order-fairness`: where the next round begins.
    next_queue: usize,
    warned: bool,
    /// Tasks that want more than this machine has, and that are left to other workers.
    left: BTreeSet<TaskId>,
}

impl Dynamic {
    pub(super) fn new(
        tools: PollerTools,
        gpus: DynamicGpus,
        freed: Arc<Notify>,
        pulling: watch::Receiver<bool>,
    ) -> Self {
        let (backoff, left) = (Backoff::for_server(), BTreeSet::new());
        Self { tools, gpus, freed, pulling, backoff, next_queue: 0, warned: false, left }
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
            if self.serve(&heads).await {
                continue;
            }
            tokio::select! {
                () = freed => {}
                () = self.change(&heads) => {}
                _ = pulling.changed() => {}
            }
        }
    }

    /// Takes one of the heads, if one can be taken. Invariant Q1: the lease comes before the pull.
    async fn serve(&mut self, heads: &Heads) -> bool {
        if let Some((queue, task, why)) = heads.refused.first() {
            warn!(%task, %why, "a task is refused");
            self.refuse(task.clone(), queue.clone()).await;
            return true;
        }
        let asked = self.tools.reserve_first.send(ReserveFirst { waiting: heads.waiting.clone() }).await;
        let Ok(Reserved { lease, never }) = asked else { return false };
        if let Some((position, lease)) = lease {
            let reservation = Reservation::new(lease, self.tools.release.clone());
            let Wanted { task, queue, .. } = heads.waiting[position].clone();
            self.take(task, queue, reservation).await;
            return true;
        }
        self.left.retain(|task| heads.waiting.iter().any(|wanted| wanted.task == *task));
        for position in never {
            let Wanted { task, queue, demand } = &heads.waiting[position];
            if self.has_no_other(queue).await {
                warn!(%task, gpus = %demand, "a task wants more GPUs than there are");
                self.refuse(task.clone(), queue.clone()).await;
                return true;
            }
            if self.left.insert(task.clone()) {
                info!(%task, gpus = %demand, "a task wants more GPUs than there are: it is left to other workers");
            }
        }
        false
    }

    async fn take(&mut self, task: TaskId, queue: QueueId, reservation: Reservation) {
        if let Some(index) = self.gpus.demands.iter().position(|(other, _)| *other == queue) {
            self.next_queue = index + 1;
        }
        pull::pull(&self.tools, Pull { task, queue, reservation }).await;
    }

    /// Takes a task without cards, in the name of the daemon's own worker: its runner finds what is wrong, and fails it.
    /// So a refusal survives a crash as everything that was taken does.
    async fn refuse(&mut self, task: TaskId, queue: QueueId) {
        let Some(own) = self.tools.settings.workers.first() else { return };
        let nothing = RestoreLease { worker: own.id.clone(), gpus: Vec::new(), share: Share::NOTHING };
        if let Ok(lease) = self.tools.restore.send(nothing).await {
            self.take(task, queue, Reservation::new(lease, self.tools.release.clone())).await;
        }
    }

    /// Whether nobody but this daemon serves a queue. Not so as long as the server does not say.
    async fn has_no_other(&self, queue: &QueueId) -> bool {
        let own = format!("{}:", self.gpus.name);
        let is_own =
            |id: &str| id.starts_with(&own) || self.tools.settings.workers.iter().any(|own| own.id.as_str() == id);
        match self.tools.server.queue_workers(queue).await {
            Ok(workers) => workers.iter().all(|worker| is_own(worker.as_str())),
            Err(error) => {
                debug!(%queue, %error, "cannot find out who else serves the queue");
                false
            }
        }
    }

    /// What stands at the head of each queue, and what it wants; `None` to look again.
    async fn heads(&mut self) -> Option<Heads> {
        let order = self.queue_order();
        let heads = match self.look(&order).await {
            Ok(heads) => heads,
            Err(error) => {
                self.is_away(&error).await;
                return None;
            }
        };
        if std::mem::take(&mut self.warned) {
            info!("the server answers again");
        }
        self.backoff.reset();
        Some(heads)
    }

    async fn look(&self, order: &[(QueueId, Demand)]) -> Result<Heads, ClientError> {
        let ids: Vec<QueueId> = order.iter().map(|(queue, _)| queue.clone()).collect();
        let found = self.tools.server.queues_heads(&ids).await?;
        let tasks: Vec<TaskId> = found.iter().filter_map(|(_, head)| head.clone()).collect();
        let mut wishes = self.tools.server.task_wishes(&tasks).await?;
        let mut heads = Heads::default();
        for queue in ids {
            let head = found.iter().find(|(other, _)| *other == queue).and_then(|(_, head)| head.clone());
            let Some(task) = head else {
                heads.empty.push(queue);
                continue;
            };
            if self.is_settling(&task).await {
                debug!(%task, "waits for its earlier run to be settled");
                heads.is_settling = true;
                continue;
            }
            // One that is gone by now is taken like any other: its runner finds that out.
            let said = wishes.remove(&task).unwrap_or_default();
            match self.gpus.wish(&said, &queue) {
                Ok(wish) => heads.waiting.push(Wanted { task, queue, demand: wish.demand }),
                Err(error) => heads.refused.push((queue, task, error)),
            }
        }
        Ok(heads)
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
        let mut order = self.gpus.demands.clone();
        if self.tools.settings.order_fairness && !order.is_empty() {
            order.rotate_left(self.next_queue % self.gpus.demands.len());
        }
        order
    }
}
