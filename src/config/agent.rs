//! The sections `agent` and `agent.hostler`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use protocols::git::GitSettings;
use protocols::order::{ENGINE_PATIENCE, StoreSettings};
use protocols::packaging::PackageSettings;

use super::environment::Environment;
use super::gpus::GpuConfig;
use super::load::ConfigError;
use super::tree::{Tree, TypeError, parse_flag};

/// Seconds between two heartbeats of a worker, as upstream.
const STATUS_REPORT_SECONDS: u64 = 30;

/// Seconds between SIGTERM and SIGKILL.
const STOP_GRACE_SECONDS: u64 = 10;

/// The keys of ClearML's agent that are honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentConfig {
    /// `agent.worker_name`; the host's name where absent.
    pub(crate) worker_name: Option<String>,
    /// `agent.worker_id`, used as it is.
    pub(crate) worker_id: Option<String>,
    /// Everything that git is told.
    pub(crate) git: GitSettings,
    /// `agent.python_binary`.
    pub(crate) python_binary: Option<String>,
    /// What else `agent.package_manager` says.
    pub(crate) packages: PackageSettings,
    /// `agent.ignore_requested_python_version`.
    pub(crate) ignore_python_version: bool,
    /// `agent.package_manager.extra_index_url`.
    pub(crate) extra_index_urls: Vec<String>,
    /// `agent.package_manager.system_site_packages`.
    pub(crate) system_site_packages: bool,
    /// `agent.enable_task_env`.
    pub(crate) enable_task_env: bool,
    /// `agent.suppress_carriage_return`.
    pub(crate) suppress_carriage_return: bool,
    /// The section `environment`, unless `agent.apply_environment` is false.
    pub(crate) environment: BTreeMap<String, String>,
    /// `CLEARML_AGENT_QUEUE_POLL_FREQ_SEC`; wins over the flag, and may be below its floor.
    pub(crate) polling_interval: Option<Duration>,
    /// `CLEARML_AGENT_STATUS_REPORT_FREQ_SEC`.
    pub(crate) status_report_interval: Duration,
    /// `CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL`.
    pub(crate) skip_install: bool,
    /// Where environments are kept, and how many.
    pub(crate) store: StoreSettings,
}

impl AgentConfig {
    pub(super) fn read(tree: &Tree, environment: &Environment) -> Result<Self, TypeError> {
        let seconds = |name: &str| {
            let text = environment.clearml(name)?;
            let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            Some(duration.filter(|duration| !duration.is_zero()).ok_or_else(|| TypeError {
                key: format!("CLEARML_{name}"),
                expected: "a number of seconds above 0",
                found: format!("{text:?}"),
            }))
        };
        Ok(Self {
            worker_name: tree.text("agent.worker_name")?,
            worker_id: tree.text("agent.worker_id")?,
            git: super::git::read(tree, environment)?,
            packages: super::packages::read(tree, environment)?,
            ignore_python_version: tree.flag("agent.ignore_requested_python_version")?.unwrap_or(false),
            python_binary: tree.text("agent.python_binary")?,
            extra_index_urls: tree.texts("agent.package_manager.extra_index_url")?,
            system_site_packages: tree.flag("agent.package_manager.system_site_packages")?.unwrap_or(false),
            enable_task_env: tree.flag("agent.enable_task_env")?.unwrap_or(false),
            suppress_carriage_return: tree.flag("agent.suppress_carriage_return")?.unwrap_or(true),
            environment: read_environment(tree)?,
            polling_interval: seconds("AGENT_QUEUE_POLL_FREQ_SEC").transpose()?,
            status_report_interval: seconds("AGENT_STATUS_REPORT_FREQ_SEC")
                .transpose()?
                .unwrap_or(Duration::from_secs(STATUS_REPORT_SECONDS)),
            skip_install: environment.clearml("AGENT_SKIP_PYTHON_ENV_INSTALL").is_some_and(|text| {
                // Set to anything but a denial means yes.
                parse_flag(text).unwrap_or(true)
            }),
            store: super::store::read(tree, environment)?,
        })
    }
}

fn read_environment(tree: &Tree) -> Result<BTreeMap<String, String>, TypeError> {
    if tree.flag("agent.apply_environment")? == Some(false) {
        return Ok(BTreeMap::new());
    }
    let Some(section) = tree.object("environment")? else { return Ok(BTreeMap::new()) };
    section
        .keys()
        .map(|name| Ok((name.clone(), tree.text(&format!("environment.{name}"))?.unwrap_or_default())))
        .collect()
}

/// Our own section, `agent.hostler`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostlerConfig {
    /// Where caches are.
    pub(crate) cache_dir: Option<PathBuf>,
    /// Where the daemon keeps its state.
    pub(crate) state_dir: Option<PathBuf>,
    /// Time between SIGTERM and SIGKILL.
    pub(crate) stop_grace: Duration,
    /// How long a container engine that is away is waited for.
    pub(crate) engine_patience: Duration,
    /// `libnvidia-ml.so` to use instead of the system's.
    pub(crate) gpu_library: Option<PathBuf>,
    /// Never use `uv`.
    pub(crate) without_uv: bool,
    /// Whether tasks that wait are prepared ahead of their turn.
    pub(crate) prefetch: bool,
    /// How many containers are kept started for tasks to come.
    pub(crate) warm_containers: Option<usize>,
    /// Where Prometheus may ask.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// How GPUs are looked after.
    pub(crate) gpus: GpuConfig,
}

/// Of containers that are kept started.
const MOST_WARM_CONTAINERS: u16 = 256;

impl HostlerConfig {
    /// The keys but for those of [`GpuConfig`].
    const KEYS: [&str; 10] = [
        "cache_dir",
        "engine_patience",
        "git_always_fetch",
        "gpu_library",
        "metrics_listen",
        "prefetch",
        "state_dir",
        "stop_grace",
        "warm_containers",
        "without_uv",
    ];

    /// All keys, for the error that names them.
    fn keys() -> Vec<&'static str> {
        let mut keys = [Self::KEYS.as_slice(), &GpuConfig::KEYS].concat();
        keys.sort_unstable();
        keys
    }

    pub(super) fn read(tree: &Tree, environment: &Environment, places: &str) -> Result<Self, ConfigError> {
        let at_places = |error| ConfigError::Type { places: places.to_owned(), error };
        if let Some(section) = tree.object("agent.hostler").map_err(at_places)?
            && let Some(key) = section.keys().find(|key| !Self::keys().contains(&key.as_str()))
        {
            let (places, known) = (places.to_owned(), Self::keys().join(", "));
            return Err(ConfigError::UnknownKey { places, key: key.clone(), known });
        }
        let path = |key: &str| -> Result<Option<PathBuf>, ConfigError> {
            let text = tree.text(&format!("agent.hostler.{key}")).map_err(at_places)?;
            Ok(text.map(|text| environment.expand_path(&text)))
        };
        let address = |text: String| {
            let error = |_| TypeError {
                key: "agent.hostler.metrics_listen".to_owned(),
                expected: "an address with a port, like 127.0.0.1:9400",
                found: format!("{text:?}"),
            };
            text.parse().map_err(error)
        };
        let metrics_listen = tree.text("agent.hostler.metrics_listen").map_err(at_places)?;
        Ok(Self {
            metrics_listen: metrics_listen.map(address).transpose().map_err(at_places)?,
            cache_dir: path("cache_dir")?,
            state_dir: path("state_dir")?,
            stop_grace: tree
                .seconds("agent.hostler.stop_grace")
                .map_err(at_places)?
                .unwrap_or(Duration::from_secs(STOP_GRACE_SECONDS)),
            engine_patience: tree
                .seconds("agent.hostler.engine_patience")
                .map_err(at_places)?
                .unwrap_or(ENGINE_PATIENCE),
            gpu_library: path("gpu_library")?,
            without_uv: tree.flag("agent.hostler.without_uv").map_err(at_places)?.unwrap_or(false),
            prefetch: tree.flag("agent.hostler.prefetch").map_err(at_places)?.unwrap_or(true),
            warm_containers: warm_containers(tree).map_err(at_places)?,
            gpus: GpuConfig::read(tree, environment).map_err(at_places)?,
        })
    }
}

/// A whole number, and no more than a machine can have.
fn warm_containers(tree: &Tree) -> Result<Option<usize>, TypeError> {
    let key = "agent.hostler.warm_containers";
    let Some(number) = tree.number(key)? else { return Ok(None) };
    let count = (0..=MOST_WARM_CONTAINERS).find(|count| f64::from(*count) == number).map(usize::from);
    let error = TypeError { key: key.to_owned(), expected: "a whole number up to 256", found: number.to_string() };
    count.map(Some).ok_or(error)
}
