//! Start order, restart policy, signals, shutdown.

mod leaving;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use drivers::clock::Clock;
use drivers::journal::Journal as Store;
use protocols::control::{ControlRequest, DaemonMode};
use protocols::gpu::Quarantine;
use protocols::ids::TaskId;
use protocols::journal::Run;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

use self::leaving::Leaving;
use super::abort_watcher::AbortWatcher;
use super::board::Board;
use super::child::Child;
use super::control_gateway::{ControlCommand, ControlGateway, ControlView};
use super::executor_gateway::ExecutorGateway;
use super::exit::DaemonExit;
use super::gpu::board::GpuBoard;
use super::gpu::mps_keeper::{MpsBefore, MpsKeeper};
use super::gpu::partitioner::{GpuPartitioner, LeaseFreed, SetOutOfUse};
use super::gpu::waits::Waits;
use super::gpu::watcher::{GpuWatcher, GpuWatcherTools, QuarantineFile, out_of_use_at_start};
use super::journal::Journal;
use super::long_poll::LongPoll;
use super::metrics::{Metrics, WorkerTask};
use super::prefetcher::{PrefetchBoard, Prefetcher, PrefetcherTools, PreparationChanged};
use super::queue_poller::{NothingToRun, PollerTools, QueuePoller, StopPulling};
use super::reporter::{CloseLane, ConsoleGrew, LaneTools, OpenLane, Report, Reporter};
use super::settings::DaemonSettings;
use super::task_manager::{
    Load, LoadChanged, ReopenLanes, RepeatWorkerTasks, StopOne, TaskManager, TaskManagerAsks, TaskManagerPorts,
};
use super::task_runner::{RunFact, RunnerTools};
use super::warm_keeper::WarmKeeper;
use crate::kit::{ChildExited, Lifeline, Port, RestartDecision, RestartHistory, RestartPolicy, tell};

/// A signal that asks the daemon to leave.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum LeaveSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Everything that is opened before the actors start, so that a failure is an error and not a panic.
pub(crate) struct Prepared {
    pub(crate) settings: Arc<DaemonSettings>,
    pub(crate) server: Arc<dyn TaskServer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) runs: BTreeMap<TaskId, Run>,
    /// What an earlier daemon found to be ill.
    pub(crate) quarantined: Vec<Quarantine>,
    /// The control daemons of MPS that it started, and for whom.
    pub(crate) mps: MpsBefore,
    pub(crate) executors: Arc<UnixListener>,
    pub(crate) control: Arc<UnixListener>,
    pub(crate) metrics: Option<Arc<TcpListener>>,
    pub(crate) long_poll: LongPoll,
    pub(crate) started_at_ms: i64,
}

/// What survives a child's rebuilding: the late-bound connections between siblings.
#[derive(Default)]
struct Ports {
    freed: Port<LeaseFreed>,
    open_lane: Port<OpenLane>,
    report: Port<Report>,
    console: Port<ConsoleGrew>,
    close_lane: Port<CloseLane>,
    run_facts: Port<RunFact>,
    preparation: Port<PreparationChanged>,
    stop_one: Port<StopOne>,
    task_manager: TaskManagerPorts,
}

/// The children that others are built upon.
pub(super) struct Core {
    journal: Addr<Journal>,
    partitioner: Addr<GpuPartitioner>,
    pub(super) tasks: Addr<TaskManager>,
}

pub(crate) struct Supervisor {
    prepared: Prepared,
    board: Board,
    waits: Waits,
    gpu_board: GpuBoard,
    prefetch_board: PrefetchBoard,
    ports: Ports,
    pub(super) core: Option<Core>,
    poller: Option<Addr<QueuePoller>>,
    prefetcher: Option<Addr<Prefetcher>>,
    warm_keeper: Option<Addr<WarmKeeper>>,
    metrics: Option<Addr<Metrics>>,
    restarts: HashMap<Child, RestartHistory>,
    mode: watch::Sender<DaemonMode>,
    reachable: Arc<std::sync::atomic::AtomicBool>,
    leaving: Option<Leaving>,
    load: Load,
    exit: Option<oneshot::Sender<DaemonExit>>,
    #[cfg(test)]
    pub(super) panic_buttons: super::tests::panics::PanicButtons,
}

impl Supervisor {
    pub(crate) fn new(prepared: Prepared, exit: oneshot::Sender<DaemonExit>) -> Self {
        Self {
            prepared,
            board: Board::default(),
            waits: Waits::default(),
            gpu_board: GpuBoard::default(),
            prefetch_board: PrefetchBoard::default(),
            ports: Ports::default(),
            core: None,
            poller: None,
            prefetcher: None,
            warm_keeper: None,
            metrics: None,
            restarts: HashMap::new(),
            mode: watch::channel(DaemonMode::Serving).0,
            reachable: Arc::new(std::sync::atomic::AtomicBool::new(true)),
            leaving: None,
            load: Load { unsettled: 0, running: 0 },
            exit: Some(exit),
            #[cfg(test)]
            panic_buttons: Default::default(),
        }
    }

    /// Downstream first: what is asked exists before who asks.
    fn start_core(&mut self, ctx: &mut Context<Self>) -> Core {
        let Prepared { settings, clock, store, .. } = &self.prepared;
        let lifeline = |child| Lifeline::new(&ctx.address(), child);
        let journal = Journal::new(store.clone(), clock.clone(), lifeline(Child::Journal)).start();
        let (freed, waits) = (self.ports.freed.clone(), self.waits.clone());
        let partitioner = GpuPartitioner::new(settings, waits, freed, lifeline(Child::GpuPartitioner)).start();
        // Before anybody can ask for a card.
        let cards = out_of_use_at_start(settings, &self.prepared.quarantined);
        tell(&partitioner.clone().recipient(), SetOutOfUse { cards });
        let (before, stop) = (std::mem::take(&mut self.prepared.mps), self.ports.stop_one.clone());
        let mps = MpsKeeper::new(&self.prepared.settings, before, stop, lifeline(Child::MpsKeeper)).start();
        let Prepared { settings, server, .. } = &self.prepared;
        let tools = RunnerTools {
            settings: settings.clone(),
            server: server.clone(),
            board: self.board.clone(),
            journal: journal.clone().recipient(),
            partitioner: partitioner.clone().recipient(),
            hold_mps: mps.clone().recipient(),
            leave_mps: mps.recipient(),
            open_lane: self.ports.open_lane.clone(),
            report: self.ports.report.clone(),
            console: self.ports.console.clone(),
            close_lane: self.ports.close_lane.clone(),
            facts: self.ports.run_facts.clone(),
            preparation: self.ports.preparation.clone(),
        };
        let asks = TaskManagerAsks {
            load_journal: journal.clone().recipient(),
            forget: journal.clone().recipient(),
            restore_lease: partitioner.clone().recipient(),
        };
        let runs = std::mem::take(&mut self.prepared.runs);
        let ports = self.ports.task_manager.clone();
        let tasks = TaskManager::new(tools, asks, ports, runs, lifeline(Child::TaskManager)).start();
        self.ports.stop_one.connect(tasks.clone().recipient());
        #[cfg(test)]
        self.panic_buttons.extend([
            (Child::Journal, journal.clone().recipient()),
            (Child::GpuPartitioner, partitioner.clone().recipient()),
            (Child::TaskManager, tasks.clone().recipient()),
        ]);
        Core { journal, partitioner, tasks }
    }

    fn start_child(&mut self, child: Child, ctx: &mut Context<Self>) {
        let settings = &self.prepared.settings;
        let is_idle = match child {
            Child::GpuWatcher => !settings.watches_gpus(),
            Child::Prefetcher => !settings.prefetch || self.leaving.is_some(),
            Child::WarmKeeper => {
                let is_wanted = settings.warm_containers > 0 && settings.containers.is_some();
                !is_wanted || settings.only.is_some() || self.leaving.is_some()
            }
            Child::Journal
            | Child::GpuPartitioner
            | Child::MpsKeeper
            | Child::Reporter
            | Child::TaskManager
            | Child::ExecutorGateway
            | Child::QueuePoller
            | Child::AbortWatcher
            | Child::Metrics
            | Child::ControlGateway => false,
        };
        if is_idle {
            return;
        }
        let lifeline = Lifeline::new(&ctx.address(), child);
        match child {
            Child::Reporter => self.start_reporter(lifeline),
            Child::GpuWatcher => self.start_gpu_watcher(lifeline),
            Child::ExecutorGateway => self.start_executor_gateway(lifeline),
            Child::QueuePoller => self.start_poller(lifeline, ctx),
            Child::Prefetcher => self.start_prefetcher(lifeline),
            Child::WarmKeeper => {
                self.warm_keeper = Some(WarmKeeper::new(self.prepared.settings.clone(), lifeline).start());
            }
            Child::AbortWatcher => self.start_abort_watcher(lifeline),
            Child::Metrics => self.start_metrics(lifeline),
            Child::ControlGateway => self.start_control(lifeline, ctx),
            Child::Journal | Child::GpuPartitioner | Child::MpsKeeper | Child::TaskManager => {
                unreachable!("owners of durable state are started once, with the process")
            }
        }
    }

    fn start_reporter(&mut self, lifeline: Lifeline<Child>) {
        let Prepared { settings, server, clock, store, .. } = &self.prepared;
        let tools = LaneTools {
            server: server.clone(),
            store: store.clone(),
            clock: clock.clone(),
            attempts_dir: settings.attempts_dir(),
            suppress_carriage_return: settings.suppress_carriage_return,
            gpu_requeues: settings.gpus.requeues,
            packets: Arc::new(Semaphore::new(3)),
        };
        let reporter = Reporter::new(tools, lifeline).start();
        #[cfg(test)]
        self.panic_buttons.insert(Child::Reporter, reporter.clone().recipient());
        self.ports.open_lane.connect(reporter.clone().recipient());
        self.ports.report.connect(reporter.clone().recipient());
        self.ports.console.connect(reporter.clone().recipient());
        self.ports.close_lane.connect(reporter.recipient());
        if let Some(core) = &self.core {
            tell(&core.tasks.clone().recipient(), ReopenLanes);
        }
    }

    fn start_gpu_watcher(&mut self, lifeline: Lifeline<Child>) {
        let Some(core) = &self.core else { return };
        let tools = GpuWatcherTools {
            settings: self.prepared.settings.clone(),
            clock: self.prepared.clock.clone(),
            board: self.gpu_board.clone(),
            partitioner: core.partitioner.clone().recipient(),
            tasks: core.tasks.clone().recipient(),
        };
        let quarantined = QuarantineFile::of(&self.prepared.settings.state_dir).read();
        GpuWatcher::new(tools, quarantined, lifeline).start();
    }

    fn start_executor_gateway(&mut self, lifeline: Lifeline<Child>) {
        let Some(core) = &self.core else { return };
        let runners = core.tasks.clone().recipient();
        let gateway = ExecutorGateway::new(self.prepared.executors.clone(), runners, lifeline).start();
        #[cfg(test)]
        self.panic_buttons.insert(Child::ExecutorGateway, gateway.recipient());
        #[cfg(not(test))]
        drop(gateway);
    }

    fn start_poller(&mut self, lifeline: Lifeline<Child>, ctx: &mut Context<Self>) {
        let Some(core) = &self.core else { return };
        let tools = PollerTools {
            settings: self.prepared.settings.clone(),
            server: self.prepared.server.clone(),
            clock: self.prepared.clock.clone(),
            long_poll: self.prepared.long_poll.clone(),
            journal: core.journal.clone().recipient(),
            load_journal: core.journal.clone().recipient(),
            reserve: core.partitioner.clone().recipient(),
            reserve_first: core.partitioner.clone().recipient(),
            restore: core.partitioner.clone().recipient(),
            release: core.partitioner.clone().recipient(),
            start: core.tasks.clone().recipient(),
            find: core.tasks.clone().recipient(),
            nothing: ctx.address().recipient(),
        };
        let poller = QueuePoller::new(tools, lifeline).start();
        #[cfg(test)]
        self.panic_buttons.insert(Child::QueuePoller, poller.clone().recipient());
        self.ports.freed.connect(poller.clone().recipient());
        if self.leaving.is_some() {
            tell(&poller.clone().recipient(), StopPulling);
        }
        self.poller = Some(poller);
    }

    fn start_prefetcher(&mut self, lifeline: Lifeline<Child>) {
        let tools = PrefetcherTools {
            settings: self.prepared.settings.clone(),
            server: self.prepared.server.clone(),
            long_poll: self.prepared.long_poll.clone(),
            board: self.prefetch_board.clone(),
        };
        let prefetcher = Prefetcher::new(tools, lifeline).start();
        self.ports.preparation.connect(prefetcher.clone().recipient());
        self.prefetcher = Some(prefetcher);
    }

    fn start_abort_watcher(&mut self, lifeline: Lifeline<Child>) {
        let Some(core) = &self.core else { return };
        let watcher = AbortWatcher::new(
            self.prepared.server.clone(),
            self.prepared.long_poll.clone(),
            self.prepared.settings.polling_interval,
            core.tasks.clone().recipient(),
            core.tasks.clone().recipient(),
            lifeline,
        )
        .start();
        #[cfg(test)]
        self.panic_buttons.insert(Child::AbortWatcher, watcher.clone().recipient());
        self.ports.task_manager.watched.connect(watcher.recipient());
    }

    fn start_metrics(&mut self, lifeline: Lifeline<Child>) {
        let metrics = Metrics::new(
            self.prepared.settings.clone(),
            self.prepared.server.clone(),
            self.prepared.clock.clone(),
            self.reachable.clone(),
            self.gpu_board.clone(),
            lifeline,
        )
        .start();
        #[cfg(test)]
        self.panic_buttons.insert(Child::Metrics, metrics.clone().recipient());
        let worker_task: Recipient<WorkerTask> = metrics.clone().recipient();
        self.ports.task_manager.worker_task.connect(worker_task);
        self.metrics = Some(metrics);
        if let Some(core) = &self.core {
            tell(&core.tasks.clone().recipient(), RepeatWorkerTasks);
        }
    }

    fn start_control(&mut self, lifeline: Lifeline<Child>, ctx: &mut Context<Self>) {
        let view = ControlView {
            settings: self.prepared.settings.clone(),
            board: self.board.clone(),
            waits: self.waits.clone(),
            server: self.prepared.server.clone(),
            gpus: self.gpu_board.clone(),
            prefetch: self.prefetch_board.clone(),
            mode: self.mode.subscribe(),
            reachable: self.reachable.clone(),
            started_at_ms: self.prepared.started_at_ms,
        };
        let commands = ctx.address().recipient();
        let (control, metrics) = (self.prepared.control.clone(), self.prepared.metrics.clone());
        ControlGateway::new(control, metrics, view, commands, lifeline).start();
    }

    fn finish(&mut self, exit: DaemonExit) {
        if let Some(sender) = self.exit.take() {
            info!(?exit, "leaving");
            let _ = sender.send(exit);
        }
    }

    fn fail(&mut self, why: String) {
        error!("{why}");
        self.finish(DaemonExit::Failed(why));
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.ports.task_manager.load.connect(ctx.address().recipient());
        self.start_child(Child::Reporter, ctx);
        let core = self.start_core(ctx);
        self.core = Some(core);
        for child in [
            Child::Metrics,
            Child::GpuWatcher,
            Child::ExecutorGateway,
            Child::AbortWatcher,
            Child::QueuePoller,
            Child::Prefetcher,
            Child::WarmKeeper,
            Child::ControlGateway,
        ] {
            self.start_child(child, ctx);
        }
    }
}

impl Handler<ChildExited<Child>> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<Child>, ctx: &mut Self::Context) {
        let ChildExited { child, panicked } = message;
        if self.exit.is_none() {
            return;
        }
        if child.is_durable_owner() {
            self.fail(format!("{child:?} ended (panicked: {panicked}); tasks live on, start the daemon again"));
            return;
        }
        match self.restarts.entry(child).or_default().decide(RestartPolicy::default(), Instant::now()) {
            RestartDecision::RestartAfter(wait) => {
                warn!(?child, panicked, "rebuilding an actor");
                ctx.run_later(wait, move |this, ctx| this.start_child(child, ctx));
            }
            RestartDecision::GiveUp => {
                self.fail(format!("{child:?} fails again and again; tasks live on, start the daemon again"));
            }
        }
    }
}

impl Handler<LoadChanged> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: LoadChanged, ctx: &mut Self::Context) {
        self.load = message.0;
        if self.prepared.settings.only.is_some() && self.load.unsettled == 0 && self.leaving.is_none() {
            self.leave(Leaving::Drain, false, ctx);
        }
        self.leave_when_idle(ctx);
    }
}

impl Handler<NothingToRun> for Supervisor {
    type Result = ();

    fn handle(&mut self, NothingToRun(why): NothingToRun, ctx: &mut Self::Context) {
        self.unregister_and_finish(DaemonExit::NothingToRun(why), ctx);
    }
}

impl Handler<ControlCommand> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ControlCommand, ctx: &mut Self::Context) {
        match message.0 {
            ControlRequest::Status | ControlRequest::Explain { .. } => {}
            ControlRequest::Drain => self.leave(Leaving::Drain, false, ctx),
            ControlRequest::Stop => self.leave(Leaving::Stop, self.leaving == Some(Leaving::Stop), ctx),
            ControlRequest::Detach => self.leave(Leaving::Detach, false, ctx),
        }
    }
}
