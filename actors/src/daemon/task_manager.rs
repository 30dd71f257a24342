//! The owner of the set of live tasks: one [`TaskRunner`] each.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use actix::prelude::*;
use protocols::gpu::{GpuStop, Lease};
use protocols::ids::{GpuId, QueueId, TaskId};
use protocols::journal::{Recovered, Run};
use protocols::lifecycle::{StopReason, TaskState};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::attempt::remove_attempts;
use super::child::Child;
use super::gpu::partitioner::RestoreLease;
use super::gpu::usage::{self, DeviceUse};
use super::journal::{ForgetSettled, LoadJournal};
use super::metrics::WorkerTask;
use super::task_runner::{BlameTask, ReopenLane, RunFact, RunnerTools, StopTask, TaskRunner, UseOfGpus};
use crate::kit::{ChildExited, Lifeline, Port, RestartDecision, RestartHistory, RestartPolicy, tell};

/// How many settled runs the journal keeps, for whoever looks into it after an accident.
const KEPT_RUNS: usize = 64;

/// Takes over a task that was just pulled, with its lease.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct StartRun {
    pub(crate) task: TaskId,
    pub(crate) run: Run,
    pub(crate) lease: Lease,
}

/// Stops one task.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct StopOne {
    pub(crate) task: TaskId,
    pub(crate) reason: StopReason,
}

/// News of the cards that concerns tasks.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) enum GpuNews {
    /// What runs on these cannot go on.
    Broken { devices: BTreeSet<GpuId>, stop: GpuStop },
    /// A program on these did something wrong.
    Blamed { devices: BTreeSet<GpuId>, line: String },
    /// How the cards are used at the moment.
    Used(Vec<DeviceUse>),
}

/// Stops every task.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct StopAll {
    /// Without grace.
    pub(crate) now: bool,
}

/// The tasks that the server has as `in_progress`, and that still run.
#[derive(Message, Debug)]
#[rtype(result = "Vec<TaskId>")]
pub(crate) struct GetWatched;

/// How many runs are not settled, and how many of them still run.
#[derive(Message, Debug)]
#[rtype(result = "Load")]
pub(crate) struct GetLoad;

/// Answer of [`GetLoad`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, MessageResponse)]
pub(crate) struct Load {
    pub(crate) unsettled: usize,
    pub(crate) running: usize,
}

/// Whose executor is this? `None`: nobody's.
#[derive(Message, Debug)]
#[rtype(result = "Option<Addr<TaskRunner>>")]
pub(crate) struct FindRunner {
    pub(crate) task: TaskId,
}

/// The reporter was rebuilt: every runner opens its lane again.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ReopenLanes;

/// Tells `Metrics`, which was rebuilt, what every worker does.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RepeatWorkerTasks;

/// The set of watched tasks has changed.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct WatchedChanged;

/// The number of live tasks has changed.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct LoadChanged(pub(crate) Load);

/// Where this actor's facts go.
#[derive(Clone, Default)]
pub(crate) struct TaskManagerPorts {
    pub(crate) watched: Port<WatchedChanged>,
    pub(crate) worker_task: Port<WorkerTask>,
    pub(crate) load: Port<LoadChanged>,
}

/// Whom this actor asks, down the ranks.
#[derive(Clone)]
pub(crate) struct TaskManagerAsks {
    pub(crate) load_journal: Recipient<LoadJournal>,
    pub(crate) forget: Recipient<ForgetSettled>,
    pub(crate) restore_lease: Recipient<RestoreLease>,
}

struct Entry {
    runner: Addr<TaskRunner>,
    queue: QueueId,
    worker: protocols::ids::WorkerId,
    pull: u64,
    /// Held until the run is finished; kept here too, because a runner that panics takes its own with it.
    lease: Option<Lease>,
    watched: bool,
    restarts: RestartHistory,
}

pub(crate) struct TaskManager {
    tools: RunnerTools,
    asks: TaskManagerAsks,
    ports: TaskManagerPorts,
    recovered: Vec<(TaskId, Run)>,
    tasks: HashMap<TaskId, Entry>,
    settled: VecDeque<(TaskId, u64)>,
    _lifeline: Lifeline<Child>,
}

impl TaskManager {
    /// `recovered` are the runs that the journal knows.
    pub(crate) fn new(
        tools: RunnerTools,
        asks: TaskManagerAsks,
        ports: TaskManagerPorts,
        recovered: BTreeMap<TaskId, Run>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        let (settled, recovered): (Vec<_>, Vec<_>) =
            recovered.into_iter().partition(|(_, run)| matches!(run.state, TaskState::Settled(_)));
        let settled = settled.into_iter().map(|(task, run)| (task, run.last_entry)).collect();
        Self { tools, asks, ports, recovered, tasks: HashMap::new(), settled, _lifeline: lifeline }
    }

    fn begin(&mut self, task: &TaskId, run: Run, lease: Option<Lease>, resumed: bool, ctx: &mut Context<Self>) {
        let restarts = self.tasks.remove(task).map(|entry| entry.restarts).unwrap_or_default();
        let (worker, queue, pull) = (run.worker.clone(), run.queue.clone(), run.pull);
        let lifeline = Lifeline::new(&ctx.address(), task.clone());
        let runner = TaskRunner::new(task.clone(), run, lease.clone(), resumed, self.tools.clone(), lifeline).start();
        self.tasks.insert(task.clone(), Entry { runner, queue, worker, pull, lease, watched: false, restarts });
        self.tell_worker(task);
        self.tell_load();
    }

    fn load(&self) -> Load {
        Load { unsettled: self.tasks.len(), running: self.tasks.values().filter(|entry| entry.lease.is_some()).count() }
    }

    fn tell_load(&self) {
        self.ports.load.tell(LoadChanged(self.load()));
    }

    fn tell_worker(&self, task: &TaskId) {
        let Some(entry) = self.tasks.get(task) else { return };
        let holds = entry.lease.is_some().then(|| (task.clone(), entry.queue.clone()));
        let gpus = entry.lease.as_ref().map(|lease| lease.gpus.clone()).unwrap_or_default();
        self.ports.worker_task.tell(WorkerTask { worker: entry.worker.clone(), task: holds, gpus });
    }

    /// Those who have one of these in their lease.
    fn holders(&self, devices: &BTreeSet<GpuId>) -> Vec<Addr<TaskRunner>> {
        let holds = |entry: &&Entry| {
            entry.lease.as_ref().is_some_and(|lease| lease.gpus.iter().any(|card| devices.contains(&card.id)))
        };
        self.tasks.values().filter(holds).map(|entry| entry.runner.clone()).collect()
    }

    fn finished(&mut self, task: &TaskId) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        if entry.lease.take().is_some() {
            self.tell_worker(task);
        }
        self.tell_load();
        self.ports.watched.tell(WatchedChanged);
    }

    /// A settled run leaves no trace: neither on the board, nor on disk, nor, after a while, in the journal.
    fn forget(&mut self, task: TaskId, until: u64) {
        let Some(entry) = self.tasks.remove(&task) else { return };
        self.tools.board.remove(&task);
        // Of one task, whoever waits for it has yet to read the console.
        if self.tools.settings.only.is_none() {
            let (attempts, of, pull) = (self.tools.settings.attempts_dir(), task.clone(), entry.pull);
            tokio::task::spawn_blocking(move || remove_attempts(&attempts, &of, pull));
        }
        self.settled.push_back((task, until));
        self.forget_oldest();
        self.tell_load();
    }

    fn forget_oldest(&mut self) {
        while self.settled.len() > KEPT_RUNS {
            if let Some((task, until)) = self.settled.pop_front() {
                tell(&self.asks.forget, ForgetSettled { task, until });
            }
        }
    }

    /// A runner panicked: what it knew is in the journal, so another one goes on.
    fn rebuild(&mut self, task: TaskId, ctx: &mut Context<Self>) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let RestartDecision::RestartAfter(wait) = entry.restarts.decide(RestartPolicy::default(), Instant::now())
        else {
            error!(%task, "its runner fails again and again");
            ctx.stop();
            return;
        };
        let (load, wanted) = (self.asks.load_journal.clone(), task.clone());
        let reading = async move {
            tokio::time::sleep(wait).await;
            let entries = load.send(LoadJournal).await.ok()?.ok()?;
            let own = entries.iter().filter(|entry| entry.task == wanted);
            Recovered::fold(own).ok()?.runs.remove(&wanted)
        };
        ctx.spawn(reading.into_actor(self).map(move |run, this, ctx| {
            let Some(run) = run else {
                error!(%task, "its run is not in the journal");
                ctx.stop();
                return;
            };
            warn!(%task, "its runner is rebuilt from the journal");
            let lease = this.tasks.get(&task).and_then(|entry| entry.lease.clone());
            this.begin(&task, run, lease, true, ctx);
        }));
    }
}

impl Actor for TaskManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
        self.tools.facts.connect(ctx.address().recipient());
        self.forget_oldest();
        let recovered = std::mem::take(&mut self.recovered);
        if !recovered.is_empty() {
            info!(tasks = recovered.len(), "going on with the tasks of an earlier daemon");
        }
        let restore = self.asks.restore_lease.clone();
        let leasing = async move {
            let mut leased = Vec::new();
            for (task, run) in recovered {
                let lease = if run.state.holds_lease() {
                    let (worker, gpus) = (run.worker.clone(), run.gpus.clone());
                    restore.send(RestoreLease { worker, gpus, share: run.share }).await.ok()
                } else {
                    None
                };
                leased.push((task, run, lease));
            }
            leased
        };
        // Nothing may be pulled before what runs is booked: whoever asks waits behind this.
        ctx.wait(leasing.into_actor(self).map(|leased, this, ctx| {
            for (task, run, lease) in leased {
                this.begin(&task, run, lease, true, ctx);
            }
        }));
    }
}

impl Handler<StartRun> for TaskManager {
    type Result = ();

    fn handle(&mut self, message: StartRun, ctx: &mut Self::Context) {
        info!(task = %message.task, worker = %message.run.worker, queue = %message.run.queue, "pulled");
        self.begin(&message.task, message.run, Some(message.lease), false, ctx);
    }
}

impl Handler<StopOne> for TaskManager {
    type Result = ();

    fn handle(&mut self, message: StopOne, _: &mut Self::Context) {
        if let Some(entry) = self.tasks.get_mut(&message.task) {
            entry.watched = false;
            let stop = StopTask { reason: message.reason, now: false };
            tell(&entry.runner.clone().recipient(), stop);
        }
    }
}

impl Handler<StopAll> for TaskManager {
    type Result = ();

    fn handle(&mut self, message: StopAll, _: &mut Self::Context) {
        for entry in self.tasks.values() {
            let stop = StopTask { reason: StopReason::DaemonStop, now: message.now };
            tell(&entry.runner.clone().recipient(), stop);
        }
    }
}

impl Handler<GpuNews> for TaskManager {
    type Result = ();

    fn handle(&mut self, message: GpuNews, _: &mut Self::Context) {
        match message {
            GpuNews::Broken { devices, stop } => {
                for runner in self.holders(&devices) {
                    tell(&runner.recipient(), StopTask { reason: StopReason::Gpu(stop), now: false });
                }
            }
            GpuNews::Blamed { devices, line } => {
                for runner in self.holders(&devices) {
                    tell(&runner.recipient(), BlameTask { line: line.clone() });
                }
            }
            GpuNews::Used(devices) => {
                for (task, entry) in &self.tasks {
                    let Some(lease) = entry.lease.as_ref().filter(|lease| !lease.gpus.is_empty()) else { continue };
                    let used = usage::of_lease(task, lease, &devices);
                    tell(&entry.runner.clone().recipient(), UseOfGpus(used));
                }
            }
        }
    }
}

impl Handler<GetWatched> for TaskManager {
    type Result = Vec<TaskId>;

    fn handle(&mut self, _: GetWatched, _: &mut Self::Context) -> Self::Result {
        let watched = self.tasks.iter().filter(|(_, entry)| entry.watched && entry.lease.is_some());
        watched.map(|(task, _)| task.clone()).collect()
    }
}

impl Handler<GetLoad> for TaskManager {
    type Result = Load;

    fn handle(&mut self, _: GetLoad, _: &mut Self::Context) -> Self::Result {
        self.load()
    }
}

impl Handler<FindRunner> for TaskManager {
    type Result = Option<Addr<TaskRunner>>;

    fn handle(&mut self, message: FindRunner, _: &mut Self::Context) -> Self::Result {
        self.tasks.get(&message.task).map(|entry| entry.runner.clone())
    }
}

impl Handler<ReopenLanes> for TaskManager {
    type Result = ();

    fn handle(&mut self, _: ReopenLanes, _: &mut Self::Context) {
        for entry in self.tasks.values() {
            tell(&entry.runner.clone().recipient(), ReopenLane);
        }
    }
}

impl Handler<RepeatWorkerTasks> for TaskManager {
    type Result = ();

    fn handle(&mut self, _: RepeatWorkerTasks, _: &mut Self::Context) {
        for task in self.tasks.keys() {
            self.tell_worker(task);
        }
    }
}

impl Handler<RunFact> for TaskManager {
    type Result = ();

    fn handle(&mut self, message: RunFact, _: &mut Self::Context) {
        match message {
            RunFact::Started(task) => {
                if let Some(entry) = self.tasks.get_mut(&task) {
                    entry.watched = true;
                    self.ports.watched.tell(WatchedChanged);
                }
            }
            RunFact::Finished(task) => self.finished(&task),
            RunFact::Settled(task, until) => self.forget(task, until),
        }
    }
}

impl Handler<ChildExited<TaskId>> for TaskManager {
    type Result = ();

    fn handle(&mut self, message: ChildExited<TaskId>, ctx: &mut Self::Context) {
        // A runner that ends of its own accord has settled its task and told so before.
        if message.panicked {
            self.rebuild(message.child, ctx);
        }
    }
}
