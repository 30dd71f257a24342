//! The user's process, from its start to the end of everything below it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use drivers::process::{Reaped, Signal, descendants, process_id, reap_children, signal, this_process};
use protocols::failure::TaskFailure;
use protocols::ids::ProcessId;
use protocols::lifecycle::Exit;
use tokio::signal::unix::{SignalKind, signal as listen_to};
use tracing::{debug, warn};

use super::child::Child;
use super::console::Console;
use super::console_pipe::{self, Copying};
use super::launch::Launch;
use crate::kit::{Lifeline, tell};

/// Starts the user's process. Sent once.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct StartProcess(pub(super) Launch);

/// Ends the user's process and everything below this one: SIGTERM, grace, SIGKILL. A second one may shorten the
/// grace of the first; it never lengthens it.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct StopProcess {
    /// Time between the two signals.
    pub(super) grace: Duration,
}

/// What became of the user's process.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) enum ProcessNews {
    /// It runs.
    Started(ProcessId),
    /// It could not be started.
    NotStarted {
        /// What was to be started.
        launch: Box<Launch>,
        /// What the kernel said.
        error: io::Error,
    },
    /// It ended so, and nothing below this process is alive any more.
    Ended(Exit),
    /// It ended, and not by itself.
    Failed(TaskFailure),
}

/// Some child of this process has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct ChildEnded;

/// How long what the user's process left behind may take to end by itself after SIGTERM.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// Pause between two looks at processes that have been asked to end.
const ASKED_INTERVAL: Duration = Duration::from_millis(10);
/// Pause between two looks at processes that have been killed.
const KILLED_INTERVAL: Duration = Duration::from_millis(3);
/// After this long, killed processes that are still there are looked at once in [`STUCK_INTERVAL`].
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Pause between two looks at processes that the kernel cannot end at the moment (state D).
const STUCK_INTERVAL: Duration = Duration::from_secs(1);

/// When SIGKILL comes; shared with the thread that waits for it.
#[derive(Clone, Debug)]
struct KillAt(Arc<Mutex<Instant>>);

impl KillAt {
    fn after(grace: Duration) -> Self {
        Self(Arc::new(Mutex::new(instant_after(grace))))
    }

    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hasten(&self, grace: Duration) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at = (*at).min(instant_after(grace));
    }
}

fn instant_after(grace: Duration) -> Instant {
    const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + grace.min(A_YEAR)
}

#[derive(Debug)]
enum State {
    Idle,
    /// Fork and exec are under way; a stop that arrived meanwhile waits for its target.
    Starting {
        stop: Option<Duration>,
    },
    Running {
        leader: ProcessId,
    },
    /// A blocking thread ends the tree, and collects the dead.
    Ending {
        kill_at: KillAt,
    },
    Ended,
}

/// Owns the user's process.
pub(super) struct ProcessRunner {
    console: Arc<Console>,
    parent: Recipient<ProcessNews>,
    state: State,
    /// See [`Launch::helper`].
    helper: Option<u32>,
    /// Of what it prints; there from its start to its end.
    copying: Option<Copying>,
    _lifeline: Lifeline<Child>,
}

impl ProcessRunner {
    pub(super) fn new(console: Arc<Console>, parent: Recipient<ProcessNews>, lifeline: Lifeline<Child>) -> Self {
        Self { console, parent, state: State::Idle, helper: None, copying: None, _lifeline: lifeline }
    }

    fn started(&mut self, pid: u32, stop: Option<Duration>, ctx: &mut Context<Self>) {
        // It cannot be collected before this, so that the pid is its own even where it has ended already.
        let pid = i32::try_from(pid).expect("a pid is a positive i32 on Linux");
        let leader = process_id(pid).unwrap_or(ProcessId { pid, start_time: 0 });
        debug!(pid, "user's process started");
        tell(&self.parent, ProcessNews::Started(leader));
        match stop {
            Some(grace) => self.end(leader, None, grace, ctx),
            None => {
                self.state = State::Running { leader };
                self.collect(ctx);
            }
        }
    }

    /// Collects dead children; when the user's process is among them, what it left behind is ended.
    fn collect(&mut self, ctx: &mut Context<Self>) {
        let State::Running { leader } = self.state else { return };
        if let Some(exit) = exit_of(leader, &reap_children()) {
            self.end(leader, Some(exit), LEFTOVER_GRACE, ctx);
        }
    }

    fn end(&mut self, leader: ProcessId, exit: Option<Exit>, grace: Duration, ctx: &mut Context<Self>) {
        let kill_at = KillAt::after(grace);
        self.state = State::Ending { kill_at: kill_at.clone() };
        let (console, helper, copying) = (Arc::clone(&self.console), self.helper, self.copying.take());
        let settle = move || copying.iter().for_each(Copying::settle);
        let ended = tokio::task::spawn_blocking(move || {
            if exit.is_some() {
                settle();
            }
            let exit = end_tree(leader, exit, &kill_at, helper, &console);
            settle();
            exit
        });
        ctx.spawn(ended.into_actor(self).map(|exit, this, _| {
            this.state = State::Ended;
            tell(&this.parent, ProcessNews::Ended(exit.expect("ending a tree does not panic")));
        }));
    }
}

impl Actor for ProcessRunner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut children = listen_to(SignalKind::child()).expect("SIGCHLD can always be listened to");
        let this = ctx.address();
        ctx.spawn(
            async move {
                while children.recv().await.is_some() {
                    if this.send(ChildEnded).await.is_err() {
                        return;
                    }
                }
            }
            .into_actor(self),
        );
    }
}

impl Handler<StartProcess> for ProcessRunner {
    type Result = ();

    fn handle(&mut self, StartProcess(launch): StartProcess, ctx: &mut Self::Context) {
        self.state = State::Starting { stop: None };
        self.helper = launch.helper;
        let console = Arc::clone(&self.console);
        let started = tokio::task::spawn_blocking(move || {
            // Dropping the handle leaves the child alone; it is collected like all the others.
            let started = console_pipe::open(&console).and_then(|(output, copying)| {
                let child = launch.start(&output)?;
                Ok((child.id(), copying))
            });
            started.map_err(|error| (Box::new(launch), error))
        });
        ctx.spawn(started.into_actor(self).map(|started, this, ctx| {
            let State::Starting { stop } = std::mem::replace(&mut this.state, State::Idle) else { return };
            match started.expect("starting a process does not panic") {
                Ok((pid, copying)) => {
                    this.copying = Some(copying);
                    this.started(pid, stop, ctx);
                }
                Err((launch, error)) => {
                    this.state = State::Ended;
                    tell(&this.parent, ProcessNews::NotStarted { launch, error });
                }
            }
        }));
    }
}

impl Handler<StopProcess> for ProcessRunner {
    type Result = ();

    fn handle(&mut self, StopProcess { grace }: StopProcess, ctx: &mut Self::Context) {
        match &mut self.state {
            State::Starting { stop } => *stop = Some(stop.map_or(grace, |earlier| earlier.min(grace))),
            State::Running { leader } => {
                let leader = *leader;
                self.end(leader, None, grace, ctx);
            }
            State::Ending { kill_at } => kill_at.hasten(grace),
            State::Idle | State::Ended => {}
        }
    }
}

impl Handler<ChildEnded> for ProcessRunner {
    type Result = ();

    fn handle(&mut self, _: ChildEnded, ctx: &mut Self::Context) {
        self.collect(ctx);
    }
}

/// Ends everything below this process: SIGTERM, the user's process first, SIGKILL from `kill_at` on, until none
/// is left. Returns how the user's process ended; `exit` where that is known already.
///
/// Never gives up: an attempt is over when its processes are dead, and not before (invariant F1).
fn end_tree(
    leader: ProcessId,
    mut exit: Option<Exit>,
    kill_at: &KillAt,
    helper: Option<u32>,
    console: &Console,
) -> Exit {
    let own = this_process().pid;
    let asked = descendants(own);
    let left = asked.iter().filter(|process| u32::try_from(process.pid).ok() != helper).count();
    if exit.is_some() && left > 0 {
        console.say(&format!("ending what the task left running: {left} processes"));
    }
    // After its own end the user's pid may be somebody else's; `send` then finds another start time, and nobody.
    let first = std::iter::once(&leader);
    first
        .chain(asked.iter().filter(|process| process.pid != leader.pid))
        .for_each(|process| send(*process, Signal::TERM));
    loop {
        exit = exit.or_else(|| exit_of(leader, &reap_children()));
        let left = descendants(own);
        if left.is_empty() {
            // The last ones may have died between the two looks.
            let last = reap_children();
            return exit.or_else(|| exit_of(leader, &last)).unwrap_or(Exit::Signal(Signal::KILL.as_raw()));
        }
        let overdue = Instant::now().checked_duration_since(kill_at.get());
        if overdue.is_some() {
            left.iter().for_each(|process| send(*process, Signal::KILL));
        }
        pause(match overdue {
            None => ASKED_INTERVAL,
            Some(time) if time < STUCK_AFTER => KILLED_INTERVAL,
            Some(_) => {
                warn!(?left, "killed processes do not end");
                STUCK_INTERVAL
            }
        });
    }
}

fn exit_of(leader: ProcessId, reaped: &[Reaped]) -> Option<Exit> {
    reaped.iter().find(|reaped| reaped.pid == leader.pid).map(|reaped| reaped.exit)
}

fn send(process: ProcessId, which: Signal) {
    if let Err(error) = signal(process, which) {
        warn!(%error, "signal not sent");
    }
}

#[expect(clippy::disallowed_methods, reason = "on a thread made for blocking; no event tells the end of a whole tree")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
