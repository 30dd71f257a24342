//! What an executor is told, and what it writes down: two small files in its attempt's folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::container::{ContainerSpec, InternalMounts, PullPolicy};
use crate::failure::{Phase, TaskFailure};
pub use crate::git::GitSettings;
use crate::ids::{AttemptId, ProcessId, TaskId, WorkerId};
use crate::lifecycle::Exit;
use crate::packaging::PackageSettings;
use crate::task::TaskSpec;

/// Name of the [`ExecutorOrder`] file in an attempt's folder; mode 0600, it holds the attempt's token.
pub const ORDER_FILE: &str = "order.mpk";
/// Name of the [`ExecutorRecord`] file in an attempt's folder; replaced by atomic rename.
pub const RECORD_FILE: &str = "record.mpk";
/// Name of the file that holds everything the attempt printed, byte for byte.
pub const CONSOLE_FILE: &str = "console.log";
/// Name of the file in which a preparation ahead of a task's turn leaves how it went: a [`Prefetched`].
pub const PREFETCHED_FILE: &str = "prefetched.mpk";
/// Name of the file in which a build for a person leaves what it made: a [`Built`].
pub const BUILT_FILE: &str = "built.mpk";
/// Environment variable that every process of an attempt inherits; its value is [`ExecutorOrder::mark`].
/// What a dead executor left behind is found by it.
pub const MARK_VARIABLE: &str = "HOSTLER_ATTEMPT";

/// Version of [`ExecutorOrder`] and [`ExecutorRecord`].
pub const ORDER_VERSION: u16 = 1;

/// How environments are built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PythonSettings {
    /// `agent.python_binary`: interpreter to use instead of searching for one.
    pub binary: Option<String>,
    /// `agent.package_manager.extra_index_url`.
    pub extra_index_urls: Vec<String>,
    /// `agent.package_manager.system_site_packages`.
    pub system_site_packages: bool,
    /// Never use `uv`, not even where it is installed.
    pub without_uv: bool,
    /// `CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL`: run with the machine's interpreter, install nothing.
    pub skip_install: bool,
    /// `agent.ignore_requested_python_version`: whatever version the task asks for.
    pub ignore_version: bool,
    /// Where code and environment of the task are already, as `hostler build` makes them: neither is looked for then.
    pub prebuilt: Option<PathBuf>,
    /// See [`PackageSettings`].
    pub packages: PackageSettings,
    /// See [`StoreSettings`].
    pub store: StoreSettings,
}

/// Where environments are kept, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreSettings {
    /// Where the environments are; the root of the caches where absent. From `agent.venvs_cache.path`.
    pub folder: Option<PathBuf>,
    /// `agent.venvs_cache.max_entries`: how many environments are kept.
    pub max_entries: Option<usize>,
    /// `agent.venvs_cache.max_size_gb`: how many bytes of them.
    pub max_bytes: Option<u64>,
    /// `agent.venvs_cache.free_space_threshold_gb`: how many bytes of the disk stay free.
    pub free_floor: u64,
    /// `agent.pip_download_cache.path`: where installers keep what they downloaded.
    pub download_folder: Option<PathBuf>,
    /// `agent.pip_download_cache.enabled` is false: installers keep nothing.
    pub without_download_cache: bool,
}

/// How a task is run in a container of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOrder {
    /// Socket of the engine.
    pub socket: PathBuf,
    /// How long an engine that is away is waited for, in milliseconds; see [`ContainerOrder::engine_patience`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_patience_ms: Option<u64>,
    /// Its image.
    pub image: String,
    /// When the image is pulled.
    pub pull: PullPolicy,
    /// What it is to be like.
    pub spec: ContainerSpec,
    /// The command line that this amounts to, for people, without secrets.
    pub shown: String,
    /// What people should know about how it was decided.
    pub messages: Vec<String>,
    /// What is run in it before the task, in order.
    pub scripts: Vec<SetupScript>,
    /// UUIDs of its GPUs and MIG instances; [`ALL_GPUS`] alone for all.
    pub gpus: Vec<String>,
    /// Folders that its GPUs need, at the same place.
    pub gpu_mounts: Vec<PathBuf>,
    /// Who gives them to it.
    pub gpu_giver: GpuGiver,
    /// Folders of the machine that every container gets.
    pub mounts: InternalMounts,
    /// Its programs get nothing of the ssh of the agent's user.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_ssh: bool,
    /// `container` of the task as it is to be, where the task did not name it; empty where it stays as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Value>,
    /// Which ports of the machine lead to its own, `HOST:CONTAINER` with commas between; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub port_mapping: String,
    /// Where containers idle that a task may step into; none where none do.
    pub warm_dir: Option<PathBuf>,
}

/// How long an engine that is away is waited for where nothing else is said.
pub const ENGINE_PATIENCE: Duration = Duration::from_secs(60);

impl ContainerOrder {
    /// How long an engine that is away, or restarts, is waited for.
    pub fn engine_patience(&self) -> Duration {
        self.engine_patience_ms.map_or(ENGINE_PATIENCE, Duration::from_millis)
    }
}

/// All GPUs that there are, in place of UUIDs.
pub const ALL_GPUS: &str = "all";

/// Who gives a container its GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuGiver {
    /// The engine, which is asked for them.
    #[default]
    Engine,
    /// A runtime of the engine, which looks at `NVIDIA_VISIBLE_DEVICES`; the engine is not asked.
    Runtime,
    /// Nobody: they are simulated.
    Nobody,
    /// Whoever does: it was not said which GPUs tasks get, and none are known here.
    Anybody,
}

/// A script of the shell that prepares a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupScript {
    /// Whose it is, for people.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Label of every container of ours: which attempt it belongs to, by [`ExecutorOrder::mark`].
pub const ATTEMPT_LABEL: &str = "hostler.attempt";
/// Label of every container of ours: `task`, or `builder` where environments are built.
pub const ROLE_LABEL: &str = "hostler.role";
/// Label of every container of ours: the folder of the attempts of its daemon.
pub const OWNER_LABEL: &str = "hostler.attempts";

/// All that an executor needs to try one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutorOrder {
    /// [`ORDER_VERSION`] of the daemon that wrote it.
    pub version: u16,
    /// What to run.
    pub task: TaskSpec,
    /// Which try.
    pub attempt: AttemptId,
    /// Which pull of the task: the journal's sequence number of it. Tells two runs of a task apart.
    pub pull: u64,
    /// Proves to the daemon that the caller is the executor of this attempt. A secret.
    pub token: String,
    /// The worker in whose name it runs.
    pub worker: WorkerId,
    /// Unix socket of the daemon.
    pub socket: PathBuf,
    /// This attempt's folder.
    pub attempt_dir: PathBuf,
    /// Root of the caches: repositories, environments, tools.
    pub cache_dir: PathBuf,
    /// Environment variables of the user's process that the daemon decides: GPUs, `CLEARML_*`.
    pub environment: BTreeMap<String, String>,
    /// Variables that the user's process must not inherit.
    pub removed_environment: Vec<String>,
    /// See [`GitSettings`].
    pub git: GitSettings,
    /// See [`PythonSettings`].
    pub python: PythonSettings,
    /// Where its container is started; absent for a task that runs as a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerOrder>,
    /// The processors near its GPUs, which it keeps to; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<usize>,
    /// Time between SIGTERM and SIGKILL where the executor has to decide alone, in milliseconds.
    pub stop_grace_ms: u64,
}

impl ExecutorOrder {
    /// Takes the agent's own secrets out, which no file may hold: credentials for git, and the URLs of indexes and of
    /// channels.
    pub fn take_secrets(&mut self) -> OrderSecrets {
        OrderSecrets {
            git: std::mem::take(&mut self.git),
            extra_index_urls: std::mem::take(&mut self.python.extra_index_urls),
            packages: Some(std::mem::take(&mut self.python.packages)),
        }
    }

    /// Puts them back.
    pub fn give_secrets(&mut self, secrets: OrderSecrets) {
        self.git = secrets.git;
        self.python.extra_index_urls = secrets.extra_index_urls;
        if let Some(packages) = secrets.packages {
            self.python.packages = packages;
        }
    }

    /// The value of [`MARK_VARIABLE`]: unique for this attempt on this machine.
    pub fn mark(&self) -> String {
        attempt_name(&self.task.id, self.pull, self.attempt)
    }
}

/// What of an order never touches a disk: the executor gets it from its standard input.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderSecrets {
    /// See [`ExecutorOrder::git`].
    pub git: GitSettings,
    /// See [`PythonSettings::extra_index_urls`].
    pub extra_index_urls: Vec<String>,
    /// See [`PythonSettings::packages`], where flags, templates and channels have URLs. An earlier daemon left them in
    /// the order.
    pub packages: Option<PackageSettings>,
}

impl std::fmt::Debug for OrderSecrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OrderSecrets").finish_non_exhaustive()
    }
}

/// Name of an attempt's folder, and value of [`MARK_VARIABLE`]: `TASK.PULL.ATTEMPT`.
pub fn attempt_name(task: &TaskId, pull: u64, attempt: AttemptId) -> String {
    format!("{task}.{pull}.{attempt}")
}

/// How the preparation of a task whose turn has not come went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefetched {
    /// Code and environment are on this machine.
    Ready,
    /// That cannot be done now; the task will find out itself.
    Failed(String),
    /// It was stopped.
    Stopped,
}

/// Code and environment of a task in a folder of a person's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Built {
    /// Root of the code.
    pub code: PathBuf,
    /// Where the task starts.
    pub directory: PathBuf,
    /// Interpreter of the environment; absent for a task that needs none.
    pub python: Option<PathBuf>,
    /// For example `3.11.7`.
    pub python_version: String,
    /// What starts the task: the program and its arguments.
    pub command: Vec<String>,
    /// `PYTHONPATH` of its process.
    pub python_path: String,
    /// The commit that is checked out; empty without a repository.
    pub commit: String,
    /// Installed packages, as pip writes them.
    pub packages: Vec<String>,
}

/// What was found out while preparing; written back to the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentReport {
    /// The commit that was checked out, for a task that named none.
    pub commit: Option<String>,
    /// Installed packages, `name==version` or as pip writes them; `None` where nothing was installed.
    pub packages: Option<Vec<String>>,
    /// Whether the environment was there already.
    pub reused: bool,
    /// Version of the interpreter, for example `3.11.7`.
    pub python_version: Option<String>,
    /// How long the phases of the preparation took, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<(Phase, u64)>,
}

/// How an attempt ended, seen by its executor after every descendant was dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The user's process ended.
    Exited(Exit),
    /// It could not be started.
    PreparationFailed(TaskFailure),
    /// It was stopped before the user's process started.
    StoppedBeforeStart,
}

/// How far an attempt is. Only ever goes forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Checkout and environment.
    Preparing,
    /// Code and environment are ready; user code has not been started.
    Ready(EnvironmentReport),
    /// User code is about to be started, or has been.
    Launching(EnvironmentReport),
    /// User code runs.
    Running(EnvironmentReport, ProcessId),
    /// All over, nothing is alive.
    Ended(Option<EnvironmentReport>, Ended),
}

/// An executor's own record of its attempt: the truth that a restarted daemon reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorRecord {
    /// [`ORDER_VERSION`] of the executor that wrote it.
    pub version: u16,
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// The executor itself.
    pub executor: ProcessId,
    /// What it does now, for people.
    pub phase: Phase,
    /// How far it is.
    pub progress: Progress,
}

/// Reads a file of this module: named MessagePack. `Err` for bytes that are not one.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}

/// The bytes of a file of this module.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("orders and records hold nothing that MessagePack cannot")
}
