//! From a pulled task to a running executor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::gpu::{GpuGrant, describe_lease};
use protocols::ids::{AttemptId, ProcessId};
use protocols::lifecycle::{StopReason, TaskEvent, TaskState};
use protocols::order::{ALL_GPUS, ContainerOrder, ExecutorOrder, GpuGiver, ORDER_VERSION, encode};
use protocols::task::TaskSpec;
use rand::RngExt as _;
use tracing::{debug, info, warn};

use super::{TaskRunner, infrastructure};
use crate::daemon::attempt::AttemptDir;
use crate::daemon::containers::{self, HostGpus};
use crate::daemon::gpu::mps_keeper::HoldMps;
use crate::daemon::reporter::ReportItem;
use crate::daemon::settings::WorkerSettings;
use crate::kit::Backoff;

/// Time before an attempt follows a lost one.
const RETRY_WAIT: Duration = Duration::from_secs(1);

impl TaskRunner {
    /// Gets the task from the server, however long that takes.
    pub(super) fn fetch_task(&mut self, ctx: &mut Context<Self>) {
        let (server, task) = (self.tools.server.clone(), self.task.clone());
        let fetching = async move {
            let mut backoff = Backoff::for_server();
            loop {
                match server.task(&task).await {
                    Ok(found) => break found,
                    Err(error) => {
                        debug!(%task, %error, "cannot get the task now; will try again");
                        backoff.wait().await;
                    }
                }
            }
        };
        let (settings, worker, queue) =
            (Arc::clone(&self.tools.settings), self.run.worker.clone(), self.run.queue.clone());
        let taking = async move {
            let found = fetching.await?;
            let container = containers::decide_for(&settings, &found, &worker, &queue).await.transpose();
            Some((found, container))
        };
        ctx.spawn(taking.into_actor(self).map(|found, this, ctx| this.take(found, ctx)));
    }

    /// Looks at the task as the server has it, and starts its next attempt.
    fn take(&mut self, found: Option<(Task, Result<Option<ContainerOrder>, TaskFailure>)>, ctx: &mut Context<Self>) {
        let TaskState::Pulled { lost } = self.run.state else { return };
        let Some((task, container)) = found else {
            self.commit(vec![TaskEvent::StopRequested(StopReason::Deleted)], None, ctx);
            return;
        };
        if let Some(reason) = unwanted(&task) {
            info!(task = %self.task, status = ?task.status, "not wanted any more");
            self.commit(vec![TaskEvent::StopRequested(reason)], None, ctx);
            return;
        }
        self.tools.board.update(&self.task, |snapshot| snapshot.name.clone_from(&task.name));
        self.report(ReportItem::Pulled);
        if let Some(line) = describe_lease(&self.run.gpus, self.run.share) {
            self.report(ReportItem::Note(line));
        }
        if let Some(failure) = self.misfit(&task) {
            self.fail_before_start(failure, ctx);
            return;
        }
        match container {
            Ok(container) => self.container = container,
            Err(failure) => return self.fail_before_start(failure, ctx),
        }
        match TaskSpec::from_task(&task) {
            Ok(spec) => {
                self.spec = Some(Box::new(spec));
                self.commit(vec![TaskEvent::AttemptStarted(AttemptId(lost + 1))], None, ctx);
            }
            Err(error) => {
                let failure = TaskFailure::new(FailureClass::Code, Phase::Checkout, &error);
                self.fail_before_start(failure, ctx);
            }
        }
    }

    /// Of a task that was taken although no cards are for it: why it is refused.
    fn misfit(&self, task: &Task) -> Option<TaskFailure> {
        let settings = &self.tools.settings;
        let dynamic = settings.dynamic.as_ref()?;
        let is_without_cards = settings.workers.iter().any(|worker| worker.id == self.run.worker);
        if !is_without_cards {
            return None;
        }
        Some(match dynamic.misfit(task, &self.run.queue) {
            Some(misfit) => TaskFailure::new(FailureClass::User, Phase::Pulled, &misfit),
            None => TaskFailure::because(
                FailureClass::User,
                Phase::Pulled,
                "what the task says of GPUs was changed while it was refused for it: enqueue it again",
            ),
        })
    }

    /// A lost attempt is followed by the next.
    pub(super) fn try_again(&mut self, ctx: &mut Context<Self>) {
        self.executor = super::executor::Link::default();
        ctx.run_later(RETRY_WAIT, |this, ctx| {
            if let TaskState::Pulled { lost } = this.run.state {
                if this.spec.is_some() {
                    this.commit(vec![TaskEvent::AttemptStarted(AttemptId(lost + 1))], None, ctx);
                } else {
                    this.fetch_task(ctx);
                }
            }
        });
    }

    /// Writes the order and starts an executor on it, once its GPUs are ready.
    pub(super) fn launch(&mut self, attempt: AttemptId, ctx: &mut Context<Self>) {
        if self.spec.is_none() {
            self.fetch_task(ctx);
            return;
        }
        let Some(card) = self.run.gpus.first().filter(|_| self.run.share.is_mps()) else {
            self.start_executor(attempt, ctx);
            return;
        };
        let holding = self.tools.hold_mps.send(HoldMps { task: self.task.clone(), card: card.clone() });
        ctx.spawn(holding.into_actor(self).map(move |held, this, ctx| {
            if this.attempt() != Some(attempt) {
                return;
            }
            match held {
                Ok(Ok(())) => this.start_executor(attempt, ctx),
                Ok(Err(why)) => {
                    let failure = TaskFailure::because(FailureClass::Infrastructure, Phase::Pulled, why);
                    this.commit(vec![TaskEvent::PreparationFailed(attempt, failure)], None, ctx);
                }
                Err(error) => warn!(task = %this.task, %error, "the keeper of MPS is gone, and the daemon with it"),
            }
        }));
    }

    fn start_executor(&mut self, attempt: AttemptId, ctx: &mut Context<Self>) {
        let Some(spec) = self.spec.clone() else { return };
        let directory = self.attempt_dir(attempt);
        let mut order = self.order(*spec, attempt, &directory);
        let secrets = encode(&order.take_secrets());
        self.executor.token = Some(order.token.clone());
        self.report(ReportItem::AttemptStarted(attempt));
        self.report_container();
        let program = self.tools.settings.program.clone();
        let starting = tokio::task::spawn_blocking(move || -> Result<ProcessId, TaskFailure> {
            directory.write_order(&order).map_err(|error| infrastructure(Phase::Pulled, &error))?;
            let arguments = ["executor".into(), "--attempt-dir".into(), directory.path().as_os_str().to_owned()];
            drivers::process::spawn_executor(&program, arguments, directory.mark(), &secrets, &directory.executor_log())
                .map_err(|error| infrastructure(Phase::Pulled, &error))
        });
        ctx.spawn(starting.into_actor(self).map(move |started, this, ctx| {
            match started.expect("starting an executor does not panic") {
                Ok(process) => this.watch_executor(attempt, process, ctx),
                Err(failure) => this.commit(vec![TaskEvent::PreparationFailed(attempt, failure)], None, ctx),
            }
        }));
    }

    pub(super) fn attempt_dir(&self, attempt: AttemptId) -> AttemptDir {
        AttemptDir::new(&self.tools.settings.attempts_dir(), &self.task, self.run.pull, attempt)
    }

    /// What the lease means to whoever starts the program, or the container.
    fn gpu_grant(&self) -> GpuGrant {
        GpuGrant::of(&self.run.gpus, self.run.share, &self.tools.settings.mps_root())
    }

    fn order(&self, mut spec: TaskSpec, attempt: AttemptId, directory: &AttemptDir) -> ExecutorOrder {
        let settings = &self.tools.settings;
        let worker = settings.worker(&self.run.worker);
        let mut environment: BTreeMap<String, String> = settings.task_environment.clone();
        environment.extend(worker.map(|worker| worker.environment.clone()).unwrap_or_default());
        if worker.is_none() && !self.run.gpus.is_empty() {
            // A worker that exists for this lease, or one of an earlier configuration.
            environment.extend(self.gpu_grant().environment);
        }
        for name in ["CLEARML_WORKER_ID", "TRAINS_WORKER_ID"] {
            environment.insert(name.to_owned(), self.run.worker.to_string());
        }
        if settings.services.is_some() {
            environment.insert("CLEARML_AGENT_SERVICE_TASK".to_owned(), "1".to_owned());
        }
        if !settings.enable_task_env {
            spec.environment.clear();
        }
        ExecutorOrder {
            version: ORDER_VERSION,
            task: spec,
            attempt,
            pull: self.run.pull,
            token: new_token(),
            worker: self.run.worker.clone(),
            socket: settings.executor_socket(),
            attempt_dir: directory.path().to_owned(),
            cache_dir: settings.cache_dir.clone(),
            environment,
            // What must not be inherited is the same for all.
            removed_environment: worker
                .or(settings.workers.first())
                .map(|worker| worker.removed_environment.clone())
                .unwrap_or_default(),
            git: settings.git.clone(),
            python: settings.python.clone(),
            container: self.container(),
            cpus: settings.cpus_near(&self.run.gpus),
            stop_grace_ms: u64::try_from(settings.stop_grace.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl TaskRunner {
    /// Where the task's container is started, with what its lease means there.
    fn container(&self) -> Option<ContainerOrder> {
        let mut order = self.container.clone()?;
        let grant = self.gpu_grant();
        if !grant.mounts.is_empty() {
            order.spec.ipc.get_or_insert_with(|| "host".to_owned());
        }
        (order.gpus, order.gpu_mounts) = (grant.devices, grant.mounts);
        let settings = &self.tools.settings;
        let is_told = settings.worker(&self.run.worker).is_none_or(WorkerSettings::says_which_gpus);
        match settings.containers.as_ref().map_or(HostGpus::Unknown, |host| host.gpus) {
            HostGpus::Simulated => order.gpu_giver = GpuGiver::Nobody,
            HostGpus::Here if order.gpus.is_empty() && !is_told => order.gpus.push(ALL_GPUS.to_owned()),
            HostGpus::Unknown if order.gpus.is_empty() && !is_told => order.gpu_giver = GpuGiver::Anybody,
            HostGpus::Here | HostGpus::Unknown => {}
        }
        let keeps_warm = settings.warm_containers > 0 && settings.only.is_none();
        order.warm_dir = keeps_warm.then(|| settings.warm_dir());
        Some(order)
    }
}

/// Why a task that was just taken from its queue is not to be run, if so.
fn unwanted(task: &Task) -> Option<StopReason> {
    match task.status {
        TaskStatus::InProgress => task.is_stopping().then_some(StopReason::UserAbort),
        TaskStatus::Queued => None,
        TaskStatus::Created => Some(StopReason::Reset),
        TaskStatus::Stopped
        | TaskStatus::Closed
        | TaskStatus::Failed
        | TaskStatus::Completed
        | TaskStatus::Publishing
        | TaskStatus::Published
        | TaskStatus::Unknown => Some(StopReason::StatusChanged),
    }
}

/// 128 random bits, in hexadecimal.
fn new_token() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}
