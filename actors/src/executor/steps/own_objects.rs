//! A work tree that borrows nothing: for code that has to outlive the mirror of its repository.

use drivers::git;
use protocols::failure::Phase;
use protocols::task::CodeSource;

use super::{Draft, PrepareStep, StepError};

pub(super) struct OwnObjects;

impl PrepareStep<'_> for OwnObjects {
    fn phase(&self) -> Phase {
        Phase::Checkout
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        match &draft.order.task.code {
            CodeSource::Repository { .. } | CodeSource::RepositoryWithScript { .. } => {}
            CodeSource::Script(_) | CodeSource::Nothing => return Ok(()),
        }
        git::own_objects(&draft.root, draft.commands).map_err(|error| match error {
            error if error.is_stopped() => StepError::Stopped,
            error => StepError::new(error.class(), self.phase(), &error),
        })
    }
}
