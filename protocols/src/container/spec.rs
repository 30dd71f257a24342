//! Everything that a task or an operator can ask of a container.

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::values::device::Device;
use super::values::gpus::GpuRequest;
use super::values::mount::Mount;
use super::values::network::Network;
use super::values::port::{ExposedPort, PublishedPort};
use super::values::volume::Volume;

/// What a container is to look like, but for its image, its command, and what we add ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// `--name`.
    pub name: Option<String>,
    /// `--platform`: `linux/arm64`.
    pub platform: Option<String>,
    /// `--pull`.
    pub pull: Option<PullPolicy>,
    /// `--runtime`.
    pub runtime: Option<String>,
    /// `--entrypoint`: a program that is given the task's command as its arguments. Empty: none at all.
    pub entrypoint: Option<String>,
    /// `--user`: `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// `--group-add`.
    pub groups: Vec<String>,
    /// `--workdir`.
    pub working_dir: Option<String>,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--domainname`.
    pub domainname: Option<String>,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--stop-timeout`, in seconds.
    pub stop_timeout: Option<i64>,
    /// `--health-*` and `--no-healthcheck`.
    pub health: Option<HealthCheck>,

    /// `--env`, one entry a name. Without a value: that of the host, which the caller has to find.
    pub environment: Vec<(String, Option<String>)>,
    /// `--env-file`: files of the host, which the caller has to read; they come before `environment`.
    pub environment_files: Vec<String>,
    /// `--label`, one entry a name.
    pub labels: Vec<(String, String)>,
    /// `--label-file`: files of the host, which the caller has to read; they come before `labels`.
    pub label_files: Vec<String>,
    /// `--annotation`.
    pub annotations: Vec<(String, String)>,

    /// `--volume`.
    pub volumes: Vec<Volume>,
    /// `--mount`.
    pub mounts: Vec<Mount>,
    /// `--tmpfs`: a place in the container, and the options of its mount.
    pub tmpfs: Vec<(String, String)>,
    /// `--volumes-from`.
    pub volumes_from: Vec<String>,
    /// `--volume-driver`.
    pub volume_driver: Option<String>,
    /// `--storage-opt`.
    pub storage_options: Vec<(String, String)>,
    /// `--read-only`.
    pub read_only: Option<bool>,

    /// `--network`, with the switches that belong to it. Empty: the engine's default.
    pub networks: Vec<Network>,
    /// `--publish`.
    pub ports: Vec<PublishedPort>,
    /// `--expose`.
    pub exposed: Vec<ExposedPort>,
    /// `--publish-all`.
    pub publish_all: Option<bool>,
    /// `--dns`.
    pub dns: Vec<String>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--add-host`: a name and its address, which may be `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// `--link`.
    pub links: Vec<String>,
    /// `--network-alias`: for the first network.
    pub network_aliases: Vec<String>,
    /// `--ip`: for the first network.
    pub ip: Option<String>,
    /// `--ip6`: for the first network.
    pub ip6: Option<String>,
    /// `--link-local-ip`: for the first network.
    pub link_local_ips: Vec<String>,
    /// `--mac-address`: for the first network.
    pub mac_address: Option<String>,

    /// `--ipc`.
    pub ipc: Option<String>,
    /// `--pid`.
    pub pid: Option<String>,
    /// `--uts`.
    pub uts: Option<String>,
    /// `--userns`.
    pub userns: Option<String>,
    /// `--cgroupns`: `host` or `private`.
    pub cgroupns: Option<String>,
    /// `--privileged`.
    pub privileged: Option<bool>,
    /// `--cap-add`.
    pub added_capabilities: Vec<String>,
    /// `--cap-drop`.
    pub dropped_capabilities: Vec<String>,
    /// `--security-opt`. The value of `seccomp=` may be a file of the host, which the caller has to read.
    pub security_options: Vec<String>,
    /// `--sysctl`.
    pub sysctls: Vec<(String, String)>,
    /// `--device`.
    pub devices: Vec<Device>,
    /// `--device vendor/class=name`: devices that the engine knows by the Container Device Interface.
    pub cdi_devices: Vec<String>,
    /// `--device-cgroup-rule`.
    pub device_rules: Vec<String>,
    /// `--gpus`.
    pub gpus: Option<GpuRequest>,
    /// Limits of processor, memory and devices.
    pub limits: Limits,

    /// `--log-driver`.
    pub log_driver: Option<String>,
    /// `--log-opt`.
    pub log_options: Vec<(String, String)>,
}

impl ContainerSpec {
    /// Where it mounts something in the container.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        let volumes = self.volumes.iter().map(|volume| volume.target.as_str());
        let mounts = self.mounts.iter().map(|mount| mount.target.as_str());
        volumes.chain(mounts).chain(self.tmpfs.iter().map(|(target, _)| target.as_str()))
    }

    /// Whether it mounts something at just this place.
    pub fn has_place(&self, place: &str) -> bool {
        self.places().any(|other| other.trim_end_matches('/') == place.trim_end_matches('/'))
    }

    /// Whether others find it in a network by something that only one container can have, or is meant to have: an
    /// address or a name.
    pub fn is_found_by_others(&self) -> bool {
        let is_found = |network: &Network| *network != Network::named(&network.name);
        self.ip.is_some()
            || self.ip6.is_some()
            || self.mac_address.is_some()
            || !self.link_local_ips.is_empty()
            || !self.network_aliases.is_empty()
            || self.networks.iter().any(is_found)
    }
}

/// `--pull`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Every time.
    Always,
    /// Where it is not there.
    #[default]
    Missing,
    /// Never.
    Never,
}

/// How the engine finds out whether what is in the container is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `--no-healthcheck`: not even the image's.
    pub disabled: bool,
    /// `--health-cmd`, a line of the shell.
    pub command: Option<String>,
    /// `--health-interval`, in nanoseconds.
    pub interval: Option<i64>,
    /// `--health-timeout`, in nanoseconds.
    pub timeout: Option<i64>,
    /// `--health-start-period`, in nanoseconds.
    pub start_period: Option<i64>,
    /// `--health-start-interval`, in nanoseconds.
    pub start_interval: Option<i64>,
    /// `--health-retries`.
    pub retries: Option<i64>,
}

/// Something that was accepted and has no effect here, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The switch, as it was written.
    pub switch: String,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` of the container has no effect: {}", self.switch, self.why)
    }
}
