//! Workers as the server sees them: registration, heartbeats, machine statistics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use drivers::clock::Clock;
use protocols::clearml::workers::StatusReport;
use protocols::gpu::GpuCard;
use protocols::ids::{QueueId, TaskId, WorkerId};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::child::Child;
use super::gpu::board::GpuBoard;
use super::machine::{Machine, Sample};
use super::settings::{DaemonSettings, Services, WorkerSettings};
use crate::kit::{Backoff, Lifeline};

/// Machine statistics follow the start this soon; then every heartbeat has them. As the stock agent does.
const FIRST_STATS: Duration = Duration::from_secs(3);

/// A worker's task has changed; `None` when its slot is free again.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct WorkerTask {
    pub(crate) worker: WorkerId,
    pub(crate) task: Option<(TaskId, QueueId)>,
    /// The cards that it holds for it.
    pub(crate) gpus: Vec<GpuCard>,
}

/// Takes every worker off the server's list. Answered when that is done or has failed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Unregister;

pub(crate) struct Metrics {
    settings: Arc<DaemonSettings>,
    server: Arc<dyn TaskServer>,
    clock: Arc<dyn Clock>,
    reachable: Arc<AtomicBool>,
    board: GpuBoard,
    changes: BTreeMap<WorkerId, watch::Sender<Option<(TaskId, QueueId)>>>,
    sampled: Option<watch::Receiver<Option<Sample>>>,
    /// How many hearts beat.
    hearts: watch::Sender<usize>,
    _lifeline: Lifeline<Child>,
}

impl Metrics {
    pub(crate) fn new(
        settings: Arc<DaemonSettings>,
        server: Arc<dyn TaskServer>,
        clock: Arc<dyn Clock>,
        reachable: Arc<AtomicBool>,
        board: GpuBoard,
        lifeline: Lifeline<Child>,
    ) -> Self {
        let (changes, hearts) = (BTreeMap::new(), watch::channel(0).0);
        Self { settings, server, clock, reachable, board, changes, sampled: None, hearts, _lifeline: lifeline }
    }
}

impl Metrics {
    fn start_heart(&mut self, worker: WorkerSettings, life: Life, ctx: &mut Context<Self>) {
        let Some(sampled) = self.sampled.clone() else { return };
        let (changes, changed) = watch::channel(None);
        let id = worker.id.clone();
        self.changes.insert(id.clone(), changes);
        let heart = Heart {
            worker,
            life,
            is_registered: false,
            services: self.settings.services,
            server: Arc::clone(&self.server),
            clock: Arc::clone(&self.clock),
            reachable: Arc::clone(&self.reachable),
        };
        self.hearts.send_modify(|hearts| *hearts += 1);
        ctx.spawn(heart.beat(changed, sampled).into_actor(self).map(move |(), this, _| {
            this.hearts.send_modify(|hearts| *hearts -= 1);
            this.changes.remove(&id);
        }));
    }

    /// The worker of a task that has one of its own, and how long that lives.
    fn worker_of_task(&self, message: &WorkerTask) -> Option<(WorkerSettings, Life)> {
        let id = message.worker.clone();
        if let (Some(manager), true) = (self.settings.workers.first(), self.settings.dynamic.is_some()) {
            return Some((WorkerSettings { id, gpus: message.gpus.clone(), ..manager.clone() }, Life::Lease));
        }
        // A service, or a task that an earlier daemon began under another configuration: for both it is only a name, and
        // serves no queue. Those are the daemon's.
        let known = self.settings.worker(&id).or(self.settings.workers.first())?;
        let (queues, queue_names, gpus) = (Vec::new(), Vec::new(), message.gpus.clone());
        let worker = || WorkerSettings { id, queues, queue_names, gpus, ..known.clone() };
        message.task.is_some().then(|| (worker(), Life::Task))
    }
}

/// How long a worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// As long as the daemon: one of the configuration.
    Daemon,
    /// For the server only while it has a task; the next one of its cards has the same name.
    Lease,
    /// As long as its task.
    Task,
}

impl Actor for Metrics {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (samples, sampled) = watch::channel(None);
        ctx.spawn(sample_for_ever(Arc::clone(&self.settings), self.board.clone(), samples).into_actor(self));
        self.sampled = Some(sampled);
        for worker in self.settings.workers.clone() {
            self.start_heart(worker, Life::Daemon, ctx);
        }
    }
}

impl Handler<WorkerTask> for Metrics {
    type Result = ();

    fn handle(&mut self, message: WorkerTask, ctx: &mut Self::Context) {
        if !self.changes.contains_key(&message.worker) {
            let Some((worker, life)) = self.worker_of_task(&message) else { return };
            self.start_heart(worker, life, ctx);
        }
        if let Some(changes) = self.changes.get(&message.worker) {
            changes.send_replace(message.task);
        }
    }
}

impl Handler<Unregister> for Metrics {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Unregister, _: &mut Self::Context) -> Self::Result {
        // No heart beats on behind the worker's back; those of tasks sign off by themselves.
        self.changes.clear();
        let (settings, server) = (Arc::clone(&self.settings), Arc::clone(&self.server));
        let mut hearts = self.hearts.subscribe();
        Box::pin(async move {
            // What one is saying at this moment would put its worker back on the list.
            let _ = hearts.wait_for(|hearts| *hearts == 0).await;
            for worker in &settings.workers {
                if let Err(error) = server.unregister_worker(&worker.id, &worker.queues).await {
                    debug!(worker = %worker.id, %error, "cannot sign off");
                }
            }
        })
    }
}

/// One worker's heart.
struct Heart {
    worker: WorkerSettings,
    life: Life,
    is_registered: bool,
    services: Option<Services>,
    server: Arc<dyn TaskServer>,
    clock: Arc<dyn Clock>,
    reachable: Arc<AtomicBool>,
}

impl Heart {
    /// Registers, then reports on every change of its task and with every sample, until a sender is dropped, or the
    /// task ends of which it is the worker.
    async fn beat(
        mut self,
        mut changed: watch::Receiver<Option<(TaskId, QueueId)>>,
        mut sampled: watch::Receiver<Option<Sample>>,
    ) {
        if self.life == Life::Daemon {
            self.register().await;
            self.tell_limit().await;
        }
        loop {
            let with_stats = tokio::select! {
                change = changed.changed() => change.map(|()| false),
                sample = sampled.changed() => sample.map(|()| true),
            };
            let Ok(with_stats) = with_stats else { break };
            let task = changed.borrow_and_update().clone();
            if self.life != Life::Daemon && task.is_none() {
                self.unregister().await;
                // The task may have been taken again meanwhile.
                if self.life == Life::Task && changed.borrow().is_none() {
                    return;
                }
                continue;
            }
            if !self.is_registered {
                self.register().await;
            }
            let sample = sampled.borrow_and_update().clone().filter(|_| with_stats);
            self.report(task, sample).await;
        }
        if self.life != Life::Daemon {
            self.unregister().await;
        }
    }

    async fn unregister(&mut self) {
        if std::mem::take(&mut self.is_registered)
            && let Err(error) = self.server.unregister_worker(&self.worker.id, &self.worker.queues).await
        {
            debug!(worker = %self.worker.id, %error, "cannot sign off");
        }
    }

    /// How many services may run, for whoever looks at the server, where it keeps such a thing: as the stock agent.
    async fn tell_limit(&self) {
        let Some(Services { limit }) = self.services else { return };
        let limit = limit.map_or("-1".to_owned(), |limit| limit.to_string());
        if let Err(error) = self.server.set_worker_property(&self.worker.id, "max_num_instances", &limit).await {
            debug!(worker = %self.worker.id, %error, "the server does not keep the limit of services; it holds anyway");
        }
    }

    async fn register(&mut self) {
        self.is_registered = true;
        let mut backoff = Backoff::for_server();
        loop {
            match self.server.register_worker(&self.worker.id, &self.worker.queues).await {
                Ok(()) => {
                    info!(worker = %self.worker.id, queues = ?self.worker.queue_names, "registered");
                    return;
                }
                Err(error) if error.is_transient() => {
                    self.reachable.store(false, Ordering::Relaxed);
                    backoff.wait().await;
                }
                Err(error) => {
                    warn!(worker = %self.worker.id, %error, "cannot register; its heartbeats will make it known");
                    return;
                }
            }
        }
    }

    /// A heartbeat is replaceable: one that fails is followed by the next.
    async fn report(&self, task: Option<(TaskId, QueueId)>, sample: Option<Sample>) {
        let machine_stats = sample.map(|sample| sample.for_worker(&self.worker));
        let (task, queue) = task.unzip();
        let report = StatusReport {
            worker: self.worker.id.clone(),
            timestamp: self.clock.now_ms(),
            task,
            queue,
            queues: self.worker.queues.clone(),
            machine_stats,
            tags: None,
            is_daemon: self.life != Life::Task,
        };
        let answer = self.server.status_report(report).await;
        let reachable = answer.as_ref().map_or_else(|error| error.api().is_some(), |()| true);
        self.reachable.store(reachable, Ordering::Relaxed);
        if let Err(error) = answer {
            debug!(worker = %self.worker.id, %error, "heartbeat failed");
        }
    }
}

/// Looks at the machine, on a thread where blocking is allowed, once per heartbeat: rates are means over the whole
/// time between two.
async fn sample_for_ever(settings: Arc<DaemonSettings>, board: GpuBoard, samples: watch::Sender<Option<Sample>>) {
    let wanted = Arc::clone(&settings);
    let Ok(mut machine) = tokio::task::spawn_blocking(move || Machine::open(&wanted, board)).await else { return };
    let mut wait = FIRST_STATS;
    loop {
        tokio::time::sleep(wait).await;
        wait = settings.status_report_interval;
        let sampling = tokio::task::spawn_blocking(move || {
            let sample = machine.sample();
            (machine, sample)
        });
        match sampling.await {
            Ok((again, sample)) => {
                machine = again;
                samples.send_replace(Some(sample));
            }
            Err(error) => {
                warn!(%error, "machine statistics end here");
                return std::future::pending().await;
            }
        }
    }
}
