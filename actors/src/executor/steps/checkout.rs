//! The code of a task that has a repository.

use std::time::Instant;

use drivers::git;
use protocols::failure::Phase;
use protocols::task::CodeSource;

use super::script::is_diff_in_colour;
use super::{Draft, PrepareStep, StepError, seconds};

pub(super) struct Checkout;

impl PrepareStep<'_> for Checkout {
    fn phase(&self) -> Phase {
        Phase::Checkout
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if let Some(prebuilt) = &draft.order.python.prebuilt {
            draft.root = prebuilt.join("code");
            draft.console.say(&format!("code and environment are those in {}", prebuilt.display()));
            return Ok(());
        }
        let (url, revision, diff) = match &draft.order.task.code {
            CodeSource::Repository { url, revision, diff } => (url, revision, diff.as_str()),
            CodeSource::RepositoryWithScript { url, revision, script } if is_diff_in_colour(script) => {
                (url, revision, script.as_str())
            }
            CodeSource::RepositoryWithScript { url, revision, script: _ } => (url, revision, ""),
            CodeSource::Script(_) => return Ok(()),
            CodeSource::Nothing => {
                draft
                    .console
                    .say("the task has neither a repository nor a script; its entry point has to be installed");
                return Ok(());
            }
        };
        let start = Instant::now();
        let checkout = git::Checkout {
            url,
            revision,
            diff,
            into: &draft.root,
            cache_dir: &draft.order.cache_dir,
            settings: &draft.order.git,
            commands: draft.commands,
        };
        let checked_out = checkout.run(&|line| draft.console.line(line)).map_err(|error| match error {
            error if error.is_stopped() => StepError::Stopped,
            error => StepError::new(error.class(), self.phase(), &error),
        })?;
        draft.console.say(&format!("code ready in {}: commit {}", seconds(start), checked_out.commit));
        draft.root = checked_out.root;
        // Until this process ends, which is after the last process of the task: its work tree borrows objects.
        std::mem::forget(checked_out.lease);
        draft.report.commit = Some(checked_out.commit);
        Ok(())
    }
}
