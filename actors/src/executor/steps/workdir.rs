//! The folder that the code goes into.

use protocols::failure::{FailureClass, Phase};

use super::{Draft, PrepareStep, StepError};

pub(super) struct Workdir;

/// The folder cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the folder {}", path.display())]
struct WorkdirError {
    path: std::path::PathBuf,
    #[source]
    source: std::io::Error,
}

impl PrepareStep<'_> for Workdir {
    fn phase(&self) -> Phase {
        Phase::Checkout
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        std::fs::create_dir_all(&draft.root).map_err(|source| {
            let error = WorkdirError { path: draft.root.clone(), source };
            StepError::new(FailureClass::Infrastructure, self.phase(), &error)
        })
    }
}
