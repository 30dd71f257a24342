//! One task, from its pull to its settlement. The only one that applies events (invariant L1).

mod executor;
mod gpus;
mod launch;
mod reports;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use protocols::control::TaskSnapshot;
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::gpu::Lease;
use protocols::ids::{AttemptId, ProcessId, TaskId};
use protocols::ipc::DaemonFrame;
use protocols::journal::{JournalRecord, Run};
use protocols::lifecycle::{StopReason, TaskEvent, TaskState};
use protocols::order::{ContainerOrder, EnvironmentReport};
use protocols::task::TaskSpec;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::board::Board;
use super::gpu::mps_keeper::{HoldMps, LeaveMps};
use super::gpu::partitioner::ReleaseLease;
use super::journal::Append;
use super::prefetcher::PreparationChanged;
use super::reporter::{CloseLane, ConsoleGrew, OpenLane, Report, ReportItem};
use super::settings::DaemonSettings;
use crate::kit::{Lifeline, Port, tell};

pub(crate) use executor::{AttachExecutor, ExecutorDetached, ExecutorReport};
pub(crate) use gpus::{BlameTask, UseOfGpus};

/// Ends the task: signal, grace, kill. Stopping twice is stopping once.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct StopTask {
    pub(crate) reason: StopReason,
    /// Without grace.
    pub(crate) now: bool,
}

/// The reporter was rebuilt: tell it again what it needs to know.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct ReopenLane;

/// What a runner tells upwards.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum RunFact {
    /// The server has the task as `in_progress`: watch it for an abort.
    Started(TaskId),
    /// Everything of it is dead, its lease is given back.
    Finished(TaskId),
    /// The server has the outcome; the sequence number of the journal entry that says so.
    Settled(TaskId, u64),
}

/// What every runner talks to.
#[derive(Clone)]
pub(crate) struct RunnerTools {
    pub(crate) settings: Arc<DaemonSettings>,
    pub(crate) server: Arc<dyn TaskServer>,
    pub(crate) board: Board,
    pub(crate) journal: Recipient<Append>,
    pub(crate) partitioner: Recipient<ReleaseLease>,
    pub(crate) hold_mps: Recipient<HoldMps>,
    pub(crate) leave_mps: Recipient<LeaveMps>,
    pub(crate) open_lane: Port<OpenLane>,
    pub(crate) report: Port<Report>,
    pub(crate) console: Port<ConsoleGrew>,
    pub(crate) close_lane: Port<CloseLane>,
    pub(crate) facts: Port<RunFact>,
    pub(crate) preparation: Port<PreparationChanged>,
}

pub(crate) struct TaskRunner {
    task: TaskId,
    run: Run,
    lease: Option<Lease>,
    tools: RunnerTools,
    /// Whether an earlier daemon, or an earlier incarnation of this actor, began the run.
    resumed: bool,
    spec: Option<Box<TaskSpec>>,
    /// The container that it gets, decided with `spec`.
    container: Option<ContainerOrder>,
    executor: executor::Link,
    gpus: gpus::Gpus,
    /// What preparation found out, for a reporter that is rebuilt.
    environment: Option<(EnvironmentReport, BTreeMap<String, Value>)>,
    _lifeline: Lifeline<TaskId>,
}

impl TaskRunner {
    pub(crate) fn new(
        task: TaskId,
        run: Run,
        lease: Option<Lease>,
        resumed: bool,
        tools: RunnerTools,
        lifeline: Lifeline<TaskId>,
    ) -> Self {
        Self {
            task,
            run,
            lease,
            tools,
            resumed,
            spec: None,
            container: None,
            executor: executor::Link::default(),
            gpus: gpus::Gpus::default(),
            environment: None,
            _lifeline: lifeline,
        }
    }

    fn attempt(&self) -> Option<AttemptId> {
        self.run.state.attempt()
    }

    /// Makes events durable, applies them, acts on the state that results. Arrivals wait meanwhile, so that their
    /// order is kept. `done` hears when it is durable.
    fn commit(&mut self, events: Vec<TaskEvent>, done: Option<oneshot::Sender<()>>, ctx: &mut Context<Self>) {
        let mut state = self.run.state.clone();
        for event in &events {
            match state.next(event.clone()) {
                Ok(next) => state = next,
                Err(illegal) => {
                    debug!(task = %self.task, %illegal, "stale news dropped");
                    acknowledge(done);
                    return;
                }
            }
        }
        // Invariant J1: no effect before its event is durable.
        let appends: Vec<_> = events
            .into_iter()
            .map(|event| {
                let append = Append { task: self.task.clone(), record: JournalRecord::Event(event) };
                self.tools.journal.send(append)
            })
            .collect();
        let durable = futures::future::join_all(appends);
        ctx.wait(durable.into_actor(self).map(move |answers, this, ctx| {
            let entries: Option<Vec<u64>> = answers.into_iter().map(|answer| answer.ok()?.ok()).collect();
            if let Some(entries) = entries {
                this.run.last_entry = entries.last().copied().unwrap_or(this.run.last_entry);
                let before = std::mem::replace(&mut this.run.state, state);
                debug!(task = %this.task, from = ?before, to = ?this.run.state, "state");
                acknowledge(done);
                this.act(&before, ctx);
            } else {
                ctx.stop(); // No journal, no progress: the journal's own end takes the daemon down.
            }
        }));
    }

    /// The effects of the state that was just reached.
    fn act(&mut self, before: &TaskState, ctx: &mut Context<Self>) {
        self.tell_preparation();
        match &self.run.state {
            TaskState::Pulled { .. } => self.try_again(ctx),
            TaskState::Preparing(attempt) => {
                let attempt = *attempt;
                self.show(Phase::Checkout);
                self.launch(attempt, ctx);
            }
            TaskState::Starting(_) => self.show(Phase::Starting),
            TaskState::Running(_) => self.show(Phase::Running),
            TaskState::Stopping(_, reason) => {
                if !matches!(before, TaskState::Stopping(..)) {
                    info!(task = %self.task, ?reason, "stopping");
                    self.show(Phase::Stopping);
                    self.send_stop(false, ctx);
                }
            }
            TaskState::Finished(outcome) => {
                if !matches!(before, TaskState::Finished(_)) {
                    info!(task = %self.task, class = super::reporter::class_name(outcome), "finished");
                    let item = ReportItem::Finished(outcome.clone());
                    self.show(Phase::Reporting);
                    self.release();
                    self.report_peaks();
                    self.report(item);
                }
            }
            TaskState::Settled(_) => {
                self.tools.facts.tell(RunFact::Settled(self.task.clone(), self.run.last_entry));
                self.tools.close_lane.tell(CloseLane { task: self.task.clone() });
                ctx.stop();
            }
        }
    }

    fn tell_preparation(&self) {
        let is_under_way = matches!(self.run.state, TaskState::Preparing(_));
        self.tools.preparation.tell(PreparationChanged { task: self.task.clone(), is_under_way });
    }

    /// Invariants F1 and G2: only reached when every process of the attempt is dead, and once.
    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            if lease.share.is_mps() {
                tell(&self.tools.leave_mps, LeaveMps { task: self.task.clone() });
            }
            tell(&self.tools.partitioner, ReleaseLease { lease: lease.id });
        }
        self.tools.facts.tell(RunFact::Finished(self.task.clone()));
    }

    fn stop(&mut self, message: StopTask, ctx: &mut Context<Self>) {
        match &self.run.state {
            TaskState::Pulled { .. } | TaskState::Preparing(_) | TaskState::Starting(_) | TaskState::Running(_) => {
                self.commit(vec![TaskEvent::StopRequested(message.reason)], None, ctx);
                if message.now {
                    self.executor.without_grace = true;
                }
            }
            TaskState::Stopping(..) if message.now => self.send_stop(true, ctx),
            TaskState::Stopping(..) | TaskState::Finished(_) | TaskState::Settled(_) => {}
        }
    }

    /// Fails the task before an executor was ever started for it.
    fn fail_before_start(&mut self, failure: TaskFailure, ctx: &mut Context<Self>) {
        let TaskState::Pulled { lost } = self.run.state else { return };
        let attempt = AttemptId(lost + 1);
        self.commit(
            vec![TaskEvent::AttemptStarted(attempt), TaskEvent::PreparationFailed(attempt, failure)],
            None,
            ctx,
        );
    }

    fn show(&self, phase: Phase) {
        let attempt = self.attempt();
        self.tools.board.update(&self.task, |snapshot| {
            snapshot.phase = phase;
            if let Some(attempt) = attempt {
                snapshot.attempt = attempt;
            }
        });
    }

    fn snapshot(&self) -> TaskSnapshot {
        TaskSnapshot {
            task: self.task.clone(),
            name: String::new(),
            worker: self.run.worker.clone(),
            queue: self.run.queue.clone(),
            gpus: self.run.gpus.clone(),
            share: self.run.share,
            attempt: self.attempt().unwrap_or(AttemptId(0)),
            phase: match self.run.state {
                TaskState::Pulled { .. } => Phase::Pulled,
                TaskState::Preparing(_) => Phase::Checkout,
                TaskState::Starting(_) => Phase::Starting,
                TaskState::Running(_) => Phase::Running,
                TaskState::Stopping(..) => Phase::Stopping,
                TaskState::Finished(_) | TaskState::Settled(_) => Phase::Reporting,
            },
            attached: false,
            pulled_at_ms: self.run.pulled_at_ms,
            console_bytes: 0,
            shipped_bytes: 0,
        }
    }
}

fn acknowledge(done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        let _ = done.send(());
    }
}

impl Actor for TaskRunner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        self.tools.board.put(self.snapshot());
        self.open_lane(ctx);
        self.tell_preparation();
        match &self.run.state {
            TaskState::Pulled { .. } => self.fetch_task(ctx),
            TaskState::Preparing(_) | TaskState::Starting(_) | TaskState::Running(_) | TaskState::Stopping(..) => {
                self.find_executor(ctx);
            }
            TaskState::Finished(_) => {
                self.tools.facts.tell(RunFact::Finished(self.task.clone()));
            }
            TaskState::Settled(_) => ctx.stop(),
        }
    }
}

impl Handler<StopTask> for TaskRunner {
    type Result = ();

    fn handle(&mut self, message: StopTask, ctx: &mut Self::Context) {
        self.stop(message, ctx);
    }
}

/// A failure of the daemon's own doing.
fn infrastructure(phase: Phase, error: &dyn std::error::Error) -> TaskFailure {
    TaskFailure::new(FailureClass::Infrastructure, phase, error)
}

/// What goes down to an executor.
type Commands = mpsc::Sender<DaemonFrame>;

/// An executor's process, where it is known.
type Known = Option<ProcessId>;

fn warn_lost(task: &TaskId, attempt: AttemptId, left: usize) {
    if left > 0 {
        warn!(%task, attempt = attempt.0, left, "processes of a lost executor cannot be killed");
    }
}
