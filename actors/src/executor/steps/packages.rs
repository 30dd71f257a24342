//! The interpreter and the packages of a task.

use std::time::Instant;

use drivers::python::store::Outcome;
use drivers::python::{CodeFolder, Environment, EnvironmentRequest, EnvironmentStore};
use protocols::failure::Phase;
use protocols::task::{CodeSource, Interpreter, TaskSpec};

use tracing::warn;

use super::asked::Asked;
use super::{Draft, PrepareStep, StepError, seconds};

pub(super) struct Packages;

impl PrepareStep for Packages {
    fn phase(&self) -> Phase {
        Phase::Environment
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if needs_no_python(&draft.order.task) {
            return Ok(());
        }
        let start = Instant::now();
        let (task, directory) = (&draft.order.task, draft.start_directory());
        let code = match &task.code {
            CodeSource::Repository { .. } | CodeSource::RepositoryWithScript { .. } | CodeSource::Script(_) => {
                Some(CodeFolder { root: &draft.root, working_dir: &directory, entry_point: &task.entry_point })
            }
            CodeSource::Nothing => None,
        };
        let asked = Asked::of(draft, code.map(|code| code.root))
            .map_err(|error| StepError::new(error.class(), self.phase(), &error))?;
        let conda = task.conda_requirements();
        let request = EnvironmentRequest {
            task: task.id.as_str(),
            interpreter: &task.interpreter,
            requirements: asked.lines(),
            conda: conda.as_deref(),
            code,
            private_dir: &draft.order.attempt_dir.join("work").join("environment"),
        };
        let store = EnvironmentStore::new(&draft.order.cache_dir, &draft.order.python);
        // Nobody else sees what the task installs while it runs.
        let layer = draft.order.attempt_dir.join("work").join("venv");
        let environment = store
            .prepare(&request, asked.commands(), &|line| draft.console.line(line))
            .and_then(|environment| environment.with_layer(&layer))
            .map_err(|error| {
                if error.is_stopped() {
                    StepError::Stopped
                } else {
                    StepError::new(error.class(), self.phase(), &error)
                }
            })?;
        if let Some(shared) = &environment.shared
            && let Err(error) = shared.lease.share_with_children()
        {
            // This process has the lease too, and outlives the task where nothing goes wrong.
            warn!(%error, "the task does not hold its environment itself");
        }
        if let Some(line) = summary(&environment) {
            draft.console.say(&format!("environment ready in {}: {line}", seconds(start)));
        }
        draft.report.packages.clone_from(&environment.packages);
        draft.report.reused = environment.reused;
        draft.report.python_version = Some(environment.python_version.clone()).filter(|version| !version.is_empty());
        draft.python = Some(environment);
        Ok(())
    }
}

/// A shell that runs a text of the task, and no requirements: not even an interpreter has to be looked for.
fn needs_no_python(task: &TaskSpec) -> bool {
    let has_files = match task.code {
        CodeSource::Repository { .. } | CodeSource::RepositoryWithScript { .. } => true,
        CodeSource::Script(_) | CodeSource::Nothing => false,
    };
    matches!(task.interpreter, Interpreter::Shell(_)) && task.pip_requirements.is_none() && !has_files
}

/// What people read about it; nothing where the task needs no Python.
fn summary(environment: &Environment) -> Option<String> {
    if environment.python_version.is_empty() {
        return None;
    }
    let python = format!("python {}", environment.python_version);
    Some(match (&environment.bin_dir, environment.shared.as_ref().map(|shared| shared.outcome)) {
        (None, _) => format!("{python} of the machine as it is"),
        (Some(_), Some(Outcome::Hit)) => format!("{python}, reused"),
        (Some(_), Some(Outcome::Shared)) => format!("{python}, reused: exactly these packages are there already"),
        (Some(_), Some(Outcome::Built)) => format!("{python}, new"),
        (Some(_), Some(Outcome::Private) | None) => format!("{python}, new, for this task alone"),
    })
}
