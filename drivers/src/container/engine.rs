//! The engine's calls that Hostler needs, for blocking threads.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StartContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use protocols::order::ENGINE_PATIENCE;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tracing::debug;

use super::answer::{self, Inspected, Listed, State};
use super::error::EngineError;

/// How long one answer may take, in seconds: removing a large container takes a while on a busy disk.
const TIMEOUT_S: u64 = 120;
/// Pause between two tries to remove what is being removed already.
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);
/// How often a removal is tried.
const REMOVALS: u32 = 100;

/// A container engine. Its methods block: they are for threads made for that (`spawn_blocking`), not for the workers of
/// a tokio runtime.
#[derive(Clone)]
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) runtime: Handle,
    socket: PathBuf,
    patience: Duration,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// An image that is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its content: `sha256:..`.
    pub id: String,
    /// Where it was pulled from: `name@sha256:..`, if it was.
    pub digest: Option<String>,
    /// `NAME=VALUE`, as its programs expect them.
    pub environment: Vec<String>,
    /// Who its programs run as; empty for root.
    pub user: String,
    /// The program that its commands are given to; empty for none.
    pub entrypoint: Vec<String>,
    /// For example `amd64`.
    pub architecture: String,
}

impl Image {
    /// Whether it is for such a machine: `OS[/ARCHITECTURE[/VARIANT]]`, or an architecture alone.
    pub fn is_for(&self, platform: &str) -> bool {
        let parts: Vec<&str> = platform.split('/').collect();
        let architecture = match parts.as_slice() {
            [one] if matches!(*one, "linux" | "windows") => return true,
            [one] => *one,
            [_, architecture, ..] => *architecture,
            [] => return true,
        };
        let usual = |name: &str| {
            match name {
                "x86_64" | "x86-64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            }
            .to_owned()
        };
        self.architecture.is_empty() || usual(architecture) == usual(&self.architecture)
    }
}

/// A container that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its names.
    pub names: Vec<String>,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerState {
    /// Whether a process lives in it.
    pub is_running: bool,
    /// The exit code of its first process; 128 and more for a signal.
    pub exit_code: i64,
    /// Whether the kernel killed a process in it for want of memory.
    pub oom_killed: bool,
    /// Why the engine could not start it; empty where it could.
    pub error: String,
    /// The pid of its first process on this machine; 0 where it does not run.
    pub pid: i32,
}

impl Engine {
    /// The engine behind a socket. Asks it for its version.
    pub fn connect(socket: &Path) -> Result<Self, EngineError> {
        if let Err(source) = UnixStream::connect(socket) {
            let socket = socket.to_owned();
            let is_denied = source.kind() == ErrorKind::PermissionDenied;
            return Err(if is_denied {
                EngineError::Permission { socket }
            } else {
                EngineError::Away { socket, source }
            });
        }
        let what = "say its version";
        let docker = Docker::connect_with_unix(&socket.to_string_lossy(), TIMEOUT_S, API_DEFAULT_VERSION)
            .map_err(|error| EngineError::of(what, error))?;
        let runtime = Handle::current();
        let docker = runtime.block_on(docker.negotiate_version()).map_err(|error| EngineError::of(what, error))?;
        Ok(Self { docker, runtime, socket: socket.to_owned(), patience: ENGINE_PATIENCE })
    }

    /// The same, for which one waits so long where it is away.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long one waits for it where it is away, or restarts.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The socket that it was reached by.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// An image that is here already.
    pub fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        let inspected = match self.wait(format!("inspect the image {name}"), self.docker.inspect_image(name)) {
            Err(error) if error.is_not_found() => return Ok(None),
            inspected => inspected?,
        };
        let config = inspected.config.unwrap_or_default();
        Ok(Some(Image {
            id: inspected.id.unwrap_or_default(),
            digest: inspected.repo_digests.unwrap_or_default().into_iter().next(),
            environment: config.env.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            architecture: inspected.architecture.unwrap_or_default(),
        }))
    }

    /// Makes a container, which does not run yet; its id. What the engine has to say about it goes to the log.
    pub fn create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        mut body: ContainerCreateBody,
    ) -> Result<String, EngineError> {
        let profiles = self.with_profiles(&mut body)?;
        let mut options = CreateContainerOptionsBuilder::new().platform(platform.unwrap_or_default());
        if let Some(name) = name {
            options = options.name(name);
        }
        let made = self.wait("make the container", self.docker.create_container(Some(options.build()), body));
        drop(profiles);
        let made = made.map_err(|error| self.of_gpus(error))?;
        made.warnings.iter().for_each(|warning| debug!(%warning, "the container engine warns"));
        Ok(made.id)
    }

    /// Starts a container.
    pub fn start(&self, id: &str) -> Result<(), EngineError> {
        let started = self.wait("start the container", self.docker.start_container(id, None::<StartContainerOptions>));
        started.map_err(|error| self.of_gpus(error))
    }

    /// Kills every process of a container. One that is gone, or does not run, is fine.
    pub fn kill(&self, id: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        match self.wait("kill the container", self.docker.kill_container(id, Some(options))) {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            // Podman says so of a container that does not run.
            Err(EngineError::Refused { status: 500, message, .. }) if message.contains("state") => Ok(()),
            killed => killed,
        }
    }

    /// How a container is; `None` where there is none of that id.
    pub fn state(&self, id: &str) -> Result<Option<ContainerState>, EngineError> {
        let path = format!("/containers/{id}/json");
        let inspected: Inspected = match self.get(&path, "inspect the container") {
            Err(error) if error.is_not_found() => return Ok(None),
            inspected => inspected?,
        };
        let State { running, exit_code, oom_killed, error, pid } = inspected.state;
        Ok(Some(ContainerState { is_running: running, exit_code, oom_killed, error, pid }))
    }

    /// Removes a container with its own volumes, killing what runs in it. Returns when it is gone.
    pub fn remove(&self, id: &str) -> Result<(), EngineError> {
        let mut tries = 0;
        loop {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            match self.wait("remove the container", self.docker.remove_container(id, Some(options))) {
                Err(error) if error.is_not_found() => return Ok(()),
                // Somebody removes it at this moment: it is not gone before that is done. Or it ended while the engine
                // was about to stop it, which Podman cannot handle.
                Err(error) if error.may_pass() && tries < REMOVALS => pause(REMOVAL_PAUSE),
                Ok(()) if self.state(id)?.is_none() => return Ok(()),
                Ok(()) if tries < REMOVALS => pause(REMOVAL_PAUSE),
                removed => return removed,
            }
            tries += 1;
        }
    }

    /// All containers with a label, running or not: `name`, or `name=value`.
    pub fn labelled(&self, label: &str) -> Result<Vec<Container>, EngineError> {
        self.list(&HashMap::from([("label", vec![label])]))
    }

    /// The container of this name, running or not.
    pub(super) fn named(&self, name: &str) -> Result<Option<Container>, EngineError> {
        // Engines look for names that have this one in them.
        let found = self.list(&HashMap::from([("name", vec![name])]))?;
        Ok(found.into_iter().find(|container| container.names.iter().any(|other| other == name)))
    }

    /// Gives a container another name.
    pub(super) fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        self.wait("rename the container", self.docker.rename_container(id, options))
    }

    fn list(&self, filters: &HashMap<&str, Vec<&str>>) -> Result<Vec<Container>, EngineError> {
        let filters: BTreeMap<_, _> = filters.iter().collect();
        let filters = serde_json::to_string(&filters).unwrap_or_default();
        let query: String = url::form_urlencoded::byte_serialize(filters.as_bytes()).collect();
        let found: Vec<Listed> = self.get(&format!("/containers/json?all=true&filters={query}"), "list containers")?;
        let container = |it: Listed| {
            let names = it.names.unwrap_or_default().into_iter();
            let names = names.map(|name| name.trim_start_matches('/').to_owned()).collect();
            Container { id: it.id, names, labels: it.labels.unwrap_or_default() }
        };
        Ok(found.into_iter().map(container).collect())
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, EngineError> {
        answer::get(&self.socket, path, what, Duration::from_secs(TIMEOUT_S))
    }

    pub(super) fn wait<T>(
        &self,
        what: impl Into<String>,
        answer: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        let error = match self.runtime.block_on(answer) {
            Ok(answer) => return Ok(answer),
            Err(error) => EngineError::of(what, error),
        };
        // Its connection error does not tell one cause from another; another try at connecting does.
        if let EngineError::Broken { .. } = &error
            && let Err(source) = UnixStream::connect(&self.socket)
        {
            return Err(EngineError::Away { socket: self.socket.clone(), source });
        }
        Err(error)
    }
}

#[expect(clippy::disallowed_methods, reason = "on a thread made for blocking; the engine has no event for it")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
