//! One container that runs, and the link to its init.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::container::{
    Asked, ContainerState, Descriptors, Engine, EngineError, InitLink, InitSocket, LinkError, NewContainer, RunFolder,
    Taken,
};
use protocols::container::init::{Hello, Program};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use tracing::warn;

use crate::executor::steps::StepError;

/// How long a container may take from its start to the first word of its init. Engines start hundreds at a time.
const FIRST_WORD: Duration = Duration::from_secs(60);
/// Pause between two questions to an engine that is away.
pub(super) const ENGINE_PAUSE: Duration = Duration::from_millis(500);
/// How long an engine may take to learn that a container has ended.
const NEWS_OF_END: Duration = Duration::from_secs(3);
/// Pause between two looks at that.
const LOOK_FOR_END: Duration = Duration::from_millis(50);

/// A container that runs. What is left of it when its attempt ends is removed by its label.
pub(in crate::executor) struct Running {
    engine: Engine,
    id: String,
    link: InitLink,
    /// Where the two halves met.
    folder: RunFolder,
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Running").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Running {
    /// Makes the container, starts it, and waits for its init. `new` is what it is to look like, `folder` where it is to
    /// meet us; it has to be mounted there.
    pub(in crate::executor) fn start(
        engine: &Engine,
        new: &NewContainer,
        folder: RunFolder,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Arc<Self>, StepError> {
        let socket = InitSocket::bind(folder.path()).map_err(|error| of_link(&error))?;
        let id = engine
            .create(new.spec.name.as_deref(), new.spec.platform.as_deref(), new.body())
            .map_err(|error| of_engine(&error))?;
        engine.start(&id).map_err(|error| of_engine(&error))?;
        match socket.accept(FIRST_WORD, is_stopped) {
            Ok(link) => Ok(Arc::new(Self { engine: engine.clone(), id, link, folder })),
            Err(_) if is_stopped() => Err(StepError::Stopped),
            Err(error) => Err(explain(engine, &id, &error)),
        }
    }

    /// One that idled, and is ours now.
    pub(in crate::executor) fn taken(engine: &Engine, taken: Taken) -> Self {
        let Taken { id, link, folder } = taken;
        Self { engine: engine.clone(), id, link, folder }
    }

    /// Removes it, with everything that runs in it.
    pub(in crate::executor) fn remove(&self) {
        if let Err(error) = self.engine.remove(&self.id) {
            // It is looked for by its label when the attempt ends.
            warn!(error = &error as &dyn std::error::Error, id = self.id, "container not removed");
        }
    }

    /// How to talk to it.
    pub(in crate::executor) fn link(&self) -> &InitLink {
        &self.link
    }

    /// Who its init is.
    pub(in crate::executor) fn hello(&self) -> &Hello {
        self.link.hello()
    }

    /// Its folder in memory.
    pub(in crate::executor) fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The engine's name for it.
    pub(in crate::executor) fn id(&self) -> &str {
        &self.id
    }

    /// Ends everything in it at once.
    pub(in crate::executor) fn kill(&self) {
        if let Err(error) = self.engine.kill(&self.id) {
            warn!(error = &error as &dyn std::error::Error, "container not killed");
        }
    }

    /// The pid of its init on this machine.
    pub(in crate::executor) fn pid(&self) -> Option<i32> {
        self.engine.state(&self.id).ok().flatten().map(|state| state.pid).filter(|pid| *pid > 0)
    }

    /// How it is, asked again and again while the engine is away; `None` where it does not exist any more.
    pub(in crate::executor) fn state(&self) -> Result<Option<ContainerState>, EngineError> {
        let deadline = Instant::now() + self.engine.patience();
        loop {
            match self.engine.state(&self.id) {
                Err(error) if error.is_away() && Instant::now() < deadline => pause(ENGINE_PAUSE),
                state => return state,
            }
        }
    }

    /// As [`Self::state`], of one whose init has gone: its engine learns of the end a moment later.
    pub(in crate::executor) fn state_of_end(&self) -> Result<Option<ContainerState>, EngineError> {
        let deadline = Instant::now() + NEWS_OF_END;
        loop {
            match self.state()? {
                Some(state) if state.is_running && Instant::now() < deadline => pause(LOOK_FOR_END),
                state => return Ok(state),
            }
        }
    }

    /// Starts a program in it whose outputs go to `output`.
    pub(in crate::executor) fn run(&self, program: Program, output: BorrowedFd<'_>) -> Result<Asked, LinkError> {
        self.link.run(program, Descriptors { input: None, output, errors: output })
    }
}

/// Why nothing was heard of the init of a container.
fn explain(engine: &Engine, id: &str, error: &dyn std::error::Error) -> StepError {
    let ended = engine.state(id).ok().flatten().filter(|state| !state.is_running);
    let message = match ended {
        Some(state) if state.oom_killed => "the container was ended for want of memory before it began".to_owned(),
        Some(state) => format!(
            "the container ended before it began, with exit code {}{}{}",
            state.exit_code,
            if state.error.is_empty() { "" } else { ": " },
            state.error
        ),
        None => format!("nothing is heard of the container that was started: {error}"),
    };
    StepError::Failed(TaskFailure::because(FailureClass::Environment, Phase::Starting, message))
}

pub(super) fn of_engine(error: &EngineError) -> StepError {
    if matches!(error, EngineError::Stopped) {
        return StepError::Stopped;
    }
    StepError::Failed(TaskFailure::new(error.class(), Phase::Starting, error))
}

pub(super) fn of_link(error: &LinkError) -> StepError {
    StepError::Failed(TaskFailure::new(FailureClass::Infrastructure, Phase::Starting, error))
}

pub(super) fn of_system(error: &io::Error) -> StepError {
    StepError::Failed(TaskFailure::new(FailureClass::Infrastructure, Phase::Starting, error))
}

#[expect(clippy::disallowed_methods, reason = "on a thread made for blocking; an engine that is away has no events")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}
