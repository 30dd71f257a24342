//! The runner's side of its executor: attach, facts, stop, loss.

use std::time::Duration;

use actix::prelude::*;
use drivers::{container, process};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::ids::{AttemptId, ProcessId};
use protocols::ipc::{DaemonFrame, ExecutorFact};
use protocols::lifecycle::{Exit, StopReason, TaskEvent, TaskState};
use protocols::order::Ended;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::{Commands, Known, TaskRunner, warn_lost};
use crate::daemon::attempt::{Proof, Record};
use crate::daemon::reporter::{ConsoleGrew, ReportItem};

/// How long a recovered attempt without a record may take to be heard of.
const FIRST_CONTACT: Duration = Duration::from_secs(3);
/// Time after the grace until SIGKILL is asked for, and again until the executor itself is killed.
const STOP_OVERTIME: Duration = Duration::from_secs(10);

/// An executor says who it is. `Err` says why it is not wanted.
#[derive(Message)]
#[rtype(result = "Result<u64, Refusal>")]
pub(crate) struct AttachExecutor {
    pub(crate) pull: u64,
    pub(crate) attempt: AttemptId,
    pub(crate) token: String,
    pub(crate) process: ProcessId,
    /// Number of the connection; a later one replaces an earlier one.
    pub(crate) connection: u64,
    pub(crate) commands: Commands,
}

/// Why an executor is not wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

/// The connection is gone; the executor may well live.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ExecutorDetached {
    pub(crate) connection: u64,
}

/// A numbered fact. Answered when it is durable, or known already.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) enum ExecutorReport {
    /// See [`protocols::ipc::ExecutorFrame::Fact`].
    Fact { attempt: AttemptId, number: u64, fact: ExecutorFact },
    /// See [`protocols::ipc::ExecutorFrame::Console`].
    Console { attempt: AttemptId, length: u64, at_ms: i64 },
}

/// What the runner knows of its executor.
#[derive(Default)]
pub(super) struct Link {
    pub(super) token: Option<String>,
    pub(super) without_grace: bool,
    process: Known,
    connection: u64,
    commands: Option<Commands>,
    acknowledged: u64,
}

impl TaskRunner {
    /// A run that an earlier daemon left: its executor dials in by itself; if it is dead, that has to be noticed.
    pub(super) fn find_executor(&mut self, ctx: &mut Context<Self>) {
        let Some(attempt) = self.attempt() else { return };
        self.resume_peaks(attempt);
        let directory = self.attempt_dir(attempt);
        let order = directory.read_order();
        let may_have_started = order.is_some();
        self.executor.token = order.as_ref().map(|order| order.token.clone());
        let (spec, container) = order.map(|order| (Box::new(order.task), order.container)).unzip();
        (self.spec, self.container) = (spec, container.flatten());
        // Whether an earlier daemon came to it is not known.
        self.report_container();
        if let Some(spec) = &self.spec {
            self.tools.board.update(&self.task, |snapshot| snapshot.name.clone_from(&spec.name));
        }
        match directory.read_record() {
            Record::Written(record) => {
                info!(task = %self.task, pid = record.executor.pid, "looking for its executor");
                self.watch_executor(attempt, record.executor, ctx);
            }
            Record::Missing if !may_have_started => self.executor_gone(attempt, ctx),
            // It may have been started a moment before the daemon died and not have written its record yet.
            Record::Missing | Record::Unreadable => {
                ctx.run_later(FIRST_CONTACT, move |this, ctx| {
                    if this.attempt() == Some(attempt) && this.executor.process.is_none() {
                        this.executor_gone(attempt, ctx);
                    }
                });
            }
        }
        if matches!(self.run.state, TaskState::Stopping(..)) {
            self.send_stop(false, ctx);
        }
    }

    pub(super) fn watch_executor(&mut self, attempt: AttemptId, executor: ProcessId, ctx: &mut Context<Self>) {
        if self.executor.process == Some(executor) {
            return;
        }
        self.executor.process = Some(executor);
        let gone = process::exited(executor);
        ctx.spawn(gone.into_actor(self).map(move |(), this, ctx| {
            if this.executor.process == Some(executor) {
                this.executor_gone(attempt, ctx);
            }
        }));
    }

    /// The executor is dead. Kills what it left behind, then believes its record (invariant F1).
    fn executor_gone(&mut self, attempt: AttemptId, ctx: &mut Context<Self>) {
        if self.attempt() != Some(attempt) {
            return;
        }
        let directory = self.attempt_dir(attempt);
        let fencing = tokio::task::spawn_blocking(move || {
            let order = directory.read_order();
            let engine = order.as_ref().and_then(|order| order.container.as_ref());
            // The container first: its processes may be another user's.
            let containers =
                engine.map_or(0, |engine| container::fence(&engine.socket, directory.mark(), engine.engine_patience()));
            let left = containers + process::fence(directory.mark()).left.len();
            if let (0, Some(order)) = (containers, &order) {
                container::reclaim(order);
            }
            (left, directory.read_record())
        });
        let fencing = async move { fencing.await.expect("fencing does not panic") };
        ctx.spawn(fencing.into_actor(self).map(move |(left, record), this, ctx| {
            warn_lost(&this.task, attempt, left);
            let proof = Proof::of(&record);
            if let Some(report) = proof.report.clone() {
                this.keep_environment(report);
            }
            let events = this.events_of_loss(attempt, &proof);
            if matches!(events.last(), Some(TaskEvent::ExecutorLost(_))) {
                warn!(task = %this.task, attempt = attempt.0, user_started = proof.user_started, "executor lost");
            }
            this.commit(events, None, ctx);
        }));
    }

    /// The events between what the journal knows and what the record of a dead executor proves.
    fn events_of_loss(&self, attempt: AttemptId, proof: &Proof) -> Vec<TaskEvent> {
        let mut events = Vec::new();
        let stopping = matches!(self.run.state, TaskState::Stopping(..));
        if proof.environment_ready && matches!(self.run.state, TaskState::Preparing(_)) {
            events.push(TaskEvent::EnvironmentReady(attempt));
        }
        if proof.user_started && matches!(self.run.state, TaskState::Preparing(_) | TaskState::Starting(_)) {
            events.push(TaskEvent::UserStarted(attempt));
        }
        events.push(match &proof.ended {
            Some(ended) => event_of_end(attempt, ended, stopping),
            None => TaskEvent::ExecutorLost(attempt),
        });
        events
    }

    /// Asks the executor to stop, and makes sure that it happens.
    pub(super) fn send_stop(&mut self, now: bool, ctx: &mut Context<Self>) {
        let TaskState::Stopping(attempt, reason) = self.run.state else { return };
        let grace = self.tools.settings.stop_grace;
        let now = now || std::mem::take(&mut self.executor.without_grace);
        let grace_ms = if now { 0 } else { u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) };
        self.command(DaemonFrame::Stop { reason: reason.for_executor(), grace_ms }, ctx);
        let patience = if now { STOP_OVERTIME } else { grace + STOP_OVERTIME };
        ctx.run_later(patience, move |this, ctx| this.stop_is_overdue(attempt, reason, now, ctx));
    }

    fn stop_is_overdue(&mut self, attempt: AttemptId, reason: StopReason, was_now: bool, ctx: &mut Context<Self>) {
        if self.run.state != TaskState::Stopping(attempt, reason) {
            return;
        }
        if was_now {
            warn!(task = %self.task, "its executor does not stop it: killing both");
            self.executor_gone(attempt, ctx);
        } else {
            self.send_stop(true, ctx);
        }
    }

    fn command(&self, frame: DaemonFrame, ctx: &mut Context<Self>) {
        // Without a connection there is nothing to send on: an executor that attaches is told then.
        if let Some(commands) = self.executor.commands.clone() {
            ctx.spawn(
                async move {
                    let _ = commands.send(frame).await;
                }
                .into_actor(self),
            );
        }
    }

    fn fact(
        &mut self,
        attempt: AttemptId,
        number: u64,
        fact: ExecutorFact,
        done: oneshot::Sender<()>,
        ctx: &mut Context<Self>,
    ) {
        if self.attempt() != Some(attempt) || number <= self.executor.acknowledged {
            let _ = done.send(());
            return;
        }
        self.executor.acknowledged = number;
        let stopping = matches!(self.run.state, TaskState::Stopping(..));
        let event = match fact {
            ExecutorFact::PhaseStarted(phase) => {
                if !stopping {
                    self.show(phase);
                }
                let _ = done.send(());
                return;
            }
            ExecutorFact::EnvironmentReady(report) => {
                self.keep_environment(report);
                TaskEvent::EnvironmentReady(attempt)
            }
            ExecutorFact::UserStarted => {
                self.report(ReportItem::UserStarted);
                TaskEvent::UserStarted(attempt)
            }
            ExecutorFact::Ended(ended) => event_of_end(attempt, &ended, stopping),
        };
        self.commit(vec![event], Some(done), ctx);
    }
}

fn event_of_end(attempt: AttemptId, ended: &Ended, stopping: bool) -> TaskEvent {
    match ended {
        Ended::Exited(exit) => TaskEvent::Exited(attempt, *exit),
        Ended::PreparationFailed(failure) => TaskEvent::PreparationFailed(attempt, failure.clone()),
        Ended::StoppedBeforeStart if stopping => TaskEvent::Exited(attempt, Exit::Signal(15)),
        // Somebody signalled the executor behind the daemon's back; user code has not run, so it may be tried again.
        Ended::StoppedBeforeStart => TaskEvent::PreparationFailed(
            attempt,
            TaskFailure::because(
                FailureClass::Infrastructure,
                Phase::Starting,
                "its executor was told to stop by another process; enqueue the task again",
            ),
        ),
    }
}

impl Handler<AttachExecutor> for TaskRunner {
    type Result = Result<u64, Refusal>;

    fn handle(&mut self, message: AttachExecutor, ctx: &mut Self::Context) -> Self::Result {
        let refuse = |why: &str| Err(Refusal(why.to_owned()));
        if message.pull != self.run.pull || self.attempt() != Some(message.attempt) {
            return refuse("this attempt is over");
        }
        if self.executor.token.as_deref() != Some(message.token.as_str()) {
            return refuse("the attempt's token does not match");
        }
        debug!(task = %self.task, attempt = message.attempt.0, pid = message.process.pid, "executor attached");
        self.executor.connection = message.connection;
        self.executor.commands = Some(message.commands);
        self.watch_executor(message.attempt, message.process, ctx);
        self.tools.board.update(&self.task, |snapshot| snapshot.attached = true);
        if matches!(self.run.state, TaskState::Stopping(..)) {
            self.send_stop(false, ctx);
        }
        Ok(self.executor.acknowledged)
    }
}

impl Handler<ExecutorDetached> for TaskRunner {
    type Result = ();

    fn handle(&mut self, message: ExecutorDetached, _: &mut Self::Context) {
        if self.executor.connection == message.connection {
            self.executor.commands = None;
            self.tools.board.update(&self.task, |snapshot| snapshot.attached = false);
        }
    }
}

impl Handler<ExecutorReport> for TaskRunner {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: ExecutorReport, ctx: &mut Self::Context) -> Self::Result {
        match message {
            ExecutorReport::Console { attempt, length, at_ms } => {
                if self.attempt() == Some(attempt) {
                    self.tools.board.update(&self.task, |snapshot| snapshot.console_bytes = length);
                    self.tools.console.tell(ConsoleGrew { task: self.task.clone(), length, at_ms });
                }
                Box::pin(std::future::ready(()))
            }
            ExecutorReport::Fact { attempt, number, fact } => {
                let (done, durable) = oneshot::channel();
                self.fact(attempt, number, fact, done, ctx);
                Box::pin(async move {
                    let _ = durable.await;
                })
            }
        }
    }
}
