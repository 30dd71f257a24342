//! One connection to the daemon after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::ipc::{FrameReader, FrameWriter, IpcError, dial};
use drivers::process::this_process;
use futures::future::{Either, select};
use protocols::ipc::{DaemonFrame, ExecutorFact, ExecutorFrame, PROTOCOL_VERSION};
use protocols::order::ExecutorOrder;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::log_pump::ConsoleGrew;
use crate::kit::Backoff;

/// The first wait before the daemon is dialled again.
const FIRST_REDIAL: Duration = Duration::from_millis(20);
/// The longest wait.
const LONGEST_REDIAL: Duration = Duration::from_secs(1);
/// How long a daemon that took the connection may think about the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// A fact and its number.
pub(super) type NumberedFact = (u64, ExecutorFact);

/// What there is to send.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Not acknowledged yet, in order.
    pub(super) facts: VecDeque<NumberedFact>,
    /// The newest length of the console file.
    pub(super) console: Option<ConsoleGrew>,
}

/// What the link tells its owner.
#[derive(Message, Clone, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub(super) enum LinkNews {
    /// A frame from the daemon.
    Frame(DaemonFrame),
    /// The attempt's folder has vanished.
    FolderGone,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the daemon closed the connection")]
    Closed,
    #[error("the daemon did not answer the handshake")]
    NoAnswer,
    #[error("the daemon answered the handshake with {0:?}")]
    Unexpected(DaemonFrame),
    /// The owner is gone: there is nobody to connect for.
    #[error("nobody listens here any more")]
    Orphaned,
    #[error(transparent)]
    Ipc(#[from] IpcError),
}

/// Dials, talks, and dials again, for ever; ends when the daemon has refused the executor, or nobody would listen.
pub(super) async fn keep_connected(
    order: Arc<ExecutorOrder>,
    outbox: watch::Receiver<Outbox>,
    news: Recipient<LinkNews>,
) {
    let mut backoff = Backoff::new(FIRST_REDIAL, LONGEST_REDIAL);
    loop {
        match connect(&order).await {
            Ok(Connection::Refused(refusal)) => {
                let _ = news.send(LinkNews::Frame(refusal)).await;
                return;
            }
            Ok(Connection::Welcomed { reader, writer, acknowledged }) => {
                backoff.reset();
                let error = talk(reader, writer, acknowledged, outbox.clone(), &news).await;
                if matches!(error, LinkError::Orphaned) {
                    return;
                }
                debug!(%error, "connection to the daemon lost");
            }
            Err(error) => debug!(%error, "daemon not reached"),
        }
        if is_gone(&order).await {
            warn!("the attempt's folder has vanished");
            let _ = news.send(LinkNews::FolderGone).await;
            return;
        }
        backoff.wait().await;
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
enum Connection {
    Welcomed { reader: FrameReader<DaemonFrame>, writer: FrameWriter<ExecutorFrame>, acknowledged: u64 },
    Refused(DaemonFrame),
}

async fn connect(order: &ExecutorOrder) -> Result<Connection, LinkError> {
    let (mut reader, mut writer) = dial(&order.socket).await?;
    let hello = ExecutorFrame::Hello {
        protocol: PROTOCOL_VERSION,
        task: order.task.id.clone(),
        pull: order.pull,
        attempt: order.attempt,
        token: order.token.clone(),
        process: this_process(),
    };
    writer.send(&hello).await?;
    let answer = tokio::time::timeout(HANDSHAKE_TIMEOUT, reader.next()).await.map_err(|_| LinkError::NoAnswer)??;
    match answer.ok_or(LinkError::Closed)? {
        DaemonFrame::Welcome { acknowledged } => Ok(Connection::Welcomed { reader, writer, acknowledged }),
        refusal @ DaemonFrame::Refused { .. } => Ok(Connection::Refused(refusal)),
        frame @ (DaemonFrame::Acknowledged { .. } | DaemonFrame::Stop { .. }) => Err(LinkError::Unexpected(frame)),
    }
}

/// Both directions at once, until one of them ends.
async fn talk(
    reader: FrameReader<DaemonFrame>,
    writer: FrameWriter<ExecutorFrame>,
    acknowledged: u64,
    outbox: watch::Receiver<Outbox>,
    news: &Recipient<LinkNews>,
) -> LinkError {
    if news.send(LinkNews::Frame(DaemonFrame::Welcome { acknowledged })).await.is_err() {
        return LinkError::Orphaned;
    }
    let receiving = std::pin::pin!(receive(reader, news));
    let sending = std::pin::pin!(send(writer, acknowledged, outbox));
    match select(receiving, sending).await {
        Either::Left((error, _)) | Either::Right((error, _)) => error,
    }
}

async fn receive(mut reader: FrameReader<DaemonFrame>, news: &Recipient<LinkNews>) -> LinkError {
    loop {
        match reader.next().await {
            Ok(Some(frame)) => {
                if news.send(LinkNews::Frame(frame)).await.is_err() {
                    return LinkError::Orphaned;
                }
            }
            Ok(None) => return LinkError::Closed,
            Err(error) => return error.into(),
        }
    }
}

/// Sends what is new, and on a new connection everything that was not acknowledged.
async fn send(
    mut writer: FrameWriter<ExecutorFrame>,
    acknowledged: u64,
    mut outbox: watch::Receiver<Outbox>,
) -> LinkError {
    let mut sent = acknowledged;
    let mut console = None;
    loop {
        for frame in unsent(&outbox.borrow_and_update(), &mut sent, &mut console) {
            if let Err(error) = writer.send(&frame).await {
                return error.into();
            }
        }
        if outbox.changed().await.is_err() {
            return LinkError::Orphaned;
        }
    }
}

/// The frames that go out now. The console's length goes first: when `Ended` arrives, the daemon knows how much
/// there is to read.
fn unsent(outbox: &Outbox, sent: &mut u64, console: &mut Option<ConsoleGrew>) -> Vec<ExecutorFrame> {
    let mut frames = Vec::new();
    if outbox.console != *console {
        *console = outbox.console;
        frames.extend(console.map(|grown| ExecutorFrame::Console { length: grown.length, at_ms: grown.at_ms }));
    }
    for (number, fact) in outbox.facts.iter().filter(|(number, _)| *number > *sent) {
        frames.push(ExecutorFrame::Fact { number: *number, fact: fact.clone() });
    }
    *sent = outbox.facts.back().map_or(*sent, |(number, _)| (*number).max(*sent));
    frames
}

async fn is_gone(order: &ExecutorOrder) -> bool {
    matches!(tokio::fs::try_exists(&order.attempt_dir).await, Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(length: u64) -> Option<ConsoleGrew> {
        Some(ConsoleGrew { length, at_ms: 1 })
    }

    #[test]
    fn what_was_sent_is_not_sent_again_on_the_same_connection() {
        let mut outbox = Outbox {
            facts: VecDeque::from([(3, ExecutorFact::UserStarted), (4, ExecutorFact::UserStarted)]),
            console: console(7),
        };
        let (mut sent, mut seen) = (3, None);
        assert_eq!(
            unsent(&outbox, &mut sent, &mut seen),
            [
                ExecutorFrame::Console { length: 7, at_ms: 1 },
                ExecutorFrame::Fact { number: 4, fact: ExecutorFact::UserStarted },
            ]
        );
        assert_eq!(unsent(&outbox, &mut sent, &mut seen), []);
        outbox.console = console(8);
        assert_eq!(unsent(&outbox, &mut sent, &mut seen).len(), 1);
    }

    #[test]
    fn a_new_connection_repeats_what_was_not_acknowledged() {
        let outbox = Outbox {
            facts: VecDeque::from([(1, ExecutorFact::UserStarted), (2, ExecutorFact::UserStarted)]),
            console: console(7),
        };
        for (acknowledged, facts) in [(0, 2), (1, 1), (2, 0), (9, 0)] {
            assert_eq!(unsent(&outbox, &mut { acknowledged }, &mut None).len(), facts + 1, "{acknowledged}");
        }
    }
}
