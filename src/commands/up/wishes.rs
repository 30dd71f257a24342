//! What the person at the keyboard, or the service manager, wants.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is to happen to the tasks when we leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// They are stopped.
    StopTasks,
    /// They run on, and the next start takes them over.
    LeaveTasks,
}

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Wishes {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    on_terminal: bool,
}

impl Wishes {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            on_terminal: std::io::stderr().is_terminal(),
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::StopTasks,
            _ = self.terminate.recv() => if self.on_terminal { Wish::StopTasks } else { Wish::LeaveTasks },
            // The terminal is gone: nobody is there who could have meant the tasks.
            _ = self.hang_up.recv() => Wish::LeaveTasks,
        }
    }
}
