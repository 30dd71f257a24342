//! One loop per set of workers that serve the same queues.

use std::sync::Arc;
use std::time::Duration;

use protocols::ids::{QueueId, TaskId, WorkerId};
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use super::pull::{self, Pull};
use super::tools::{PollerTools, Reservation};
use crate::daemon::gpu::partitioner::ReserveLease;
use crate::daemon::task_manager::FindRunner;
use crate::kit::Backoff;

/// How long one long-poll lasts.
pub(super) const LONG_POLL: Duration = Duration::from_secs(50);
/// A task whose earlier run is being settled is looked at again after this.
pub(super) const STILL_SETTLING: Duration = Duration::from_millis(100);

pub(super) struct Group {
    tools: PollerTools,
    queues: Vec<QueueId>,
    workers: Vec<WorkerId>,
    freed: Arc<Notify>,
    pulling: watch::Receiver<bool>,
    backoff: Backoff,
    /// For `--order-fairness`: where the next round begins.
    next_queue: usize,
    warned: bool,
}

impl Group {
    pub(super) fn new(
        tools: PollerTools,
        queues: Vec<QueueId>,
        workers: Vec<WorkerId>,
        freed: Arc<Notify>,
        pulling: watch::Receiver<bool>,
    ) -> Self {
        Self { tools, queues, workers, freed, pulling, backoff: Backoff::for_server(), next_queue: 0, warned: false }
    }

    /// Leases, looks, pulls, until told to stop. Never stops between an intent and its decision.
    pub(super) async fn run(mut self) {
        while *self.pulling.borrow() {
            let freed = Arc::clone(&self.freed);
            let mut pulling = self.pulling.clone();
            let waiting = freed.notified();
            let Some(reservation) = self.reserve().await else {
                tokio::select! {
                    () = waiting => {}
                    _ = pulling.changed() => {}
                }
                continue;
            };
            let head = tokio::select! {
                head = self.head() => head,
                _ = pulling.changed() => continue,
            };
            if let Some((queue, task)) = head {
                self.take(queue, task, reservation).await;
            }
        }
    }

    async fn reserve(&self) -> Option<Reservation> {
        let lease = self.tools.reserve.send(ReserveLease { workers: self.workers.clone() }).await.ok()??;
        Some(Reservation::new(lease, self.tools.release.clone()))
    }

    /// The next task that is waiting; `None` to look again.
    async fn head(&mut self) -> Option<(QueueId, TaskId)> {
        let order = self.queue_order();
        let long_poll = self.tools.long_poll.is_there();
        let found = if long_poll {
            self.tools.server.wait_for_queues(&order, LONG_POLL).await
        } else {
            let heads = self.tools.server.queues_heads(&order).await;
            heads.map(|heads| heads.into_iter().find_map(|(queue, head)| Some((queue, head?))))
        };
        match found {
            Ok(found) => {
                if std::mem::take(&mut self.warned) {
                    tracing::info!("the server answers again");
                }
                self.backoff.reset();
                if found.is_none() && !long_poll {
                    tokio::time::sleep(self.tools.settings.polling_interval).await;
                }
                found
            }
            Err(error) => {
                self.tools.long_poll.learn_from(&error);
                if !std::mem::replace(&mut self.warned, true) {
                    warn!(%error, "cannot look into the queues; will try again");
                }
                self.backoff.wait().await;
                None
            }
        }
    }

    fn queue_order(&self) -> Vec<QueueId> {
        let mut order = self.queues.clone();
        if self.tools.settings.order_fairness && !order.is_empty() {
            order.rotate_left(self.next_queue % self.queues.len());
        }
        order
    }

    async fn take(&mut self, queue: QueueId, task: TaskId, reservation: Reservation) {
        if let Ok(Some(_)) = self.tools.find.send(FindRunner { task: task.clone() }).await {
            // Its last run has ended, and the server has not acknowledged, or the journal not noted, that yet.
            debug!(%task, "waits for its earlier run to be settled");
            tokio::time::sleep(STILL_SETTLING).await;
            return;
        }
        if let Some(index) = self.queues.iter().position(|other| *other == queue) {
            self.next_queue = index + 1;
        }
        pull::pull(&self.tools, Pull { task, queue, reservation }).await;
    }
}
