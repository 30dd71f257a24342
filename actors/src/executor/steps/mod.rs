//! The steps of a preparation, in order. Each is small, synchronous and can be repeated.

mod asked;
mod checkout;
mod container;
mod entry_point;
mod environment;
mod notebook;
mod own_objects;
mod packages;
mod script;
mod workdir;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use drivers::command::{CommandRunner, SystemCommands};
use drivers::python::Environment;
use protocols::container::init::LINK_FOLDER;
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::order::{Built, EnvironmentReport, ExecutorOrder, MARK_VARIABLE};
use protocols::task::CodeSource;
use tracing::warn;

use self::script::ScriptFile;
use super::console::Console;
use super::container::{ImageWish, Inside, Running};
use super::launch::{Launch, Prepared};

/// Why a preparation did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StepError {
    /// Somebody stopped it.
    Stopped,
    /// It cannot be done.
    Failed(TaskFailure),
}

impl StepError {
    /// A failure with its chain of causes.
    pub(super) fn new(class: FailureClass, phase: Phase, error: &dyn std::error::Error) -> Self {
        Self::Failed(TaskFailure::new(class, phase, error))
    }
}

/// One step.
trait PrepareStep<'a> {
    /// The phase that people see while it runs.
    fn phase(&self) -> Phase;

    /// Whether there is anything to do for it.
    fn is_for(&self, _: &ExecutorOrder) -> bool {
        true
    }

    /// Adds its part to the draft.
    fn run(&self, draft: &mut Draft<'a>) -> Result<(), StepError>;
}

/// What the steps have made so far.
struct Draft<'a> {
    order: &'a ExecutorOrder,
    console: &'a Console,
    commands: &'a dyn CommandRunner,
    /// The image of its container, where it gets one.
    inside: &'a OnceCell<Inside<'a>>,
    /// Its container, and the environment of programs there.
    container: Option<(Arc<Running>, BTreeMap<OsString, OsString>)>,
    /// Root of the code.
    root: PathBuf,
    /// The literal script, where the task has one.
    script: Option<ScriptFile>,
    /// What is made of interpreter and packages while the code is fetched, where that is known before.
    ahead: Option<Receiver<packages::Ahead>>,
    /// Interpreter and packages.
    python: Option<Environment>,
    report: EnvironmentReport,
    launch: Option<Launch>,
    /// Whether the task's turn has not come: nothing is made that only its attempt could use.
    is_ahead: bool,
    /// The folder of a person's own that everything is built in, to stand by itself.
    into: Option<&'a Path>,
}

impl<'a> Draft<'a> {
    fn new(
        order: &'a ExecutorOrder,
        console: &'a Console,
        commands: &'a dyn CommandRunner,
        inside: &'a OnceCell<Inside<'a>>,
    ) -> Self {
        Self {
            order,
            console,
            commands,
            inside,
            container: None,
            root: order.attempt_dir.join("work").join("code"),
            script: None,
            ahead: None,
            python: None,
            report: EnvironmentReport::default(),
            launch: None,
            is_ahead: false,
            into: None,
        }
    }

    /// Runs what belongs to the place where the task will run.
    fn place(&self) -> &'a dyn CommandRunner {
        match self.inside.get() {
            Some(inside) => inside,
            None => self.commands,
        }
    }

    /// Where the task starts: the working directory within a repository; without a repository there is none.
    fn start_directory(&self) -> PathBuf {
        let working_dir = self.order.task.working_dir.as_str();
        let inside = match &self.order.task.code {
            CodeSource::Repository { .. } => working_dir,
            // `folder:name` also names the script.
            CodeSource::RepositoryWithScript { .. } => {
                working_dir.split_once(':').map_or(working_dir, |(folder, _)| folder)
            }
            CodeSource::Script(_) | CodeSource::Nothing => ".",
        };
        match inside {
            "" | "." => self.root.clone(),
            inside => self.root.join(inside),
        }
    }
}

/// Prepares an attempt. Blocks; ends soon after `stop` becomes true. `announce` hears of every phase.
pub(super) fn prepare(
    order: &ExecutorOrder,
    console: &Console,
    stop: &Arc<AtomicBool>,
    announce: &dyn Fn(Phase),
) -> Result<Prepared, StepError> {
    let commands = commands(order, Arc::clone(stop));
    let inside = OnceCell::new();
    let image = container::GetImage { commands: &commands, stop: Arc::clone(stop) };
    let mut draft = Draft::new(order, console, &commands, &inside);
    let phases = std::thread::scope(|scope| {
        draft.ahead = packages::begin(scope, order, console, &commands);
        let phases = run_steps(&mut draft, &image, announce);
        if phases.is_err() {
            // Who makes the environment of a task that has failed ends soon too.
            stop.store(true, Ordering::Relaxed);
        }
        phases
    })?;
    say_phases(console, &phases);
    draft.report.phases =
        phases.into_iter().map(|(phase, time)| (phase, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))).collect();
    let mut launch = draft.launch.expect("the last step makes the launch");
    if let Some(inside) = inside.get() {
        let sealing = draft.python.as_ref().and_then(|environment| environment.sealing_in_image().transpose());
        inside.finish_building(sealing.transpose().unwrap_or_else(|error| {
            warn!(%error, "byte code of the environment is not compiled now");
            None
        }));
    } else if let Some(environment) = &draft.python {
        launch.helper = environment.start_sealing().unwrap_or_else(|error| {
            warn!(%error, "byte code of the environment is not compiled now");
            None
        });
    }
    let lease = draft.python.and_then(|environment| environment.shared).map(|shared| shared.lease);
    Ok(Prepared { launch, report: draft.report, lease })
}

/// Runs the steps of a preparation; gives how long each phase took.
fn run_steps<'a>(
    draft: &mut Draft<'a>,
    image: &container::GetImage<'a>,
    announce: &dyn Fn(Phase),
) -> Result<Vec<(Phase, Duration)>, StepError> {
    let steps: [&dyn PrepareStep<'a>; 7] = [
        &workdir::Workdir,
        image,
        &checkout::Checkout,
        &script::Script,
        &packages::Packages,
        &container::StartContainer,
        &entry_point::EntryPoint,
    ];
    let (mut phases, mut last) = (Vec::<(Phase, Duration)>::new(), None);
    for step in steps {
        if draft.commands.is_stopped() {
            return Err(StepError::Stopped);
        }
        if !step.is_for(draft.order) {
            continue;
        }
        let begun = Instant::now();
        if last != Some(step.phase()) {
            announce(step.phase());
            last = Some(step.phase());
        }
        let done = step.run(draft);
        match phases.iter_mut().find(|(phase, _)| *phase == step.phase()) {
            Some((_, time)) => *time += begun.elapsed(),
            None => phases.push((step.phase(), begun.elapsed())),
        }
        done?;
    }
    Ok(phases)
}

/// Brings image, code and environment of a task whose turn has not come to this machine. Blocks; ends soon after
/// `stop` becomes true. Containers that it has needed are there still: whoever calls removes them.
pub(super) fn prefetch(order: &ExecutorOrder, console: &Console, stop: Arc<AtomicBool>) -> Result<(), StepError> {
    let commands = commands(order, Arc::clone(&stop));
    let inside = OnceCell::new();
    let image = container::GetImage { commands: &commands, stop };
    let mut draft = Draft::new(order, console, &commands, &inside);
    draft.is_ahead = true;
    let steps: [&dyn PrepareStep<'_>; 5] =
        [&workdir::Workdir, &image, &checkout::Checkout, &script::Script, &packages::Packages];
    for step in steps {
        if commands.is_stopped() {
            return Err(StepError::Stopped);
        }
        if step.is_for(order) {
            step.run(&mut draft)?;
        }
    }
    Ok(())
}

/// Builds code and environment of a task in a folder of a person's own, or an image of them. Blocks; ends soon after `stop` becomes true.
pub(super) fn build(
    order: &ExecutorOrder,
    console: &Console,
    stop: Arc<AtomicBool>,
    into: &Path,
    wish: Option<&ImageWish>,
) -> Result<Built, StepError> {
    let commands = commands(order, Arc::clone(&stop));
    let inside = OnceCell::new();
    let image = container::GetImage { commands: &commands, stop };
    let mut draft = Draft::new(order, console, &commands, &inside);
    (draft.into, draft.root) = (Some(into), into.join("code"));
    let steps: [&dyn PrepareStep<'_>; 7] = [
        &workdir::Workdir,
        &image,
        &checkout::Checkout,
        &own_objects::OwnObjects,
        &script::Script,
        &packages::Packages,
        &entry_point::EntryPoint,
    ];
    for step in steps.into_iter().filter(|step| step.is_for(order)) {
        if commands.is_stopped() {
            return Err(StepError::Stopped);
        }
        step.run(&mut draft)?;
    }
    let launch = draft.launch.expect("the last step makes the launch");
    let words = std::iter::once(launch.program.as_os_str()).chain(launch.arguments.iter().map(OsString::as_os_str));
    let python_path = launch.environment.get(OsStr::new("PYTHONPATH"));
    let mut built = Built {
        code: draft.root,
        directory: launch.directory,
        python_version: draft.report.python_version.unwrap_or_default(),
        python: draft.python.filter(|python| !python.python_version.is_empty()).map(|python| python.python),
        command: words.map(|word| word.to_string_lossy().into_owned()).collect(),
        python_path: python_path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        commit: draft.report.commit.unwrap_or_default(),
        packages: draft.report.packages.unwrap_or_default(),
    };
    if let (Some(inside), Some(wish)) = (inside.get(), wish) {
        inside.finish_building(None);
        inside.bake(into, &mut built, wish)?;
    }
    Ok(built)
}

/// Runs the programs of a preparation: in the environment of this process, with the attempt's mark.
fn commands(order: &ExecutorOrder, stop: Arc<AtomicBool>) -> SystemCommands {
    let mark = (MARK_VARIABLE.into(), order.mark().into());
    let inherited = std::env::vars_os().filter(|(name, _)| environment::is_for_programs(name));
    SystemCommands::new(inherited.chain([mark]), stop)
}

/// One line with how long each phase took.
fn say_phases(console: &Console, phases: &[(Phase, Duration)]) {
    let text = |(phase, time): &(Phase, Duration)| format!("{phase} {:.2} s", time.as_secs_f64());
    let phases: Vec<String> = phases.iter().map(text).collect();
    console.say(&format!("prepared: {}", phases.join(", ")));
}

/// Where the container finds a file of its folder in memory.
fn in_container(name: &str) -> String {
    format!("{LINK_FOLDER}/{name}")
}

/// Seconds since `start`, for people.
fn seconds(start: Instant) -> String {
    format!("{:.2} s", start.elapsed().as_secs_f64())
}
