//! The interpreter and the packages of a task.

use std::path::PathBuf;

use protocols::failure::Phase;
use protocols::task::Interpreter;

use super::{Draft, PrepareStep, StepError};

/// The Python of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Environment {
    /// The interpreter.
    pub(super) python: PathBuf,
    /// Folder of the environment's programs.
    pub(super) bin_dir: Option<PathBuf>,
}

pub(super) struct Packages;

impl PrepareStep for Packages {
    fn phase(&self) -> Phase {
        Phase::Environment
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let python = match draft.order.task.interpreter {
            Interpreter::Python { .. } => draft.commands.find("python3").unwrap_or_default(),
            Interpreter::Shell(_) => PathBuf::new(),
        };
        draft.python = Some(Environment { python, bin_dir: None });
        Ok(())
    }
}
