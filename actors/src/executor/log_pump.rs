//! How long the console file is: looked at often while it grows, seldom while it does not.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::clock::Clock;
use tracing::warn;

use super::child::Child;
use super::console::Console;
use crate::kit::Lifeline;

/// The console file has grown. Replaceable: only the newest matters.
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub(super) struct ConsoleGrew {
    /// Its length in bytes.
    pub(super) length: u64,
    /// When that was seen, in milliseconds since the epoch.
    pub(super) at_ms: i64,
}

/// Gives the pump another listener, which hears the present length too.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub(super) struct TellConsoleTo(pub(super) Recipient<ConsoleGrew>);

/// How soon the file is looked at again after it has grown.
const BUSY_INTERVAL: Duration = Duration::from_millis(50);
/// The longest time between two looks.
const IDLE_INTERVAL: Duration = Duration::from_millis(200);

/// Watches the length of the console file. Log bytes themselves never enter an actor; the daemon reads the file.
pub(super) struct LogPump {
    console: Arc<Console>,
    clock: Arc<dyn Clock>,
    listener: Recipient<ConsoleGrew>,
    length: u64,
    interval: Duration,
    _lifeline: Lifeline<Child>,
}

impl LogPump {
    pub(super) fn new(
        console: Arc<Console>,
        clock: Arc<dyn Clock>,
        listener: Recipient<ConsoleGrew>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        Self { console, clock, listener, length: 0, interval: BUSY_INTERVAL, _lifeline: lifeline }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        match self.console.length() {
            Ok(length) if length != self.length => {
                let seen = ConsoleGrew { length, at_ms: self.clock.now_ms() };
                // A full mailbox loses nothing: the next look finds the same growth again.
                if self.listener.try_send(seen).is_ok() {
                    self.length = length;
                }
                self.interval = BUSY_INTERVAL;
            }
            Ok(_) => self.interval = self.interval.saturating_mul(2).min(IDLE_INTERVAL),
            Err(error) => {
                warn!(%error, "console file not to be looked at");
                self.interval = IDLE_INTERVAL;
            }
        }
        ctx.run_later(self.interval, Self::look);
    }
}

impl Actor for LogPump {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<TellConsoleTo> for LogPump {
    type Result = ();

    fn handle(&mut self, TellConsoleTo(listener): TellConsoleTo, _: &mut Self::Context) {
        self.listener = listener;
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use drivers::clock::SystemClock;
    use tokio::sync::mpsc;

    use super::*;
    use crate::kit::ChildExited;

    struct Listener {
        heard: mpsc::UnboundedSender<u64>,
    }

    impl Actor for Listener {
        type Context = Context<Self>;
    }

    impl Handler<ConsoleGrew> for Listener {
        type Result = ();

        fn handle(&mut self, grown: ConsoleGrew, _: &mut Self::Context) {
            self.heard.send(grown.length).unwrap();
        }
    }

    impl Handler<ChildExited<Child>> for Listener {
        type Result = ();

        fn handle(&mut self, _: ChildExited<Child>, _: &mut Self::Context) {}
    }

    fn listener() -> (Addr<Listener>, mpsc::UnboundedReceiver<u64>) {
        let (heard, lengths) = mpsc::unbounded_channel();
        (Listener { heard }.start(), lengths)
    }

    #[actix::test]
    async fn growth_is_told_once_and_to_a_new_listener_again() {
        let folder = tempfile::tempdir().unwrap();
        let console = Arc::new(Console::open(&folder.path().join("console")).unwrap());
        let (first, mut lengths) = listener();
        let lifeline = Lifeline::new(&first, Child::LogPump);
        let pump =
            LogPump::new(Arc::clone(&console), Arc::new(SystemClock), first.clone().recipient(), lifeline).start();
        console.line("1234");
        assert_eq!(lengths.recv().await, Some(5));
        console.line("1234");
        assert_eq!(lengths.recv().await, Some(10));
        let (second, mut again) = listener();
        pump.send(TellConsoleTo(second.recipient())).await.unwrap();
        assert_eq!(again.recv().await, Some(10));
        assert!(lengths.try_recv().is_err(), "the first has heard of each growth once");
    }
}
