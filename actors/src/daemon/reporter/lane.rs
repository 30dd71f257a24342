//! One task's lane: an ordinary async loop, so that it may wait for the network without holding anybody up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drivers::clearml::{ClientError, TaskServer};
use drivers::clock::Clock;
use drivers::journal::{Journal as Store, Shipping};
use futures::future::BoxFuture;
use protocols::clearml::events::{LEVEL_INFO, LogEvent};
use protocols::clearml::status::TaskStatus;
use protocols::ids::AttemptId;
use protocols::lifecycle::{Outcome, StopReason};
use protocols::order::EnvironmentReport;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use super::closing::{FinalStatus, class_name, closing, status_message};
use super::messages::{LaneFact, OpenLane, ReportItem};
use super::preparation::preparation;
use super::shipping::PACKET_BYTES;
use super::stream::{ConsoleStream, Piece};
use crate::daemon::attempt::console_files;
use crate::daemon::watched::stop_reason;
use crate::kit::Backoff;

/// How far back a failure's message is looked for in the console, in bytes.
const LAST_WORDS_BYTES: u64 = 16 * 1024;
/// Time between two packets of a console that trickles.
const SHIP_INTERVAL: Duration = Duration::from_millis(250);
/// The server forgets a task that says nothing for two hours; the stock agent pings every minute.
const PING_INTERVAL: Duration = Duration::from_secs(60);

/// In the task's runtime, by the stock agent's name: which ports of the machine lead to the task.
const PORT_MAPPING: &str = "_external_host_tcp_port_mapping";

/// What every lane needs.
#[derive(Clone)]
pub(crate) struct LaneTools {
    pub(crate) server: Arc<dyn TaskServer>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) attempts_dir: PathBuf,
    pub(crate) suppress_carriage_return: bool,
    /// How often a task goes back to its queue because of a card.
    pub(crate) gpu_requeues: u32,
    /// How many lanes may hold a large packet in memory at the same time.
    pub(crate) packets: Arc<Semaphore>,
}

pub(super) struct Lane {
    pub(super) tools: LaneTools,
    pub(super) order: OpenLane,
    items: mpsc::UnboundedReceiver<ReportItem>,
    length: watch::Receiver<(u64, i64)>,
    pub(super) stream: ConsoleStream,
    pub(super) shipping: Shipping,
    pub(super) open_line_since: Option<Instant>,
    /// The server has no use for the console: the task is gone.
    pub(super) console_refused: bool,
    opened: bool,
    /// What the task's program did that explains its failure.
    blame: Option<String>,
    /// Another reports how the machine is: the SDK.
    pub(super) has_monitor: bool,
}

impl Lane {
    pub(super) fn new(
        tools: LaneTools,
        order: OpenLane,
        items: mpsc::UnboundedReceiver<ReportItem>,
        length: watch::Receiver<(u64, i64)>,
    ) -> Self {
        Self {
            tools,
            order,
            items,
            length,
            stream: ConsoleStream::default(),
            shipping: Shipping::default(),
            open_line_since: None,
            console_refused: false,
            opened: false,
            blame: None,
            has_monitor: false,
        }
    }

    pub(super) async fn run(mut self) {
        self.recall().await;
        let mut pings = tokio::time::interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Ok(item) = self.items.try_recv() {
                if self.handle(item).await {
                    return;
                }
            }
            let more = self.opened && self.ship(false).await;
            if more {
                continue;
            }
            // The wait is over early for an item; console growth alone waits out the interval.
            let quiet = tokio::time::sleep(SHIP_INTERVAL);
            tokio::select! {
                item = self.items.recv() => match item {
                    Some(item) => if self.handle(item).await { return },
                    None => return,
                },
                () = async {
                    quiet.await;
                    if self.open_line_since.is_none() {
                        let _ = self.length.changed().await;
                    }
                } => {}
                _ = pings.tick() => self.ping().await,
            }
        }
    }

    /// Deals with an item; `true` at the end of the lane.
    async fn handle(&mut self, item: ReportItem) -> bool {
        match item {
            ReportItem::Pulled => self.pulled().await,
            ReportItem::AttemptStarted(attempt) => self.attempt_started(attempt).await,
            ReportItem::Container { told, port_mapping } => self.container(told, port_mapping).await,
            ReportItem::Environment(report, requirements) => self.environment(report, requirements).await,
            ReportItem::UserStarted => self.user_started().await,
            ReportItem::Blame(line) => {
                self.say(&format!("{line}\n"), LEVEL_INFO).await;
                self.blame = Some(line);
            }
            ReportItem::GpuScalars(scalars) => self.gpu_scalars(scalars).await,
            ReportItem::GpuPeaks(peaks) => self.gpu_peaks(&peaks).await,
            ReportItem::Note(line) => self.say(&format!("{line}\n"), LEVEL_INFO).await,
            ReportItem::Finished(outcome) => {
                self.finished(&outcome).await;
                return true;
            }
        }
        false
    }

    async fn pulled(&mut self) {
        let message = "pulled by agent";
        if !self.start("", message).await {
            return;
        }
        self.tell(LaneFact::Started);
        let OpenLane { task, queue, worker, .. } = &self.order;
        let line = match queue.as_str() {
            "" => format!("task {task} executed by worker {worker}\n"),
            queue => format!("task {task} pulled from {queue} by worker {worker}\n"),
        };
        self.say(&line, LEVEL_INFO).await;
        let host = drivers::host::hostname();
        let runtime = serde_json::Map::from_iter([("_exec_agent_hostname".to_owned(), json!(host))]);
        let server = &self.tools.server;
        self.insist("edit runtime", || server.edit_runtime(&self.order.task, runtime.clone())).await;
        self.opened = true;
    }

    async fn attempt_started(&mut self, attempt: AttemptId) {
        let files = console_files(&self.tools.attempts_dir, &self.order.task, self.order.pull, attempt);
        self.stream = ConsoleStream::new(files);
        self.opened = true;
        if self.order.resumed {
            self.repeat_unknown_packet().await;
        }
    }

    async fn container(&mut self, told: BTreeMap<String, Value>, port_mapping: String) {
        let (server, task) = (&self.tools.server, &self.order.task);
        if !told.is_empty() {
            self.insist("write the container back", || server.set_container(task, json!(told))).await;
        }
        if !port_mapping.is_empty() {
            let runtime = serde_json::Map::from_iter([(PORT_MAPPING.to_owned(), json!(port_mapping))]);
            self.insist("edit runtime", || server.edit_runtime(task, runtime.clone())).await;
        }
    }

    async fn environment(&mut self, report: EnvironmentReport, mut requirements: BTreeMap<String, Value>) {
        if let Some(packages) = report.packages {
            for (key, original) in [("pip", "org_pip"), ("conda", "org_conda")] {
                if let Some(before) = requirements.get(key).cloned()
                    && !requirements.contains_key(original)
                {
                    requirements.insert(original.to_owned(), before);
                }
            }
            requirements.insert("pip".to_owned(), json!(packages));
            requirements.remove("conda");
            let requirements = json!(requirements);
            let server = &self.tools.server;
            let call = || server.set_requirements(&self.order.task, requirements.clone());
            self.insist("write packages back", call).await;
        }
        let now = self.tools.clock.now_ms();
        let phases = preparation(&self.order.task, &self.order.worker, &report.phases, now);
        if !phases.is_empty() {
            let server = &self.tools.server;
            self.insist("report how long the preparation took", || server.add_scalars(&phases)).await;
        }
        if let Some(commit) = report.commit {
            let server = &self.tools.server;
            self.insist("write the commit back", || server.set_commit(&self.order.task, &commit)).await;
        }
    }

    async fn user_started(&mut self) {
        // A status change wipes the message that a pending abort stands in, so look first. The embedded server
        // refuses the change itself; on another one the gap between the two calls remains.
        let (server, task) = (&self.tools.server, [self.order.task.clone()]);
        let seen = self.insist("look at the status", || server.task_statuses(&task)).await;
        if let Some(reason) = seen.as_ref().and_then(|seen| seen.iter().find_map(stop_reason)) {
            self.tell(LaneFact::NotWanted(reason));
            return;
        }
        self.start("worker starting task execution", &status_message(&self.order.worker)).await;
    }

    async fn finished(&mut self, outcome: &Outcome) {
        while self.ship(true).await {}
        if self.requeue(outcome).await {
            return;
        }
        let mut closing = closing(outcome, &self.last_words().await);
        if let (FinalStatus::Failed, Some(blame)) = (&closing.status, &self.blame) {
            closing.reason = format!("{}; {blame}", closing.reason);
        }
        if !closing.line.is_empty() {
            self.say(&format!("{}\n", closing.line), LEVEL_INFO).await;
        }
        let message = status_message(&self.order.worker);
        let (task, reason) = (self.order.task.clone(), closing.reason.clone());
        let server = &self.tools.server;
        self.insist("set the final status", || match closing.status {
            FinalStatus::Completed => server.completed(&task, &reason, &message),
            FinalStatus::Failed => server.failed(&task, &reason, &message),
            FinalStatus::Stopped => server.stopped(&task, &reason, &message),
            FinalStatus::Untouched => Box::pin(std::future::ready(Ok(()))),
        })
        .await;
        info!(task = %self.order.task, class = class_name(outcome), "outcome acknowledged");
        self.tell(LaneFact::Settled);
    }

    /// The end of the console: what the executor has said already need not be said again.
    async fn last_words(&self) -> String {
        let end = self.stream.length();
        let piece = self.read(end.saturating_sub(LAST_WORDS_BYTES), PACKET_BYTES).await;
        piece.map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned()).unwrap_or_default()
    }

    /// `tasks.started`, unless the task is not wanted any more; `false` then.
    async fn start(&mut self, reason: &str, message: &str) -> bool {
        let expected = [TaskStatus::Queued, TaskStatus::InProgress];
        let mut backoff = Backoff::for_server();
        loop {
            match self.tools.server.started(&self.order.task, reason, message, &expected).await {
                Ok(()) => return true,
                Err(error) if is_refusal(&error) => {
                    debug!(task = %self.order.task, %error, "tasks.started was refused");
                    break;
                }
                Err(error) => self.wait_for_server("report the start", &error, &mut backoff).await,
            }
        }
        let (server, task) = (&self.tools.server, [self.order.task.clone()]);
        let seen = self.insist("look at the status", || server.task_statuses(&task)).await;
        let reason = seen.as_ref().and_then(|seen| seen.iter().find_map(stop_reason));
        self.tell(LaneFact::NotWanted(reason.unwrap_or(StopReason::StatusChanged)));
        false
    }

    async fn ping(&mut self) {
        if let Err(error) = self.tools.server.ping(&self.order.task).await {
            debug!(task = %self.order.task, %error, "ping was not answered");
        }
    }

    /// Sends a line of our own, once: where an earlier try may have arrived, the server is asked first.
    pub(super) async fn say(&mut self, line: &str, level: &str) {
        let mut doubtful = self.order.resumed;
        let mut backoff = Backoff::for_server();
        loop {
            if doubtful && self.insist_on_knowing(|| self.was_said(line)).await {
                return;
            }
            let timestamp = self.next_timestamp();
            let event = self.event(timestamp, level, line.to_owned());
            match self.tools.server.add_logs(&[event]).await {
                Ok(_) => {
                    self.shipping.last_timestamp_ms = timestamp;
                    return;
                }
                Err(error) if is_refusal(&error) => {
                    self.console_refused = true;
                    return;
                }
                Err(error) => {
                    doubtful = true;
                    self.wait_for_server("send a log line", &error, &mut backoff).await;
                }
            }
        }
    }

    async fn was_said(&self, line: &str) -> Result<bool, ClientError> {
        let seen = self.tools.server.logs_since(&self.order.task, self.order.pulled_at_ms).await?;
        Ok(seen.iter().any(|event| event.msg == line && event.timestamp >= self.order.pulled_at_ms))
    }

    /// Asks whether something has arrived until the server answers: nothing is sent again on a guess. A server that
    /// refuses to tell will refuse what is sent again, too.
    pub(super) async fn insist_on_knowing<F>(&self, ask: impl Fn() -> F) -> bool
    where
        F: Future<Output = Result<bool, ClientError>>,
    {
        let mut backoff = Backoff::for_server();
        loop {
            match ask().await {
                Ok(arrived) => return arrived,
                Err(error) if is_refusal(&error) => return false,
                Err(error) => self.wait_for_server("look for what was sent", &error, &mut backoff).await,
            }
        }
    }

    pub(super) async fn read(&self, offset: u64, most: usize) -> Option<Piece> {
        let stream = self.stream.clone();
        let read = tokio::task::spawn_blocking(move || stream.read(offset, most)).await;
        match read {
            Ok(Ok(piece)) => Some(piece),
            Ok(Err(error)) => {
                warn!(task = %self.order.task, %error, "cannot read the console file");
                None
            }
            Err(error) => {
                warn!(task = %self.order.task, %error, "cannot read the console file");
                None
            }
        }
    }

    pub(super) fn event(&self, timestamp: i64, level: &str, msg: String) -> LogEvent {
        LogEvent::new(self.order.task.clone(), self.order.worker.clone(), level, msg, timestamp)
    }

    /// Increasing within a task, whatever the clock does: the server sorts by it.
    pub(super) fn next_timestamp(&self) -> i64 {
        let seen = self.length.borrow().1;
        let now = if seen > 0 { seen } else { self.tools.clock.now_ms() };
        now.max(self.shipping.last_timestamp_ms + 1)
    }

    /// Calls until the server has answered; `None` when it refuses.
    pub(super) async fn insist<'call, T>(
        &self,
        what: &str,
        call: impl Fn() -> BoxFuture<'call, Result<T, ClientError>>,
    ) -> Option<T> {
        let mut backoff = Backoff::for_server();
        loop {
            match call().await {
                Ok(answer) => return Some(answer),
                Err(error) if is_refusal(&error) => {
                    warn!(task = %self.order.task, %error, "the server refuses to {what}");
                    return None;
                }
                Err(error) => self.wait_for_server(what, &error, &mut backoff).await,
            }
        }
    }

    pub(super) async fn wait_for_server(&self, what: &str, error: &ClientError, backoff: &mut Backoff) {
        debug!(task = %self.order.task, %error, "cannot {what} now; will try again");
        backoff.wait().await;
    }

    pub(super) fn tell(&self, fact: LaneFact) {
        crate::kit::tell(&self.order.facts, fact);
    }
}

/// The server understood and said no: trying again does not help. Everything else is tried again for ever.
pub(super) fn is_refusal(error: &ClientError) -> bool {
    error.api().is_some() && !error.is_transient()
}
