//! The executor's children: how they are built, and built again.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use drivers::clock::SystemClock;
use protocols::ipc::ExecutorFact;
use protocols::order::ExecutorOrder;
use tokio::time::Instant;
use tracing::warn;

use super::child::Child;
use super::console::Console;
use super::container_runner::ContainerRunner;
use super::environment_builder::{EnvironmentBuilder, PreparationNews};
use super::launch::Launch;
use super::log_pump::{ConsoleGrew, LogPump, TellConsoleTo};
use super::process_runner::{ProcessNews, ProcessRunner, StartProcess, StopProcess};
use super::uplink::{SendFact, Uplink, UplinkNews};
use crate::kit::{ChildExited, Lifeline, RestartDecision, RestartHistory, RestartPolicy};

/// Whoever listens to all of the children.
pub(super) trait Parent:
    Actor<
        Context: ToEnvelope<Self, PreparationNews>
                     + ToEnvelope<Self, ProcessNews>
                     + ToEnvelope<Self, UplinkNews>
                     + ToEnvelope<Self, ChildExited<Child>>,
    > + Handler<PreparationNews>
    + Handler<ProcessNews>
    + Handler<UplinkNews>
    + Handler<ChildExited<Child>>
{
}

/// Who runs the user's program.
pub(super) enum Runner {
    /// As a process of this machine.
    Process(Addr<ProcessRunner>),
    /// In a container of its own.
    Container(Addr<ContainerRunner>),
}

impl Runner {
    fn start<P: Parent>(order: &ExecutorOrder, console: &Arc<Console>, parent: &Addr<P>) -> Self {
        let (console, news) = (Arc::clone(console), parent.clone().recipient());
        match &order.container {
            None => {
                let lifeline = Lifeline::new(parent, Child::ProcessRunner);
                Self::Process(ProcessRunner::new(console, news, lifeline).start())
            }
            Some(_) => {
                let lifeline = Lifeline::new(parent, Child::ContainerRunner);
                Self::Container(ContainerRunner::new(console, news, lifeline).start())
            }
        }
    }

    /// Starts the program; whether there is anybody who does.
    pub(super) fn start_program(&self, launch: Launch) -> bool {
        match self {
            Self::Process(runner) => runner.try_send(StartProcess(launch)).is_ok(),
            Self::Container(runner) => runner.try_send(StartProcess(launch)).is_ok(),
        }
    }

    /// Stops it; whether there is anybody who does.
    pub(super) fn stop_program(&self, grace: Duration) -> bool {
        match self {
            Self::Process(runner) => runner.try_send(StopProcess { grace }).is_ok(),
            Self::Container(runner) => runner.try_send(StopProcess { grace }).is_ok(),
        }
    }
}

/// The children of one parent, and what a rebuilt one has to be given.
pub(super) struct Children<P: Parent> {
    order: Arc<ExecutorOrder>,
    console: Arc<Console>,
    parent: Addr<P>,
    pub(super) builder: Addr<EnvironmentBuilder>,
    pub(super) runner: Runner,
    uplink: Addr<Uplink>,
    pump: Addr<LogPump>,
    /// Every fact so far; a rebuilt uplink begins with all of them.
    facts: Vec<ExecutorFact>,
    restarts: RestartHistory,
}

impl<P: Parent> Children<P> {
    /// Starts all of them; none does anything of consequence before it is told to.
    pub(super) fn start(order: Arc<ExecutorOrder>, console: Arc<Console>, parent: Addr<P>) -> Self {
        let uplink = start_uplink(&order, &[], &parent);
        let pump = start_pump(&console, &uplink, &parent);
        let builder = EnvironmentBuilder::new(
            Arc::clone(&order),
            Arc::clone(&console),
            parent.clone().recipient(),
            Lifeline::new(&parent, Child::EnvironmentBuilder),
        )
        .start();
        let runner = Runner::start(&order, &console, &parent);
        let (facts, restarts) = (Vec::new(), RestartHistory::default());
        Self { order, console, parent, builder, runner, uplink, pump, facts, restarts }
    }

    /// Tells the daemon, now or later; the number of the fact.
    pub(super) fn send_fact(&mut self, fact: ExecutorFact) -> u64 {
        self.facts.push(fact.clone());
        let number = self.facts.len() as u64;
        // An uplink that does not take it is dead; the next one gets all the facts.
        if self.uplink.try_send(SendFact { number, fact }).is_err() {
            warn!(number, "uplink does not take a fact");
        }
        number
    }

    /// Tells the daemon how long the console file is, ahead of the facts that follow.
    pub(super) fn send_console(&self, grown: ConsoleGrew) {
        // As for a fact; the daemon looks at the file itself when the end arrives.
        let _ = self.uplink.try_send(grown);
    }

    /// Whether a child that ended is to be built again, and after which wait.
    pub(super) fn decide_restart(&mut self) -> RestartDecision {
        self.restarts.decide(RestartPolicy::default(), Instant::now())
    }

    /// Builds uplink or pump again: they own nothing that cannot be had again.
    pub(super) fn rebuild(&mut self, child: Child) {
        match child {
            Child::Uplink => {
                self.uplink = start_uplink(&self.order, &self.facts, &self.parent);
                // A pump that is dead too gets the new uplink when it is built.
                let _ = self.pump.try_send(TellConsoleTo(self.uplink.clone().recipient()));
            }
            Child::LogPump => self.pump = start_pump(&self.console, &self.uplink, &self.parent),
            Child::EnvironmentBuilder | Child::ProcessRunner | Child::ContainerRunner => {}
        }
    }
}

fn start_uplink<P: Parent>(order: &Arc<ExecutorOrder>, facts: &[ExecutorFact], parent: &Addr<P>) -> Addr<Uplink> {
    let lifeline = Lifeline::new(parent, Child::Uplink);
    Uplink::new(Arc::clone(order), facts.iter().cloned(), parent.clone().recipient(), lifeline).start()
}

fn start_pump<P: Parent>(console: &Arc<Console>, uplink: &Addr<Uplink>, parent: &Addr<P>) -> Addr<LogPump> {
    let lifeline = Lifeline::new(parent, Child::LogPump);
    LogPump::new(Arc::clone(console), Arc::new(SystemClock), uplink.clone().recipient(), lifeline).start()
}

#[cfg(test)]
mod tests {
    use drivers::ipc::{FrameReader, FrameWriter, accept, bind};
    use protocols::failure::Phase;
    use protocols::ipc::{DaemonFrame, ExecutorFrame};

    use super::*;
    use crate::executor::fixtures;

    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    macro_rules! ignore {
        ($($message:ty),*) => {$(
            impl Handler<$message> for Nobody {
                type Result = ();

                fn handle(&mut self, _: $message, _: &mut Self::Context) {}
            }
        )*};
    }

    ignore!(PreparationNews, ProcessNews, UplinkNews, ChildExited<Child>);

    impl Parent for Nobody {}

    type Link = (FrameReader<ExecutorFrame>, FrameWriter<DaemonFrame>);

    async fn welcome(listener: &tokio::net::UnixListener) -> Link {
        let (mut reader, mut writer) = accept(listener).await.unwrap();
        assert!(matches!(reader.next().await.unwrap(), Some(ExecutorFrame::Hello { .. })));
        writer.send(&DaemonFrame::Welcome { acknowledged: 0 }).await.unwrap();
        (reader, writer)
    }

    #[actix::test]
    async fn a_rebuilt_uplink_tells_all_facts_again_and_the_length_of_the_console() {
        let folder = tempfile::tempdir().unwrap();
        let order = fixtures::order(folder.path());
        let listener = bind(&order.socket).unwrap();
        let console = Arc::new(Console::open(&folder.path().join("console")).unwrap());
        let mut children = Children::start(Arc::new(order), Arc::clone(&console), Nobody.start());
        let facts = [ExecutorFact::PhaseStarted(Phase::Starting), ExecutorFact::UserStarted];
        let numbers = facts.clone().map(|fact| children.send_fact(fact));
        assert_eq!(numbers, [1, 2]);
        console.line("1234");
        let mut links = Vec::new();
        for _ in 0..2 {
            let (mut reader, writer) = welcome(&listener).await;
            let (mut told, mut length) = (Vec::new(), None);
            while told.len() < facts.len() || length.is_none() {
                match reader.next().await.unwrap().unwrap() {
                    ExecutorFrame::Hello { .. } => panic!("a second hello"),
                    ExecutorFrame::Fact { number, fact } => told.push((number, fact)),
                    ExecutorFrame::Console { length: seen, .. } => length = Some(seen),
                }
            }
            assert_eq!(told, (1..).zip(facts.clone()).collect::<Vec<_>>());
            assert_eq!(length, Some(5));
            links.push((reader, writer));
            children.rebuild(Child::Uplink);
        }
    }
}
