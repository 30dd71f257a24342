//! Where executors dial in: handshake, then each link to its task's runner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use drivers::ipc::{self, FrameReader, FrameWriter, IpcError};
use protocols::ids::AttemptId;
use protocols::ipc::{DaemonFrame, ExecutorFrame, PROTOCOL_VERSION};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::child::Child;
use super::task_manager::FindRunner;
use super::task_runner::{AttachExecutor, ExecutorDetached, ExecutorReport, TaskRunner};
use crate::kit::{Lifeline, tell};

/// How long a caller may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Commands that may wait for a slow executor; there are two per task.
const COMMANDS: usize = 8;

pub(crate) struct ExecutorGateway {
    listener: Arc<UnixListener>,
    runners: Recipient<FindRunner>,
    _lifeline: Lifeline<Child>,
}

impl ExecutorGateway {
    /// The listener is bound by whoever builds this, so that a rebuilt gateway goes on with the same socket.
    pub(crate) fn new(listener: Arc<UnixListener>, runners: Recipient<FindRunner>, lifeline: Lifeline<Child>) -> Self {
        Self { listener, runners, _lifeline: lifeline }
    }
}

impl Actor for ExecutorGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (listener, runners) = (Arc::clone(&self.listener), self.runners.clone());
        ctx.spawn(accept_for_ever(listener, runners).into_actor(self));
    }
}

async fn accept_for_ever(listener: Arc<UnixListener>, runners: Recipient<FindRunner>) {
    loop {
        match ipc::accept(&listener).await {
            Ok((reader, writer)) => {
                let runners = runners.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(reader, writer, runners).await {
                        debug!(%error, "an executor's connection ended");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot take an executor's call");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(
    mut reader: FrameReader<ExecutorFrame>,
    mut writer: FrameWriter<DaemonFrame>,
    runners: Recipient<FindRunner>,
) -> Result<(), IpcError> {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let Ok(first) = tokio::time::timeout(HELLO_WITHIN, reader.next()).await else { return Ok(()) };
    let Some(ExecutorFrame::Hello { protocol, task, pull, attempt, token, process }) = first? else {
        return writer.send(&DaemonFrame::Refused { why: "expected a hello".to_owned() }).await;
    };
    if protocol > PROTOCOL_VERSION || protocol + 1 < PROTOCOL_VERSION {
        let why = format!("protocol {protocol} is not spoken here, {PROTOCOL_VERSION} is");
        return writer.send(&DaemonFrame::Refused { why }).await;
    }
    let Ok(runner) = runners.send(FindRunner { task }).await else { return Ok(()) };
    let Some(runner) = runner else {
        return writer.send(&DaemonFrame::Refused { why: "nobody here runs this task".to_owned() }).await;
    };
    let (commands, mut told) = mpsc::channel(COMMANDS);
    let attach = AttachExecutor { pull, attempt, token, process, connection, commands };
    // A runner that is just being rebuilt does not answer: the executor dials again.
    let Ok(attached) = runner.send(attach).await else { return Ok(()) };
    match attached {
        Err(refusal) => return writer.send(&DaemonFrame::Refused { why: refusal.0 }).await,
        Ok(acknowledged) => writer.send(&DaemonFrame::Welcome { acknowledged }).await?,
    }
    let result = converse(&mut reader, &mut writer, &mut told, &runner, attempt).await;
    tell(&runner.recipient(), ExecutorDetached { connection });
    result
}

async fn converse(
    reader: &mut FrameReader<ExecutorFrame>,
    writer: &mut FrameWriter<DaemonFrame>,
    told: &mut mpsc::Receiver<DaemonFrame>,
    runner: &Addr<TaskRunner>,
    attempt: AttemptId,
) -> Result<(), IpcError> {
    loop {
        tokio::select! {
            frame = reader.next() => match frame? {
                None => return Ok(()),
                Some(ExecutorFrame::Hello { .. }) => {}
                Some(ExecutorFrame::Console { length, at_ms }) => {
                    // Replaceable: the next one says the same and more.
                    let _ = runner.try_send(ExecutorReport::Console { attempt, length, at_ms });
                }
                Some(ExecutorFrame::Fact { number, fact }) => {
                    if runner.send(ExecutorReport::Fact { attempt, number, fact }).await.is_err() {
                        return Ok(()); // Not acknowledged: it comes again.
                    }
                    writer.send(&DaemonFrame::Acknowledged { number }).await?;
                }
            },
            command = told.recv() => match command {
                Some(command) => writer.send(&command).await?,
                None => return Ok(()),
            },
        }
    }
}
