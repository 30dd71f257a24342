//! The interpreter and the packages of a task.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use drivers::command::{CommandError, CommandRunner};
use drivers::process::reap_children;
use drivers::python::store::Outcome;
use drivers::python::{CodeFolder, Environment, EnvironmentRequest, EnvironmentStore, PythonError};
use protocols::failure::Phase;
use protocols::order::ExecutorOrder;
use protocols::task::{CodeSource, Interpreter, TaskSpec};

use tracing::warn;

use super::asked::{self, Asked};
use super::{Draft, PrepareStep, StepError};
use crate::executor::console::Console;

/// How often it is looked whether the byte code is compiled.
const LOOK_AT_HELPER: Duration = Duration::from_millis(20);

pub(super) struct Packages;

impl PrepareStep<'_> for Packages {
    fn phase(&self) -> Phase {
        Phase::Environment
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if needs_no_python(&draft.order.task) {
            return Ok(());
        }
        if let Some(prebuilt) = &draft.order.python.prebuilt
            && let Some(environment) = Environment::of_build(prebuilt)
        {
            draft.python = Some(environment);
            return Ok(());
        }
        if let Some(ahead) = draft.ahead.take().and_then(|ahead| ahead.recv().ok()) {
            let (environment, time) = ahead?;
            return hand_over(draft, environment, time);
        }
        let start = Instant::now();
        let (task, directory) = (&draft.order.task, draft.start_directory());
        let code = match &task.code {
            CodeSource::Repository { .. } | CodeSource::RepositoryWithScript { .. } | CodeSource::Script(_) => {
                Some(CodeFolder { root: &draft.root, working_dir: &directory, entry_point: &task.entry_point })
            }
            CodeSource::Nothing => None,
        };
        let asked = Asked::of(draft.order, draft.place(), code)
            .map_err(|error| StepError::new(error.class(), self.phase(), &error))?;
        let conda = task.conda_requirements();
        let private_dir = match draft.into {
            Some(into) => into.to_owned(),
            None => draft.order.attempt_dir.join("work").join("environment"),
        };
        let request = EnvironmentRequest {
            task: task.id.as_str(),
            interpreter: &task.interpreter,
            requirements: asked.lines(),
            conda: conda.as_deref(),
            code,
            repositories: asked.repositories(),
            private_dir: &private_dir,
        };
        let mut settings = draft.order.python.clone();
        if let Some(inside) = draft.inside.get() {
            // What an image has, its tasks count on.
            settings.system_site_packages |= inside.has_packages();
        }
        let store = EnvironmentStore::new(&draft.order.cache_dir, &settings);
        let progress = |line: &str| draft.console.line(line);
        if draft.is_ahead {
            let built = store.build_ahead(&request, asked.commands(), &progress).map_err(failed)?;
            let Some(environment) = built else { return Ok(()) };
            return match draft.inside.get() {
                Some(inside) => seal_in_image(&environment, inside),
                None => seal(&environment, draft.commands),
            };
        }
        // Nobody else sees what the task installs while it runs.
        let environment = match draft.into {
            Some(_) => store.build_apart(&request, asked.commands(), &progress),
            None => store
                .prepare(&request, asked.commands(), &progress)
                .and_then(|environment| environment.with_layer(&layer(draft.order))),
        }
        .map_err(failed)?;
        hand_over(draft, environment, start.elapsed())
    }
}

/// Where what the task installs while it runs goes.
fn layer(order: &ExecutorOrder) -> PathBuf {
    order.attempt_dir.join("work").join("venv")
}

fn failed(error: PythonError) -> StepError {
    match error {
        error if error.is_stopped() => StepError::Stopped,
        error => StepError::new(error.class(), Phase::Environment, &error),
    }
}

/// What comes of an environment that is made beside the checkout, and how long it took.
pub(super) type Ahead = Result<(Environment, Duration), StepError>;

/// Begins to find or build the environment of a task on this machine while its code is fetched, where it is known
/// before. `None` where it has to wait for the code, or where there is little to wait for.
pub(super) fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    order: &'scope ExecutorOrder,
    console: &'scope Console,
    commands: &'scope dyn CommandRunner,
) -> Option<Receiver<Ahead>> {
    let has_repository = match order.task.code {
        CodeSource::Repository { .. } | CodeSource::RepositoryWithScript { .. } => true,
        CodeSource::Script(_) | CodeSource::Nothing => false,
    };
    let store = EnvironmentStore::new(&order.cache_dir, &order.python);
    let is_known = || asked::lines(order).is_some_and(|lines| store.is_free_of_code(&lines));
    if order.container.is_some() || order.python.prebuilt.is_some() || !has_repository || !is_known() {
        return None;
    }
    let (sender, receiver) = channel();
    let work = move || {
        let start = Instant::now();
        let made = Asked::of(order, commands, None)
            .map_err(|error| StepError::new(error.class(), Phase::Environment, &error))
            .and_then(|asked| {
                let request = EnvironmentRequest {
                    task: order.task.id.as_str(),
                    interpreter: &order.task.interpreter,
                    requirements: asked.lines(),
                    conda: None,
                    code: None,
                    repositories: asked.repositories(),
                    private_dir: &order.attempt_dir.join("work").join("environment"),
                };
                let made = store.prepare(&request, asked.commands(), &|line| console.line(line));
                made.and_then(|environment| environment.with_layer(&layer(order))).map_err(failed)
            });
        // Nobody listens where the checkout has failed.
        let _ = sender.send(made.map(|environment| (environment, start.elapsed())));
    };
    std::thread::Builder::new().name("environment".to_owned()).spawn_scoped(scope, work).ok().map(|_| receiver)
}

/// Says what the environment is, and adds it to the draft.
fn hand_over(draft: &mut Draft<'_>, environment: Environment, time: Duration) -> Result<(), StepError> {
    if let Some(shared) = &environment.shared
        && let Err(error) = shared.lease.share_with_children()
    {
        // This process has the lease too, and outlives the task where nothing goes wrong.
        warn!(%error, "the task does not hold its environment itself");
    }
    let place = match draft.inside.get() {
        Some(_) if environment.installation.is_none() => "the image",
        Some(_) | None => "the machine",
    };
    if let Some(line) = summary(&environment, place) {
        draft.console.say(&format!("environment ready in {:.2} s: {line}", time.as_secs_f64()));
    }
    draft.report.packages.clone_from(&environment.packages);
    draft.report.reused = environment.reused;
    draft.report.python_version = Some(environment.python_version.clone()).filter(|version| !version.is_empty());
    draft.python = Some(environment);
    Ok(())
}

/// Compiles the byte code of a new environment, and waits for it: no task does, which has that done beside its first
/// run otherwise.
fn seal(environment: &Environment, commands: &dyn CommandRunner) -> Result<(), StepError> {
    let helper = match environment.start_sealing() {
        Ok(Some(helper)) => helper,
        Ok(None) => return Ok(()),
        Err(error) => {
            warn!(%error, "byte code of the environment is not compiled now");
            return Ok(());
        }
    };
    // Programs of the preparation have ended: this is the only child.
    while !reap_children().iter().any(|child| u32::try_from(child.pid) == Ok(helper)) {
        if commands.is_stopped() {
            return Err(StepError::Stopped);
        }
        std::thread::park_timeout(LOOK_AT_HELPER);
    }
    Ok(())
}

/// As [`seal`], for an environment of an image.
fn seal_in_image(environment: &Environment, inside: &dyn CommandRunner) -> Result<(), StepError> {
    let command = environment.sealing_in_image().unwrap_or_else(|error| {
        warn!(%error, "byte code of the environment is not compiled now");
        None
    });
    match command.map(|command| inside.run(command, &mut |_| {})) {
        Some(Err(CommandError::Stopped { .. })) => Err(StepError::Stopped),
        Some(Err(error @ (CommandError::NotFound { .. } | CommandError::Run { .. }))) => {
            warn!(%error, "byte code of the environment is not compiled now");
            Ok(())
        }
        Some(Ok(_)) | None => Ok(()),
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
fn summary(environment: &Environment, place: &str) -> Option<String> {
    if environment.python_version.is_empty() {
        return None;
    }
    let python = format!("python {}", environment.python_version);
    let as_it_is = |place: &str| format!("{python} of {place} as it is");
    Some(match (&environment.bin_dir, environment.shared.as_ref().map(|shared| shared.outcome)) {
        (None, _) => as_it_is(place),
        (Some(_), Some(Outcome::Hit)) => format!("{python}, reused"),
        (Some(_), Some(Outcome::Shared)) => format!("{python}, reused: exactly these packages are there already"),
        (Some(_), Some(Outcome::Built)) => format!("{python}, new"),
        (Some(_), Some(Outcome::Private) | None) => format!("{python}, new, for this task alone"),
    })
}
