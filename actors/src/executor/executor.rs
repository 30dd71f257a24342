//! The root of the executor's actors: decides what comes next, and writes it down before it is done.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::clock::SystemClock;
use drivers::container;
use drivers::process::kill_descendants;
use drivers::python::store::Lease;
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::ipc::ExecutorFact;
use protocols::order::{Ended, EnvironmentReport, ExecutorOrder, Progress};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::child::Child;
use super::children::{Children, Parent};
use super::console::Console;
use super::environment_builder::{PreparationNews, Prepare, StopPreparation};
use super::exit::{ExecutorExit, ExitSlot};
use super::launch::{Launch, Prepared};
use super::log_pump::ConsoleGrew;
use super::process_runner::ProcessNews;
use super::record::{Durability, RecordError, RecordFile};
use super::uplink::UplinkNews;
use crate::kit::{ChildExited, RestartDecision};

/// Somebody on this machine asks the process to end (SIGTERM, SIGINT): the machine is shut down, as a rule.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Terminate;

/// How often killed leftovers of a preparation are waited for before somebody is told.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How long the end is offered to a daemon after this process was asked to end itself.
const TERMINATED_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Stage {
    Preparing,
    /// The record is being made durable; user code has not been started.
    Recording,
    /// The process runner has it.
    Launched,
    /// The end is being written down.
    Ending,
    /// The end is told, under this number.
    Ended {
        fact: u64,
    },
}

/// Owns the attempt.
pub(super) struct Executor {
    order: Arc<ExecutorOrder>,
    record: Arc<RecordFile>,
    console: Arc<Console>,
    stage: Stage,
    phase: Phase,
    report: Option<EnvironmentReport>,
    /// Keeps the environment where it is until this process ends.
    lease: Option<Lease>,
    /// Why the attempt cannot even begin.
    obstacle: Option<TaskFailure>,
    /// The grace of a stop that arrived, until somebody has it.
    stop: Option<Duration>,
    /// Why to leave without an acknowledgement, once everything is dead.
    deserted: Option<ExecutorExit>,
    /// Whether this process itself was asked to end.
    terminated: bool,
    children: Option<Children<Self>>,
    exit: ExitSlot,
}

impl Executor {
    /// An executor of `order`, which has written its first record already. Where there is an `obstacle` it does
    /// nothing but tell.
    pub(super) fn new(
        order: Arc<ExecutorOrder>,
        record: RecordFile,
        console: Console,
        obstacle: Option<TaskFailure>,
        exit: ExitSlot,
    ) -> Self {
        Self {
            obstacle,
            order,
            record: Arc::new(record),
            console: Arc::new(console),
            stage: Stage::Preparing,
            phase: Phase::Checkout,
            report: None,
            lease: None,
            stop: None,
            deserted: None,
            terminated: false,
            children: None,
            exit,
        }
    }

    fn children(&mut self) -> &mut Children<Self> {
        self.children.as_mut().expect("children are built when the executor starts")
    }

    fn start_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.children().send_fact(ExecutorFact::PhaseStarted(phase));
    }

    /// Writes the record on a blocking thread; whoever needs it durable waits for the answer.
    fn write_record(
        &self,
        progress: Progress,
        durability: Durability,
    ) -> impl Future<Output = Result<(), RecordError>> + use<> {
        let (record, turn, phase) = (Arc::clone(&self.record), self.record.turn(), self.phase);
        let write = tokio::task::spawn_blocking(move || record.write(turn, phase, progress, durability));
        async move { write.await.expect("writing the record does not panic") }
    }

    /// For what only people look at: a failure is logged and nothing else.
    fn note_record(&self, progress: Progress, ctx: &mut Context<Self>) {
        let write = self.write_record(progress, Durability::Process);
        ctx.spawn(write.into_actor(self).map(|written, _, _| {
            if let Err(error) = written {
                warn!(error = &error as &dyn std::error::Error, "record not updated");
            }
        }));
    }

    fn prepared(&mut self, prepared: Prepared, ctx: &mut Context<Self>) {
        let Prepared { launch, report, lease } = prepared;
        self.lease = lease;
        self.report = Some(report.clone());
        if self.stop.is_some() {
            return self.end(Ended::StoppedBeforeStart, ctx);
        }
        self.stage = Stage::Recording;
        self.start_phase(Phase::Starting);
        self.children().send_fact(ExecutorFact::EnvironmentReady(report.clone()));
        // Invariant J1: whoever finds this record knows that user code may have run.
        let durable = self.write_record(Progress::Launching(report), Durability::Machine);
        ctx.spawn(durable.into_actor(self).map(|written, this, ctx| match written {
            Err(error) => {
                let failure = TaskFailure::new(FailureClass::Infrastructure, Phase::Starting, &error);
                this.end(Ended::PreparationFailed(failure), ctx);
            }
            Ok(()) if this.stop.is_some() => this.end(Ended::StoppedBeforeStart, ctx),
            Ok(()) => this.launch(launch),
        }));
    }

    fn launch(&mut self, launch: Launch) {
        self.stage = Stage::Launched;
        self.children().send_fact(ExecutorFact::UserStarted);
        if !self.children().runner.start_program(launch) {
            error!("the process runner does not take its order");
        }
    }

    fn stop(&mut self, grace: Duration) {
        match &self.stage {
            Stage::Preparing => {
                self.stop = Some(grace);
                // Its mailbox holds this and the order to prepare at most.
                let _ = self.children().builder.try_send(StopPreparation);
            }
            Stage::Recording => self.stop = Some(grace),
            Stage::Launched => {
                if !self.children().runner.stop_program(grace) {
                    error!("the process runner does not take a stop");
                }
            }
            Stage::Ending | Stage::Ended { .. } => return,
        }
        if self.phase != Phase::Stopping {
            self.start_phase(Phase::Stopping);
        }
    }

    /// Makes the end durable, then tells it. Nothing of the attempt may run any more after this.
    fn end(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Ending | Stage::Ended { .. }) {
            return;
        }
        info!(?ended, "attempt ended");
        self.stage = Stage::Ending;
        self.phase = Phase::Reporting;
        let (record, console, report) = (Arc::clone(&self.record), Arc::clone(&self.console), self.report.clone());
        let (turn, phase, end) = (record.turn(), self.phase, ended.clone());
        let order = Arc::clone(&self.order);
        let written = tokio::task::spawn_blocking(move || {
            bury(&order, &console, &end);
            record.write(turn, phase, Progress::Ended(report, end), Durability::Machine)
        });
        ctx.spawn(written.into_actor(self).map(move |written, this, ctx| {
            match written.expect("ending an attempt does not panic") {
                Ok(()) => {}
                // The daemon is told all the same, and its journal holds it then.
                Err(error) => error!(error = &error as &dyn std::error::Error, "end not recorded"),
            }
            this.tell_end(ended, ctx);
        }));
    }

    fn tell_end(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        if let Ok(length) = self.console.length() {
            let at_ms = drivers::clock::Clock::now_ms(&SystemClock);
            self.children().send_console(ConsoleGrew { length, at_ms });
        }
        let fact = self.children().send_fact(ExecutorFact::Ended(ended));
        self.stage = Stage::Ended { fact };
        if let Some(exit) = self.deserted.clone() {
            self.leave(exit, ctx);
        } else if self.terminated {
            self.leave_soon(ctx);
        }
    }

    /// The machine does not wait for a daemon that is away; the record says how the attempt ended.
    fn leave_soon(&self, ctx: &mut Context<Self>) {
        ctx.run_later(TERMINATED_PATIENCE, |this, ctx| this.leave(ExecutorExit::Unreported, ctx));
    }

    /// Nobody waits for the result: everything is ended, then the process leaves.
    fn desert(&mut self, exit: ExecutorExit, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Ended { .. }) {
            return self.leave(exit, ctx);
        }
        self.deserted = Some(exit);
        self.stop(Duration::from_millis(self.order.stop_grace_ms));
    }

    fn leave(&self, exit: ExecutorExit, ctx: &mut Context<Self>) {
        self.exit.set(exit);
        ctx.stop();
    }
}

/// Kills what a preparation left behind, says in the console why there is no more, and makes it durable.
fn bury(order: &ExecutorOrder, console: &Console, ended: &Ended) {
    if let Some(container) = &order.container {
        if container::fence(&container.socket, &order.mark(), container.engine_patience()) > 0 {
            console.say("the container of the task could not be removed: its engine does not do it");
        }
        container::reclaim(order);
    }
    loop {
        let (_, left) = kill_descendants(KILL_PATIENCE);
        if left.is_empty() {
            break;
        }
        warn!(?left, "killed processes do not end");
    }
    match ended {
        Ended::Exited(_) => {}
        Ended::PreparationFailed(failure) => console.say(&failure.to_string()),
        Ended::StoppedBeforeStart => console.say("stopped before user code was started"),
    }
    if let Err(error) = console.sync() {
        warn!(%error, "console file not synced");
    }
}

impl Actor for Executor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (order, console) = (Arc::clone(&self.order), Arc::clone(&self.console));
        self.children = Some(Children::start(order, console, ctx.address()));
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            let mut arrivals = signal(kind).expect("these signals can always be listened to");
            let this = ctx.address();
            ctx.spawn(
                async move {
                    while arrivals.recv().await.is_some() {
                        if this.send(Terminate).await.is_err() {
                            return;
                        }
                    }
                }
                .into_actor(self),
            );
        }
        match self.obstacle.take() {
            Some(failure) => self.end(Ended::PreparationFailed(failure), ctx),
            None => {
                let _ = self.children().builder.try_send(Prepare);
            }
        }
    }
}

impl Parent for Executor {}

impl Drop for Executor {
    /// The system ends with its root, also where that panicked; what still runs is killed after it.
    fn drop(&mut self) {
        if let Some(system) = System::try_current() {
            system.stop();
        }
    }
}

impl Handler<PreparationNews> for Executor {
    type Result = ();

    fn handle(&mut self, news: PreparationNews, ctx: &mut Self::Context) {
        match news {
            PreparationNews::PhaseStarted(phase) => {
                if self.stop.is_none() && matches!(self.stage, Stage::Preparing) {
                    self.start_phase(phase);
                    self.note_record(Progress::Preparing, ctx);
                }
            }
            PreparationNews::Prepared(prepared) => self.prepared(*prepared, ctx),
            PreparationNews::Failed(failure) => self.end(Ended::PreparationFailed(failure), ctx),
            PreparationNews::Stopped => self.end(Ended::StoppedBeforeStart, ctx),
        }
    }
}

impl Handler<ProcessNews> for Executor {
    type Result = ();

    fn handle(&mut self, news: ProcessNews, ctx: &mut Self::Context) {
        match news {
            ProcessNews::Started(process) => {
                if self.phase != Phase::Stopping {
                    self.start_phase(Phase::Running);
                }
                let report = self.report.clone().unwrap_or_default();
                self.note_record(Progress::Running(report, process), ctx);
            }
            ProcessNews::NotStarted { launch, error } => {
                let program = launch.program.display();
                let failure = TaskFailure::because(
                    FailureClass::Environment,
                    Phase::Starting,
                    format!("cannot start {program} in {}: {error}", launch.directory.display()),
                );
                self.end(Ended::PreparationFailed(failure), ctx);
            }
            ProcessNews::Ended(exit) => self.end(Ended::Exited(exit), ctx),
            ProcessNews::Failed(failure) => self.end(Ended::PreparationFailed(failure), ctx),
        }
    }
}

impl Handler<UplinkNews> for Executor {
    type Result = ();

    fn handle(&mut self, news: UplinkNews, ctx: &mut Self::Context) {
        match news {
            UplinkNews::Stop { reason, grace } => {
                info!(?reason, ?grace, "stop asked for by the daemon");
                self.stop(grace);
            }
            UplinkNews::Refused { why } => self.desert(ExecutorExit::Refused { why }, ctx),
            UplinkNews::FolderGone => self.desert(ExecutorExit::FolderGone, ctx),
            UplinkNews::Acknowledged { number } => {
                if matches!(self.stage, Stage::Ended { fact } if fact <= number) {
                    self.leave(ExecutorExit::Reported, ctx);
                }
            }
        }
    }
}

impl Handler<Terminate> for Executor {
    type Result = ();

    fn handle(&mut self, _: Terminate, ctx: &mut Self::Context) {
        info!("stop asked for by a signal");
        if !std::mem::replace(&mut self.terminated, true) && matches!(self.stage, Stage::Ended { .. }) {
            self.leave_soon(ctx);
        }
        self.stop(Duration::from_millis(self.order.stop_grace_ms));
    }
}

impl Handler<ChildExited<Child>> for Executor {
    type Result = ();

    fn handle(&mut self, ChildExited { child, panicked }: ChildExited<Child>, ctx: &mut Self::Context) {
        warn!(?child, panicked, "an actor ended");
        let broken = |phase| {
            let message = format!("the actor {child:?} ended unexpectedly, which is a defect of hostler");
            Ended::PreparationFailed(TaskFailure::because(FailureClass::Infrastructure, phase, message))
        };
        match child {
            // What it watched is unknown now: everything is killed, and the attempt is over.
            Child::EnvironmentBuilder if matches!(self.stage, Stage::Preparing) => {
                self.end(broken(Phase::Environment), ctx);
            }
            Child::ProcessRunner | Child::ContainerRunner if matches!(self.stage, Stage::Launched) => {
                self.end(broken(Phase::Running), ctx);
            }
            Child::EnvironmentBuilder | Child::ProcessRunner | Child::ContainerRunner => {}
            Child::Uplink | Child::LogPump => match self.children().decide_restart() {
                RestartDecision::GiveUp => self.leave(ExecutorExit::Broken, ctx),
                RestartDecision::RestartAfter(wait) => {
                    ctx.run_later(wait, move |this, _| this.children().rebuild(child));
                }
            },
        }
    }
}
