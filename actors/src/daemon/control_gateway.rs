//! Where the command line asks: JSON lines on the control socket, one request, one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use protocols::control::{
    ControlAnswer, ControlRequest, DaemonMode, DaemonStatus, ServicesStatus, TaskSnapshot, WorkerStatus,
};
use protocols::failure::Phase;
use protocols::gpu::Share;
use protocols::ids::WorkerId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::board::Board;
use super::child::Child;
use super::explain::explain;
use super::gpu::board::GpuBoard;
use super::gpu::waits::Waits;
use super::metrics_page;
use super::prefetcher::PrefetchBoard;
use super::settings::{DaemonSettings, Services};
use crate::kit::{Lifeline, tell};

/// No request is longer, in bytes.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// How long a caller may take to say what it wants.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Somebody on this machine wants the daemon to change what it does.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ControlCommand(pub(crate) ControlRequest);

/// What answers are made of: read models (invariant B1), and what the server has in the queues.
#[derive(Clone)]
pub(crate) struct ControlView {
    pub(crate) settings: Arc<DaemonSettings>,
    pub(crate) board: Board,
    pub(crate) waits: Waits,
    pub(crate) server: Arc<dyn TaskServer>,
    pub(crate) gpus: GpuBoard,
    pub(crate) prefetch: PrefetchBoard,
    pub(crate) mode: watch::Receiver<DaemonMode>,
    pub(crate) reachable: Arc<AtomicBool>,
    pub(crate) started_at_ms: i64,
}

impl ControlView {
    pub(super) fn status(&self) -> DaemonStatus {
        let tasks = self.board.snapshots();
        let holders = || tasks.iter().filter(|task| task.phase != Phase::Reporting);
        let configured = self.settings.workers.iter().map(|worker| {
            let task = holders().find(|task| task.worker == worker.id);
            WorkerStatus {
                id: worker.id.clone(),
                queues: worker.queue_names.clone(),
                gpus: worker.gpus.clone(),
                share: Share::WHOLE,
                task: task.map(|task| task.task.clone()),
            }
        });
        let is_configured = |worker: &WorkerId| self.settings.workers.iter().any(|configured| configured.id == *worker);
        let of_their_own = |task: &&TaskSnapshot| self.settings.has_workers_of_tasks() && !is_configured(&task.worker);
        let of_leases = holders().filter(of_their_own).map(|task| WorkerStatus {
            id: task.worker.clone(),
            queues: vec![self.settings.queue_name(&task.queue).to_owned()],
            gpus: task.gpus.clone(),
            share: task.share,
            task: Some(task.task.clone()),
        });
        let workers = configured.chain(of_leases).collect();
        let demands = self.settings.dynamic.iter().flat_map(|dynamic| &dynamic.demands);
        let demands =
            demands.map(|(queue, demand)| (self.settings.queue_name(queue).to_owned(), demand.to_string())).collect();
        let divided = self.settings.dynamic.iter().flat_map(|dynamic| &dynamic.mig).flat_map(|mig| &mig.division.cards);
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at_ms: self.started_at_ms,
            server: self.settings.server_url.clone(),
            server_reachable: self.reachable.load(Ordering::Relaxed),
            mode: *self.mode.borrow(),
            workers,
            services: self
                .settings
                .services
                .map(|Services { limit }| ServicesStatus { running: holders().count(), limit }),
            gpu_library: self.settings.gpu_library.clone(),
            demands,
            divided: divided.map(|card| card.card.clone()).collect(),
            out_of_use: self.gpus.out_of_use(),
            prefetch: self.prefetch.shown(),
            tasks,
        }
    }
}

pub(crate) struct ControlGateway {
    listener: Arc<UnixListener>,
    /// Where Prometheus asks.
    metrics: Option<Arc<TcpListener>>,
    view: ControlView,
    commands: Recipient<ControlCommand>,
    _lifeline: Lifeline<Child>,
}

impl ControlGateway {
    pub(crate) fn new(
        listener: Arc<UnixListener>,
        metrics: Option<Arc<TcpListener>>,
        view: ControlView,
        commands: Recipient<ControlCommand>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        Self { listener, metrics, view, commands, _lifeline: lifeline }
    }
}

impl Actor for ControlGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (listener, view, commands) = (Arc::clone(&self.listener), self.view.clone(), self.commands.clone());
        let serving = async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(answer(stream, view.clone(), commands.clone()));
                    }
                    Err(error) => {
                        warn!(%error, "cannot take a call on the control socket");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        ctx.spawn(serving.into_actor(self));
        if let Some(metrics) = self.metrics.clone() {
            ctx.spawn(metrics_page::serve(metrics, self.view.clone()).into_actor(self));
        }
    }
}

async fn answer(mut stream: UnixStream, view: ControlView, commands: Recipient<ControlCommand>) {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST_BYTES));
    if !matches!(tokio::time::timeout(REQUEST_WITHIN, reader.read_line(&mut line)).await, Ok(Ok(_))) {
        return;
    }
    let answer = match serde_json::from_str(&line) {
        Ok(ControlRequest::Status) => ControlAnswer::Status(Box::new(view.status())),
        Ok(ControlRequest::Explain { of }) => match explain(&view, &of).await {
            Ok(explanation) => ControlAnswer::Explanation(Box::new(explanation)),
            Err(why) => ControlAnswer::Refused { why },
        },
        Ok(request) => {
            tell(&commands, ControlCommand(request));
            ControlAnswer::Accepted
        }
        Err(error) => ControlAnswer::Refused { why: format!("not a request: {error}") },
    };
    let mut bytes = serde_json::to_vec(&answer).unwrap_or_default();
    bytes.push(b'\n');
    if let Err(error) = writer.write_all(&bytes).await {
        debug!(%error, "a caller on the control socket did not wait for its answer");
    }
}
