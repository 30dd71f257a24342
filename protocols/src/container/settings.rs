//! What the operator says of containers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::conceal::Concealment;
use super::rules::MatchRule;
use super::values::port::PortRange;

/// The image where nobody names one, as the stock agent ships it.
pub const SHIPPED_IMAGE: &str = "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu20.04";

/// Who names the default image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultSource {
    /// `--docker IMAGE`.
    Flag,
    /// `CLEARML_DOCKER_IMAGE`.
    Variable,
    /// `agent.default_docker.image`.
    Configuration,
    /// Nobody.
    #[default]
    Shipped,
}

/// The container of tasks that name none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultContainer {
    /// Its image.
    pub image: String,
    /// Its arguments, as words.
    pub arguments: Vec<String>,
    /// Who names the image.
    pub source: DefaultSource,
    /// `update_back_task`: the task is told which container it got.
    pub is_written_back: bool,
}

impl Default for DefaultContainer {
    fn default() -> Self {
        let image = SHIPPED_IMAGE.to_owned();
        Self { image, arguments: Vec::new(), source: DefaultSource::Shipped, is_written_back: true }
    }
}

/// Scripts of the operator, each as it stands in the configuration; the lines of a list are lines of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerScripts {
    /// `docker_preprocess_bash_script`: first of all.
    pub preprocess: Option<String>,
    /// `docker_init_bash_script`: instead of what the stock agent installs into a container.
    pub init: Option<String>,
    /// `extra_docker_shell_script`: before the task's own.
    pub extra: Option<String>,
}

/// A place in containers for a folder of the host: one key of `docker_internal_mounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InternalMount {
    /// Its folder on the host, where the configuration names one; `~` and variables are resolved.
    pub host: Option<String>,
    /// Where it is in the container.
    pub container: String,
}

/// The folders of the host that every container gets: `docker_internal_mounts`, and the keys for their places on the
/// host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InternalMounts {
    /// `sdk_cache`: what the SDK downloads; `sdk.storage.cache.default_base_dir`.
    pub sdk_cache: InternalMount,
    /// `apt_cache`: packages of the system; `agent.docker_apt_cache`.
    pub apt_cache: InternalMount,
    /// `pip_cache`: `agent.docker_pip_cache`.
    pub pip_cache: InternalMount,
    /// `pip_download`: `agent.pip_download_cache.path`.
    pub pip_download: InternalMount,
    /// `vcs_cache`: `agent.vcs_cache.path`.
    pub vcs_cache: InternalMount,
    /// `venv_build`: `agent.venvs_dir`.
    pub venv_build: InternalMount,
    /// `poetry_cache`: `agent.docker_poetry_cache`.
    pub poetry_cache: InternalMount,
    /// `ssh_folder`.
    pub ssh: InternalMount,
    /// `ssh_ro_folder`.
    pub ssh_read_only: InternalMount,
}

impl Default for InternalMounts {
    /// The places in the container are those of the stock agent.
    fn default() -> Self {
        let at = |container: &str| InternalMount { host: None, container: container.to_owned() };
        Self {
            sdk_cache: at("/clearml_agent_cache"),
            apt_cache: at("/var/cache/apt/archives"),
            pip_cache: at("/root/.cache/pip"),
            pip_download: at("/root/.clearml/pip-download-cache"),
            vcs_cache: at("/root/.clearml/vcs-cache"),
            venv_build: at("/root/.clearml/venvs-builds"),
            poetry_cache: at("/root/.cache/pypoetry"),
            ssh: at("/root/.ssh"),
            ssh_read_only: at("/.ssh"),
        }
    }
}

/// All that the operator says of containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSettings {
    /// The container of tasks that name none.
    pub default: DefaultContainer,
    /// `default_docker.match_rules`.
    pub rules: Vec<MatchRule>,
    /// `disable_task_docker_override`: what tasks say of containers does not count.
    pub ignores_task: bool,
    /// `extra_docker_arguments`, as words: for every container.
    pub extra_arguments: Vec<String>,
    /// `docker_args_extra_precedes_task` is false: the task's arguments come first, and win where they are protected.
    pub task_precedes_extra: bool,
    /// `docker_args_filters`: patterns, one of which a switch of a task must match. Empty: all are let through.
    pub filters: Vec<String>,
    /// `forbidden_docker_args`: switches that nobody may use.
    pub forbidden: Vec<String>,
    /// `protected_docker_extra_args`: switches that only the side that comes first may use, where both do.
    pub protected: Vec<String>,
    /// `docker_allow_host_environ`: tasks may ask for variables of the host.
    pub allows_host_environment: bool,
    /// `docker_args_allowed_port_range`: the ports of the host that may be published.
    pub allowed_ports: Option<PortRange>,
    /// `docker_force_pull`.
    pub force_pull: bool,
    /// Scripts of the operator.
    pub scripts: ContainerScripts,
    /// `hide_docker_command_env_vars`.
    pub concealment: Concealment,
    /// `docker_container_name_format`.
    pub name_format: Option<String>,
    /// `docker_container_name_format_fields`: further names in the format, and where in the task they are.
    pub name_fields: BTreeMap<String, String>,
    /// Folders that every container gets.
    pub mounts: InternalMounts,
    /// `CLEARML_AGENT_EXTRA_DOCKER_LABELS`.
    pub extra_labels: Vec<(String, String)>,
    /// `CLEARML_DOCKER_SKIP_GPUS_FLAG`: the engine is not asked for GPUs, only `NVIDIA_VISIBLE_DEVICES` is set.
    pub skips_gpu_request: bool,
    /// `CLEARML_AGENT_DISABLE_SSH_MOUNT`, `disable_ssh_mount`: the person's keys stay outside.
    pub without_ssh: bool,
}

impl ContainerSettings {
    /// Sets the default container to `IMAGE [ARGUMENTS..]`. Without arguments those that were there stay. No words at all
    /// say nothing.
    pub fn set_default(&mut self, words: &[String], source: DefaultSource) {
        let Some((image, arguments)) = words.split_first() else { return };
        self.default.image.clone_from(image);
        self.default.source = source;
        if !arguments.is_empty() {
            self.default.arguments = arguments.to_vec();
        }
    }
}

impl Default for ContainerSettings {
    /// What the stock agent's shipped configuration says.
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            default: DefaultContainer::default(),
            rules: Vec::new(),
            ignores_task: false,
            extra_arguments: Vec::new(),
            task_precedes_extra: false,
            filters: Vec::new(),
            forbidden: words(&["entrypoint"]),
            protected: words(&["privileged", "security-opt", "network", "ipc"]),
            allows_host_environment: false,
            allowed_ports: None,
            force_pull: false,
            scripts: ContainerScripts::default(),
            concealment: Concealment::default(),
            name_format: None,
            name_fields: BTreeMap::new(),
            mounts: InternalMounts::default(),
            extra_labels: Vec::new(),
            skips_gpu_request: false,
            without_ssh: false,
        }
    }
}
