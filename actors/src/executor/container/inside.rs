//! The container's side of a preparation.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use drivers::command::{CommandError, CommandLine, CommandRunner, Finished, ImageSite, SystemCommands};
use drivers::container::{
    ContainerCommands, Engine, EngineError, GpuAccess, Image, NewContainer, OwnMount, RunFolder, WarmShelf,
};
use drivers::python::EnvironmentStore;
use protocols::container::init::{GIVES_WAY, INIT_PATH};
use protocols::container::{ContainerSpec, PullPolicy, is_image_name};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::order::{ContainerOrder, ExecutorOrder};
use tracing::{debug, warn};

use super::facts::QUESTION;
use super::facts::{self, Facts};
use super::running::{ENGINE_PAUSE, Running, of_engine, of_system, pause};
use super::site::site_of;
use super::ssh::Ssh;
use super::{gpus, look, mounts, scripts, warm};
use crate::executor::console::Console;
use crate::executor::steps::StepError;

/// Variables of this machine that installers in a container are told too.
const TOLD: [&str; 16] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NETRC",
    "CONDA_CHANNEL_ALIAS",
    "CONDA_CHANNEL_PRIORITY",
    "CONDA_SSL_VERIFY",
    "CONDA_SUBDIR",
];
/// Beginnings of such names.
const TOLD_PREFIXES: [&str; 4] = ["PIP_", "UV_", "CONDA_OVERRIDE_", "CONDA_REMOTE_"];
/// Where containers find their programs when an image does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image, what it has, and the container in which environments are built when that is needed.
pub(in crate::executor) struct Inside<'a> {
    pub(super) order: &'a ExecutorOrder,
    pub(super) container: &'a ContainerOrder,
    pub(super) console: &'a Console,
    host: &'a SystemCommands,
    stop: Arc<AtomicBool>,
    pub(super) engine: Engine,
    pub(super) init: PathBuf,
    pub(super) image: Image,
    /// What decides on everything that is in the container before the task starts.
    site: String,
    facts: Facts,
    /// Whether the task's turn has not come.
    is_ahead: bool,
    /// What is built to be a part of an image, where one is made.
    into: Option<PathBuf>,
    builder: Mutex<Option<Arc<Builder>>>,
}

/// A container in which installers run.
struct Builder {
    running: Arc<Running>,
    commands: ContainerCommands,
}

impl<'a> Inside<'a> {
    /// Gets the image, and finds out what it has.
    pub(in crate::executor) fn open(
        order: &'a ExecutorOrder,
        container: &'a ContainerOrder,
        console: &'a Console,
        host: &'a SystemCommands,
        stop: Arc<AtomicBool>,
        is_ahead: bool,
        into: Option<&Path>,
    ) -> Result<Self, StepError> {
        look::check_mounts(container).map_err(StepError::Failed)?;
        container.messages.iter().for_each(|message| console.say(message));
        console.say(&format!("container: {}", container.shown));
        let engine = connect(container, console, &|| stop.load(Ordering::Relaxed))?;
        let image = get_image(&engine, container, console, &|| stop.load(Ordering::Relaxed))?;
        let init = drivers::container::init_program(&order.cache_dir)
            .map_err(|error| StepError::new(FailureClass::Infrastructure, Phase::Image, &error))?;
        let site = site_of(&image, container);
        let mut this = Self {
            order,
            container,
            console,
            host,
            stop,
            engine,
            init,
            image,
            site,
            facts: Facts::default(),
            is_ahead,
            into: into.map(made).transpose().map_err(|error| of_system(&error))?,
            builder: Mutex::default(),
        };
        this.facts = match Facts::read(&order.cache_dir, &this.site) {
            Some(facts) => facts,
            None => this.find_out()?,
        };
        Ok(this)
    }

    /// Whether the Python of the image has packages that tasks may count on.
    pub(in crate::executor) fn has_packages(&self) -> bool {
        self.facts.has_packages
    }

    /// Starts the container of the task itself, with these folders of the caches, and runs its scripts. The container,
    /// and the environment of its programs.
    pub(in crate::executor) fn start(
        &self,
        folders: &[PathBuf],
    ) -> Result<(Arc<Running>, BTreeMap<OsString, OsString>), StepError> {
        let ssh = Ssh::of(self.container);
        let access = gpus::access(&self.engine, self.container).map_err(|error| of_engine(&error))?;
        let running = match self.take_warm(folders, &ssh, &access)? {
            Some(running) => running,
            None => self.start_new(folders, &ssh, &access)?,
        };
        gpus::check(&access, self.container, &running).map_err(StepError::Failed)?;
        self.hand_over(&running)?;
        ssh.give(&running, self.container, self.console);
        let shells: Vec<&Path> = self.facts.probe.shells.iter().map(|shell| shell.as_path()).collect();
        let is_stopped = || self.is_stopped();
        let environment = scripts::run(&self.container.scripts, &running, &shells, self.console, &is_stopped)?;
        Ok((running, environment))
    }

    fn start_new(&self, folders: &[PathBuf], ssh: &Ssh, gpus: &GpuAccess) -> Result<Arc<Running>, StepError> {
        let folder = self.folder("task")?;
        let mut own = mounts::basic(&self.init, folder.path());
        own.push(mounts::work(self.order));
        own.extend(folders.iter().map(|folder| mounts::same(folder, false)));
        own.extend(self.container.gpu_mounts.iter().map(|folder| mounts::same(folder, true)));
        own.extend(mounts::of_operator(self.container).map_err(|error| of_system(&error))?);
        own.extend(ssh.mount());
        let new = NewContainer {
            gpus: gpus.clone(),
            environment: ssh.variable(),
            ..self.new_container("task", self.container.spec.clone(), own)
        };
        let running = Running::start(&self.engine, &new, folder, &|| self.is_stopped())?;
        debug!(id = running.id(), "container started");
        Ok(running)
    }

    /// A container that idles and is like the one that the task would get, where such are kept. That one was wanted is
    /// written down.
    fn take_warm(&self, folders: &[PathBuf], ssh: &Ssh, gpus: &GpuAccess) -> Result<Option<Arc<Running>>, StepError> {
        let store = EnvironmentStore::new(&self.order.cache_dir, &self.order.python);
        let seen = [store.store().built(), store.interpreters_for_images()];
        let Some(root) = self.container.warm_dir.as_ref().filter(|_| warm::can_idle(self.container)) else {
            return Ok(None);
        };
        if !folders.iter().all(|folder| seen.iter().any(|seen| folder.starts_with(seen))) {
            return Ok(None);
        }
        let mut template = warm::template(self.order, self.container, &self.image, &self.init, &seen)
            .map_err(|error| of_system(&error))?;
        template.container.mounts.extend(ssh.mount());
        template.container.environment = ssh.variable();
        template.container.gpus = gpus.clone();
        let shelf = WarmShelf::new(root);
        let key = template.key().map_err(|error| of_system(&error))?;
        let taken = shelf.take(&key, &self.order.mark(), &self.order.attempt_dir, &self.engine);
        if let Err(error) = shelf.want(&template) {
            warn!(%error, "no container will idle for the next task");
        }
        Ok(taken.map(|taken| {
            debug!(id = taken.id, "container taken that idled");
            self.console.say("a container that was started before is used");
            Arc::new(Running::taken(&self.engine, taken))
        }))
    }

    /// Runs something to its end where environments are built, beside the task; the container ends with it.
    pub(in crate::executor) fn finish_building(&self, command: Option<CommandLine>) {
        let builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(builder) = builder else { return };
        let sealing = std::thread::Builder::new().name("sealing".to_owned()).spawn(move || {
            if let Some(command) = command
                && let Err(error) = builder.commands.run(command, &mut |_| {})
            {
                debug!(%error, "byte code of the environment is not compiled now");
            }
            builder.running.remove();
        });
        if let Err(error) = sealing {
            warn!(%error, "byte code of the environment is not compiled now");
        }
    }

    /// The files that the task writes are to belong to this user, and those of this user are to be the task's to write.
    fn hand_over(&self, running: &Running) -> Result<(), StepError> {
        // By its own path, which is the same in there.
        let work = self.order.attempt_dir.join("work").canonicalize().map_err(|error| of_system(&error))?;
        let caches = mounts::of_operator(self.container).map_err(|error| of_system(&error))?;
        let caches: Vec<PathBuf> = caches.into_iter().map(|mount| mount.container.into()).collect();
        drivers::container::share(&work, &caches, running.link()).map_err(|error| of_system(&error))
    }

    pub(super) fn new_container(&self, role: &str, spec: ContainerSpec, mounts: Vec<OwnMount>) -> NewContainer {
        NewContainer {
            image: self.container.image.clone(),
            spec,
            entrypoint: vec![INIT_PATH.to_owned()],
            mounts,
            labels: look::labels(self.order, role),
            gpus: GpuAccess::None,
            ..NewContainer::default()
        }
    }

    pub(super) fn folder(&self, name: &str) -> Result<RunFolder, StepError> {
        RunFolder::make(&self.order.mark(), name).map_err(|error| of_system(&error))
    }

    /// Looks into the image, in the container in which an environment may be built next.
    fn find_out(&self) -> Result<Facts, StepError> {
        let builder = self.builder()?;
        let path = builder.commands.variable("PATH").unwrap_or_else(|| USUAL_PATH.into());
        let lost = |error: drivers::container::LinkError| {
            let message = format!("the container ended while it was looked at: {error}");
            StepError::Failed(TaskFailure::because(FailureClass::Environment, Phase::Image, message))
        };
        let probe = builder.running.link().probe(&path).map_err(lost)?;
        let mut facts = Facts { probe, search_path: path, has_packages: true, makes_venvs: false };
        let python = facts.probe.pythons.first().map(|path| path.as_path().to_owned());
        if let Some(python) = python {
            let command = CommandLine::new(python).arguments(["-I", "-c", QUESTION]);
            let finished = builder.commands.run(command, &mut |_| {}).map_err(of_command)?;
            let answer = finished.tail.last().and_then(|line| serde_json::from_str::<facts::Answer>(line).ok());
            if let Some(answer) = answer {
                facts.makes_venvs = answer.venvs;
                facts.has_packages = answer.packages;
            }
        }
        if let Err(error) = facts.write(&self.order.cache_dir, &self.site) {
            // The next task finds it out again.
            warn!(%error, "what the image has is not remembered");
        }
        Ok(facts)
    }

    /// The container in which installers run, started when it is needed first.
    fn builder(&self) -> Result<Arc<Builder>, StepError> {
        let mut slot = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(builder) = &*slot {
            return Ok(Arc::clone(builder));
        }
        let folder = self.folder("builder")?;
        let mut own = mounts::basic(&self.init, folder.path());
        own.extend(mounts::caches(self.order));
        own.push(mounts::work(self.order));
        own.extend(mounts::beside(&self.container.spec, mounts::for_installers()));
        own.extend(self.into.as_deref().map(mounts::for_image));
        let spec = look::for_building(&self.container.spec);
        let command = self.is_ahead.then(|| GIVES_WAY.to_owned()).into_iter().collect();
        let ssh = Ssh::of(self.container);
        own.extend(ssh.mount());
        let environment = ssh.variable();
        let new = NewContainer { command, environment, ..self.new_container("builder", spec, own) };
        let running = Running::start(&self.engine, &new, folder, &|| self.is_stopped())?;
        ssh.give(&running, self.container, self.console);
        let shells = self.shells(&running)?;
        let shells: Vec<&Path> = shells.iter().map(PathBuf::as_path).collect();
        let is_stopped = || self.is_stopped();
        let mut environment = scripts::run(&self.container.scripts, &running, &shells, self.console, &is_stopped)?;
        environment.extend(told(std::env::vars_os()));
        environment.entry("PATH".into()).or_insert_with(|| USUAL_PATH.into());
        let commands = ContainerCommands::new(running.link().clone(), environment, Arc::clone(&self.stop));
        let user = drivers::container::installs_as(running.link()).map_err(|error| of_system(&error))?;
        let commands = match user {
            Some(user) => commands.with_user(user),
            None => commands,
        };
        let builder = Arc::new(Builder { running, commands });
        *slot = Some(Arc::clone(&builder));
        Ok(builder)
    }

    /// Whether somebody wants the preparation to end.
    pub(super) fn is_stopped_now(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn shells(&self, running: &Running) -> Result<Vec<PathBuf>, StepError> {
        if self.container.scripts.is_empty() {
            return Ok(Vec::new());
        }
        let probe = running.link().probe(OsStr::new(USUAL_PATH)).map_err(|error| {
            let message = format!("the container ended while it was looked at: {error}");
            StepError::Failed(TaskFailure::because(FailureClass::Environment, Phase::Image, message))
        })?;
        Ok(probe.shells.into_iter().map(|shell| shell.into_path()).collect())
    }
}

fn told(all: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| {
        let name = name.to_string_lossy();
        TOLD.contains(&&*name)
            || (TOLD_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with("_DIR"))
    })
}

/// A folder by its own name, made where it is missing.
fn made(folder: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    folder.canonicalize()
}

fn get_image(
    engine: &Engine,
    wish: &ContainerOrder,
    console: &Console,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Image, StepError> {
    let name = wish.image.as_str();
    let missing = |why: &str| {
        let message = format!("the image {name} {why}");
        StepError::Failed(TaskFailure::because(FailureClass::Image, Phase::Image, message))
    };
    if !is_image_name(name) {
        return Err(missing("cannot be had: that is no name of an image, which is like nvidia/cuda:12.6.3-base"));
    }
    let (policy, platform) = (wish.pull, wish.spec.platform.as_deref());
    // Of one name there may be an image for each kind of machine.
    let is_right = |image: &Image| platform.is_none_or(|platform| image.is_for(platform));
    if policy != PullPolicy::Always
        && let Some(image) = engine.image(name).map_err(|error| of_image(&error))?
        && (policy == PullPolicy::Never || is_right(&image))
    {
        return Ok(image);
    }
    if policy == PullPolicy::Never {
        return Err(missing("is not on this machine, and `--pull never` forbids to get it"));
    }
    console.say(&format!("pulling {name}"));
    match engine.pull(name, platform, is_stopped, &|line| console.line(line)) {
        Ok(()) => {}
        Err(EngineError::Stopped) => return Err(StepError::Stopped),
        // A registry that is away is no reason to refuse what is here.
        Err(error) => match engine.image(name).map_err(|error| of_image(&error))? {
            Some(image) if is_right(&image) => {
                console.say(&format!("{error}; using the one that is here"));
                return Ok(image);
            }
            Some(_) | None => return Err(of_image(&error)),
        },
    }
    engine.image(name).map_err(|error| of_image(&error))?.ok_or_else(|| missing("was pulled, and is not there"))
}

/// Waits for an engine that is away, as it is while it is upgraded.
fn connect(container: &ContainerOrder, console: &Console, is_stopped: &dyn Fn() -> bool) -> Result<Engine, StepError> {
    let patience = container.engine_patience();
    let deadline = Instant::now() + patience;
    let mut is_said = false;
    loop {
        match Engine::connect(&container.socket) {
            Ok(engine) => return Ok(engine.with_patience(patience)),
            Err(_) if is_stopped() => return Err(StepError::Stopped),
            Err(error) if error.is_away() && Instant::now() < deadline => {
                if !std::mem::replace(&mut is_said, true) {
                    console.say(&format!("{error}: waiting for it"));
                }
                pause(ENGINE_PAUSE);
            }
            Err(error) => return Err(of_image(&error)),
        }
    }
}

fn of_image(error: &EngineError) -> StepError {
    match of_engine(error) {
        StepError::Failed(failure) => StepError::Failed(TaskFailure { phase: Phase::Image, ..failure }),
        StepError::Stopped => StepError::Stopped,
    }
}

fn of_command(error: CommandError) -> StepError {
    match error {
        CommandError::Stopped { .. } => StepError::Stopped,
        error @ (CommandError::NotFound { .. } | CommandError::Run { .. }) => {
            StepError::new(FailureClass::Environment, Phase::Environment, &error)
        }
    }
}

impl CommandRunner for Inside<'_> {
    fn run(&self, command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
        let program = command.program.display().to_string();
        let builder = self.builder().map_err(|error| match error {
            StepError::Stopped => CommandError::Stopped { program: program.clone() },
            StepError::Failed(failure) => {
                CommandError::Run { program: program.clone(), source: std::io::Error::other(failure.message) }
            }
        })?;
        builder.commands.run(command, output)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        let is_told = |(key, _): &(OsString, OsString)| key == name;
        let own = told(std::env::vars_os()).find(is_told).map(|(_, value)| value);
        let of_arguments = || self.container.spec.environment.iter().rev().find(|(key, _)| key == name);
        own.or_else(|| match (name, of_arguments()) {
            ("PATH", _) => Some(self.facts.search_path.clone()),
            (_, Some((_, value))) => value.as_ref().map(Into::into),
            (_, None) => self.image.environment.iter().find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key == name).then(|| value.into())
            }),
        })
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn image(&self) -> Option<ImageSite<'_>> {
        Some(ImageSite {
            id: &self.site,
            name: &self.container.image,
            makes_venvs: self.facts.makes_venvs,
            libc: self.facts.probe.libc.as_ref().map(|libc| libc.flavour),
            made: self.into.as_deref().map(|into| (into, Path::new(mounts::IMAGE_PLACE))),
            here: self.host,
        })
    }

    fn is_executable(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_found = self.facts.programs(&name).any(|found| found == path);
        is_found || (!Facts::knows(&name) && self.find_there(path.as_os_str()).next().is_some())
    }

    fn find_all(&self, name: &str) -> Vec<PathBuf> {
        if Facts::knows(name) { self.facts.programs(name).collect() } else { self.find_there(name.as_ref()).collect() }
    }
}

impl Inside<'_> {
    /// Asks the container itself.
    fn find_there(&self, name: &OsStr) -> impl Iterator<Item = PathBuf> + use<> {
        let found = match self.builder() {
            Ok(builder) => builder.running.link().find(name, &self.facts.search_path).unwrap_or_default(),
            Err(error) => {
                debug!(?error, "nothing is looked for in the image");
                Vec::new()
            }
        };
        found.into_iter()
    }
}
