//! The container of the task: its image, and itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drivers::command::SystemCommands;
use protocols::failure::{FailureClass, Phase};
use protocols::order::ExecutorOrder;

use super::environment::CONFIG_FILE;
use super::{Draft, PrepareStep, StepError};
use crate::executor::container::Inside;

/// Gets the image. Before the code: a name that is wrong is told in a moment.
pub(super) struct GetImage<'a> {
    pub(super) commands: &'a SystemCommands,
    pub(super) stop: Arc<AtomicBool>,
}

impl<'a> PrepareStep<'a> for GetImage<'a> {
    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn is_for(&self, order: &ExecutorOrder) -> bool {
        order.container.is_some()
    }

    fn run(&self, draft: &mut Draft<'a>) -> Result<(), StepError> {
        let Some(container) = &draft.order.container else { return Ok(()) };
        let (console, stop) = (draft.console, Arc::clone(&self.stop));
        let inside = Inside::open(draft.order, container, console, self.commands, stop, draft.is_ahead, draft.into)?;
        draft.inside.get_or_init(|| inside);
        Ok(())
    }
}

/// Starts it with the environment that was found, and with the configuration of the SDK, which holds the credentials:
/// in memory, and in nothing that the engine shows.
pub(super) struct StartContainer;

impl PrepareStep<'_> for StartContainer {
    fn phase(&self) -> Phase {
        Phase::Starting
    }

    fn is_for(&self, order: &ExecutorOrder) -> bool {
        order.container.is_some()
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(inside) = draft.inside.get() else { return Ok(()) };
        let python = draft.python.as_ref();
        let shared = python.and_then(|environment| Some(environment.shared.as_ref()?.folder.clone()));
        let interpreter = python.and_then(|environment| environment.installation.clone());
        let folders: Vec<PathBuf> = shared.into_iter().chain(interpreter).collect();
        let (running, environment) = inside.start(&folders)?;
        if let Some(file) = draft.order.environment.get("CLEARML_CONFIG_FILE") {
            let copied = std::fs::read(Path::new(file)).and_then(|text| running.folder().put(CONFIG_FILE, &text));
            copied.map_err(|error| StepError::new(FailureClass::Infrastructure, Phase::Starting, &error))?;
        }
        draft.container = Some((running, environment));
        Ok(())
    }
}
