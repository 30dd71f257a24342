//! The user's program in a container, from its start to the end of everything in it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use drivers::container::ContainerState;
use drivers::process::process_id;
use protocols::container::init::{FromInit, Program};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::ids::ProcessId;
use protocols::lifecycle::Exit;
use tracing::{debug, warn};

use super::child::Child;
use super::console::Console;
use super::console_pipe;
use super::container::Running;
use super::launch::Launch;
use super::process_runner::{ProcessNews, StartProcess, StopProcess};
use crate::kit::{Lifeline, tell};

/// How often a wish to stop is looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(200);
/// How much longer than the grace the init may take before the engine is asked to kill the container.
const OVERTIME: Duration = Duration::from_secs(3);
/// Pause between two tries of that.
const KILL_INTERVAL: Duration = Duration::from_secs(5);

/// When everything in the container is to be dead; shared with the thread that follows it.
#[derive(Clone, Debug, Default)]
struct Wanted(Arc<Mutex<Option<Stop>>>);

#[derive(Clone, Copy, Debug)]
struct Stop {
    grace: Duration,
    /// The init has been told.
    is_sent: bool,
    kill_at: Instant,
}

impl Wanted {
    /// A second wish may shorten the grace of the first, and never lengthens it.
    fn stop(&self, grace: Duration) {
        let kill_at = Instant::now() + grace.min(Duration::from_secs(365 * 24 * 3600)) + OVERTIME;
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *wanted {
            Some(stop) if stop.kill_at <= kill_at => {}
            wanted => *wanted = Some(Stop { grace, is_sent: false, kill_at }),
        }
    }

    /// Whether a stop was wanted at all.
    fn is_any(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A wish that the init has not heard of yet.
    fn take_unsent(&self) -> Option<Duration> {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stop = wanted.as_mut().filter(|stop| !stop.is_sent)?;
        stop.is_sent = true;
        Some(stop.grace)
    }

    /// Whether the engine has to do it; the next time is put off.
    fn is_overdue(&self) -> bool {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stop) = wanted.as_mut().filter(|stop| stop.kill_at <= Instant::now()) else { return false };
        stop.kill_at = Instant::now() + KILL_INTERVAL;
        true
    }
}

/// Owns the container of the task.
pub(super) struct ContainerRunner {
    console: Arc<Console>,
    parent: Recipient<ProcessNews>,
    wanted: Wanted,
    _lifeline: Lifeline<Child>,
}

impl ContainerRunner {
    pub(super) fn new(console: Arc<Console>, parent: Recipient<ProcessNews>, lifeline: Lifeline<Child>) -> Self {
        Self { console, parent, wanted: Wanted::default(), _lifeline: lifeline }
    }
}

impl Actor for ContainerRunner {
    type Context = Context<Self>;
}

/// The program runs.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Begun(ProcessId);

impl Handler<Begun> for ContainerRunner {
    type Result = ();

    fn handle(&mut self, Begun(process): Begun, _: &mut Self::Context) {
        tell(&self.parent, ProcessNews::Started(process));
    }
}

impl Handler<StartProcess> for ContainerRunner {
    type Result = ();

    fn handle(&mut self, StartProcess(launch): StartProcess, ctx: &mut Self::Context) {
        let (console, wanted, this) = (Arc::clone(&self.console), self.wanted.clone(), ctx.address().recipient());
        let followed = tokio::task::spawn_blocking(move || follow(launch, &console, &wanted, &this));
        ctx.spawn(followed.into_actor(self).map(|news, this, _| {
            tell(&this.parent, news.expect("following a container does not panic"));
        }));
    }
}

impl Handler<StopProcess> for ContainerRunner {
    type Result = ();

    fn handle(&mut self, StopProcess { grace }: StopProcess, _: &mut Self::Context) {
        self.wanted.stop(grace);
    }
}

/// Starts the program, and stays with it until it has ended and all that it printed is in the console.
fn follow(launch: Launch, console: &Console, wanted: &Wanted, begun: &Recipient<Begun>) -> ProcessNews {
    match console_pipe::open(console) {
        Ok((output, copying)) => {
            let news = follow_with(launch, output, console, wanted, begun);
            copying.settle();
            news
        }
        Err(error) => ProcessNews::NotStarted { launch: Box::new(launch), error },
    }
}

fn follow_with(
    launch: Launch,
    output: OwnedFd,
    console: &Console,
    wanted: &Wanted,
    begun: &Recipient<Begun>,
) -> ProcessNews {
    let Some(running) = launch.container.clone() else {
        let error = std::io::Error::other("there is no container to start it in, which is a defect of hostler");
        return ProcessNews::NotStarted { launch: Box::new(launch), error };
    };
    let program = Program {
        program: launch.program.as_os_str().into(),
        arguments: launch.arguments.iter().map(Into::into).collect(),
        directory: Some(launch.directory.as_os_str().into()),
        environment: launch.environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        is_main: true,
        ..Program::default()
    };
    let asked = match running.run(program, output.as_fd()) {
        Ok(asked) => asked,
        Err(error) => {
            debug!(%error, "the program cannot be asked for");
            return lost(&running, wanted.is_any());
        }
    };
    drop(output);
    loop {
        if let Some(grace) = wanted.take_unsent()
            && let Err(error) = running.link().stop(grace)
        {
            debug!(%error, "the init of the container is not told to stop");
        }
        if wanted.is_overdue() {
            warn!("the container does not stop: the engine kills it");
            running.kill();
        }
        match asked.next(LOOK) {
            Ok(None) => {}
            Ok(Some(news)) => {
                if let Some(last) = heard(news, &launch, &running, console, begun, wanted.is_any()) {
                    return last;
                }
            }
            Err(error) => {
                debug!(%error, "the init of the container is gone");
                return lost(&running, wanted.is_any());
            }
        }
    }
}

/// News of the program; `Some` for the last.
fn heard(
    news: FromInit,
    launch: &Launch,
    running: &Running,
    console: &Console,
    begun: &Recipient<Begun>,
    is_wanted: bool,
) -> Option<ProcessNews> {
    match news {
        FromInit::Started { .. } => {
            let process = running.pid().and_then(process_id);
            tell(begun, Begun(process.unwrap_or(ProcessId { pid: 0, start_time: 0 })));
            None
        }
        FromInit::NotStarted { error, .. } => {
            let error = std::io::Error::other(error);
            Some(ProcessNews::NotStarted { launch: Box::new(launch.clone()), error })
        }
        FromInit::Leftovers { count, .. } => {
            let count = count.map_or_else(String::new, |count| format!(": {count} processes"));
            console.say(&format!("ending what the task left running{count}"));
            None
        }
        FromInit::Ended { exit: Exit::Signal(9), oom_kills, .. } if oom_kills > 0 => Some(out_of_memory()),
        FromInit::Ended { exit, told: Some(signal), .. } if !is_wanted && !exit.is_success() => {
            let message = format!("somebody else told the container to end (signal {signal}): its engine, as a rule");
            Some(ProcessNews::Failed(TaskFailure::because(FailureClass::Infrastructure, Phase::Running, message)))
        }
        FromInit::Ended { exit, oom_kills, .. } => {
            if oom_kills > 0 {
                console.say(&format!("the kernel killed {oom_kills} processes of the task for want of memory"));
            }
            Some(ProcessNews::Ended(exit))
        }
        FromInit::Hello(_)
        | FromInit::Owned { .. }
        | FromInit::Probed { .. }
        | FromInit::Found { .. }
        | FromInit::Linked { .. } => None,
    }
}

fn out_of_memory() -> ProcessNews {
    ProcessNews::Failed(TaskFailure::because(
        FailureClass::OomHost,
        Phase::Running,
        "the kernel killed the task: its container has no more memory (--memory in its arguments is the limit)",
    ))
}

/// The init was gone before it could say how the program ended.
fn lost(running: &Running, is_wanted: bool) -> ProcessNews {
    let message = match running.state_of_end() {
        Ok(Some(state)) if state.oom_killed => return out_of_memory(),
        // The engine was asked to kill it.
        Ok(Some(ContainerState { is_running: false, .. }) | None) if is_wanted => {
            return ProcessNews::Ended(Exit::Signal(9));
        }
        Ok(Some(state)) if state.is_running => {
            running.kill();
            "the first process of the container does not answer any more".to_owned()
        }
        Ok(Some(state)) => {
            format!("the container was ended from outside of the task (exit code {})", state.exit_code)
        }
        Ok(None) => "the container was removed while the task ran".to_owned(),
        Err(error) => format!("the container is lost with its engine: {error}"),
    };
    ProcessNews::Failed(TaskFailure::because(FailureClass::Infrastructure, Phase::Running, message))
}
