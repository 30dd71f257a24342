//! From a specification to what the Engine API is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount as EngineMount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountImageOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding, ResourcesBlkioWeightDevice, ResourcesUlimits,
    ThrottleDevice,
};
use protocols::container::{
    BlockDevice, ContainerSpec, HealthCheck, Mount, MountKind, Network, Propagation, Recursion,
};
use serde::{Deserialize, Serialize};

use super::gpus::GpuAccess;

/// A file or folder of the host that we put into the container. It must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnMount {
    /// Where it is on the host.
    pub host: PathBuf,
    /// Where it is in the container.
    pub container: String,
    /// Whether it cannot be written there.
    pub read_only: bool,
}

/// A container that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewContainer {
    /// Its image.
    pub image: String,
    /// What was asked for. Its files of the host have been read; see [`ContainerSpec::environment_files`]. The name
    /// and the platform are no part of the body: they are parameters of the call.
    pub spec: ContainerSpec,
    /// What runs in it, instead of the image's entrypoint.
    pub entrypoint: Vec<String>,
    /// The arguments of that. Never the image's.
    pub command: Vec<String>,
    /// What we put into it, beside what the specification asks for.
    pub mounts: Vec<OwnMount>,
    /// Our variables; they go before those of the specification.
    pub environment: Vec<(String, String)>,
    /// Our labels; they go before those of the specification.
    pub labels: Vec<(String, String)>,
    /// The GPUs that it gets.
    pub gpus: GpuAccess,
}

impl NewContainer {
    /// The body of the call that makes it.
    pub fn body(&self) -> ContainerCreateBody {
        let spec = &self.spec;
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: some(self.entrypoint.clone()),
            // An empty list, not an absent one: that would be the image's command.
            cmd: Some(self.command.clone()),
            env: some(self.variables()),
            labels: some_map(spec.labels.iter().chain(&self.labels)),
            hostname: spec.hostname.clone(),
            domainname: spec.domainname.clone(),
            user: spec.user.clone(),
            working_dir: spec.working_dir.clone(),
            stop_signal: spec.stop_signal.clone(),
            stop_timeout: spec.stop_timeout,
            healthcheck: spec.health.as_ref().map(health),
            exposed_ports: some(exposed(spec)),
            volumes: some(anonymous_volumes(spec)),
            host_config: Some(self.host_config()),
            networking_config: networking(spec),
            ..ContainerCreateBody::default()
        }
    }

    /// `NAME=VALUE`, one of a name. A name alone takes the image's variable away, as with Docker.
    fn variables(&self) -> Vec<String> {
        let mut variables: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        variables.extend(self.spec.environment.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
        variables.extend(self.environment.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))));
        let of_gpus = self.gpus.variable();
        variables.extend(of_gpus.iter().map(|(name, value)| (*name, Some(value.as_str()))));
        let text = |(name, value): (&str, Option<&str>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        };
        variables.into_iter().map(text).collect()
    }

    fn host_config(&self) -> HostConfig {
        let spec = &self.spec;
        let (security_options, with_system_paths) = security(spec);
        let open = with_system_paths.then(Vec::new);
        HostConfig {
            binds: some(binds(spec)),
            mounts: some(spec.mounts.iter().map(mount).chain(self.mounts.iter().map(own_mount)).collect()),
            tmpfs: some_map(&spec.tmpfs),
            volumes_from: some(spec.volumes_from.clone()),
            volume_driver: spec.volume_driver.clone(),
            storage_opt: some_map(&spec.storage_options),
            readonly_rootfs: spec.read_only,
            network_mode: spec.networks.first().map(|network| network.name.clone()),
            port_bindings: port_bindings(spec),
            publish_all_ports: spec.publish_all,
            dns: some(spec.dns.clone()),
            dns_options: some(spec.dns_options.clone()),
            dns_search: some(spec.dns_search.clone()),
            extra_hosts: some(spec.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect()),
            links: some(spec.links.clone()),
            ipc_mode: spec.ipc.clone(),
            pid_mode: spec.pid.clone(),
            uts_mode: spec.uts.clone(),
            userns_mode: spec.userns.clone(),
            cgroupns_mode: spec.cgroupns.as_deref().map(|mode| match mode {
                "host" => HostConfigCgroupnsModeEnum::HOST,
                _ => HostConfigCgroupnsModeEnum::PRIVATE,
            }),
            group_add: some(spec.groups.clone()),
            privileged: spec.privileged,
            cap_add: some(spec.added_capabilities.clone()),
            cap_drop: some(spec.dropped_capabilities.clone()),
            security_opt: some(security_options),
            masked_paths: open.clone(),
            readonly_paths: open,
            sysctls: some_map(&spec.sysctls),
            devices: some(devices(spec)),
            device_cgroup_rules: some(spec.device_rules.clone()),
            device_requests: some(self.gpus.requests(spec)),
            runtime: spec.runtime.clone(),
            annotations: some_map(&spec.annotations),
            log_config: log_config(spec),
            ..limited(spec)
        }
    }
}

/// Absent where it is empty: the engine's default, or the image's.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub(super) fn some_map<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> Option<HashMap<String, String>> {
    let map: HashMap<String, String> = pairs.into_iter().cloned().collect();
    (!map.is_empty()).then_some(map)
}

fn limited(spec: &ContainerSpec) -> HostConfig {
    let limits = &spec.limits;
    let throttled = |devices: &[BlockDevice]| some(devices.iter().map(throttle).collect());
    HostConfig {
        memory: limits.memory,
        memory_swap: limits.memory_swap,
        memory_reservation: limits.memory_reservation,
        memory_swappiness: limits.memory_swappiness,
        shm_size: limits.shm_size,
        nano_cpus: limits.nano_cpus,
        cpu_shares: limits.cpu_shares,
        cpu_period: limits.cpu_period,
        cpu_quota: limits.cpu_quota,
        cpu_realtime_period: limits.cpu_realtime_period,
        cpu_realtime_runtime: limits.cpu_realtime_runtime,
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        pids_limit: limits.pids,
        ulimits: some(limits.ulimits.iter().map(ulimit).collect()),
        blkio_weight: limits.block_weight,
        blkio_weight_device: some(limits.block_weights.iter().map(weight).collect()),
        blkio_device_read_bps: throttled(&limits.read_bytes),
        blkio_device_write_bps: throttled(&limits.write_bytes),
        blkio_device_read_iops: throttled(&limits.read_operations),
        blkio_device_write_iops: throttled(&limits.write_operations),
        oom_kill_disable: limits.without_oom_kill,
        oom_score_adj: limits.oom_score,
        cgroup_parent: limits.cgroup_parent.clone(),
        ..HostConfig::default()
    }
}

fn ulimit(limit: &protocols::container::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(limit.name.clone()), soft: Some(limit.soft), hard: Some(limit.hard) }
}

fn throttle(device: &BlockDevice) -> ThrottleDevice {
    ThrottleDevice { path: Some(device.path.clone()), rate: Some(device.amount) }
}

fn weight(device: &BlockDevice) -> ResourcesBlkioWeightDevice {
    let weight = usize::try_from(device.amount).ok();
    ResourcesBlkioWeightDevice { path: Some(device.path.clone()), weight }
}

fn devices(spec: &ContainerSpec) -> Vec<DeviceMapping> {
    let device = |device: &protocols::container::Device| DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    };
    spec.devices.iter().map(device).collect()
}

/// The options that the engine takes, and whether the paths of the system are open, which is no option of the engine.
fn security(spec: &ContainerSpec) -> (Vec<String>, bool) {
    let is_open = |option: &String| matches!(option.as_str(), "systempaths=unconfined" | "systempaths:unconfined");
    let (open, options): (Vec<String>, Vec<String>) = spec.security_options.iter().cloned().partition(is_open);
    (options, !open.is_empty())
}

fn log_config(spec: &ContainerSpec) -> Option<HostConfigLogConfig> {
    let config = some_map(&spec.log_options);
    (spec.log_driver.is_some() || config.is_some())
        .then(|| HostConfigLogConfig { typ: spec.log_driver.clone(), config })
}

fn health(check: &HealthCheck) -> HealthConfig {
    let test = match (&check.command, check.disabled) {
        (_, true) => Some(vec!["NONE".to_owned()]),
        (Some(command), false) => Some(vec!["CMD-SHELL".to_owned(), command.clone()]),
        (None, false) => None,
    };
    HealthConfig {
        test,
        interval: check.interval,
        timeout: check.timeout,
        retries: check.retries,
        start_period: check.start_period,
        start_interval: check.start_interval,
    }
}

/// What is mounted as `-v` does it: a folder of the host that is not there is made.
fn binds(spec: &ContainerSpec) -> Vec<String> {
    spec.volumes.iter().filter(|volume| volume.source.is_some()).map(ToString::to_string).collect()
}

fn anonymous_volumes(spec: &ContainerSpec) -> Vec<String> {
    spec.volumes.iter().filter(|volume| volume.source.is_none()).map(|volume| volume.target.clone()).collect()
}

fn own_mount(mount: &OwnMount) -> EngineMount {
    EngineMount {
        typ: Some(MountType::BIND),
        source: Some(mount.host.to_string_lossy().into_owned()),
        target: Some(mount.container.clone()),
        read_only: mount.read_only.then_some(true),
        ..EngineMount::default()
    }
}

fn mount(mount: &Mount) -> EngineMount {
    let is_image = mount.kind == MountKind::Image;
    EngineMount {
        typ: Some(match mount.kind {
            MountKind::Bind => MountType::BIND,
            MountKind::Volume => MountType::VOLUME,
            MountKind::Tmpfs => MountType::TMPFS,
            MountKind::Image => MountType::IMAGE,
        }),
        source: mount.source.clone(),
        target: Some(mount.target.clone()),
        read_only: mount.read_only.then_some(true),
        consistency: mount.consistency.clone(),
        bind_options: bind_options(mount),
        volume_options: volume_options(mount),
        image_options: mount
            .subpath
            .clone()
            .filter(|_| is_image)
            .map(|subpath| MountImageOptions { subpath: Some(subpath) }),
        tmpfs_options: (mount.tmpfs_size.is_some() || mount.tmpfs_mode.is_some()).then(|| MountTmpfsOptions {
            size_bytes: mount.tmpfs_size,
            mode: mount.tmpfs_mode.map(i64::from),
            options: None,
        }),
    }
}

fn bind_options(mount: &Mount) -> Option<MountBindOptions> {
    let is_said = mount.propagation.is_some() || mount.recursion.is_some() || mount.creates_source;
    let recursion = |wanted| (mount.recursion == Some(wanted)).then_some(true);
    is_said.then(|| MountBindOptions {
        propagation: mount.propagation.map(|propagation| match propagation {
            Propagation::Private => MountBindOptionsPropagationEnum::PRIVATE,
            Propagation::Rprivate => MountBindOptionsPropagationEnum::RPRIVATE,
            Propagation::Shared => MountBindOptionsPropagationEnum::SHARED,
            Propagation::Rshared => MountBindOptionsPropagationEnum::RSHARED,
            Propagation::Slave => MountBindOptionsPropagationEnum::SLAVE,
            Propagation::Rslave => MountBindOptionsPropagationEnum::RSLAVE,
        }),
        non_recursive: recursion(Recursion::Disabled),
        create_mountpoint: mount.creates_source.then_some(true),
        read_only_non_recursive: recursion(Recursion::Writable),
        read_only_force_recursive: recursion(Recursion::Readonly),
    })
}

fn volume_options(mount: &Mount) -> Option<MountVolumeOptions> {
    let options = some_map(&mount.driver_options);
    let driver_config = (mount.driver.is_some() || options.is_some())
        .then(|| MountVolumeOptionsDriverConfig { name: mount.driver.clone(), options });
    let labels = some_map(&mount.labels);
    let subpath = mount.subpath.clone().filter(|_| mount.kind == MountKind::Volume);
    let is_said = driver_config.is_some() || labels.is_some() || subpath.is_some() || mount.no_copy;
    let no_copy = mount.no_copy.then_some(true);
    is_said.then_some(MountVolumeOptions { no_copy, labels, driver_config, subpath })
}

/// Ports that are said to be served: what is published, and what is exposed.
fn exposed(spec: &ContainerSpec) -> Vec<String> {
    let published = spec.ports.iter().map(|port| (port.container, port.protocol));
    let all = published.chain(spec.exposed.iter().map(|port| (port.ports, port.protocol)));
    let ports: BTreeSet<String> =
        all.flat_map(|(range, protocol)| range.ports().map(move |port| format!("{port}/{protocol}"))).collect();
    ports.into_iter().collect()
}

fn port_bindings(spec: &ContainerSpec) -> Option<HashMap<String, Option<Vec<PortBinding>>>> {
    let mut bindings: HashMap<String, Vec<PortBinding>> = HashMap::new();
    for published in &spec.ports {
        for (port, host) in published.pairs() {
            let binding = PortBinding {
                host_ip: published.host_ip.map(|ip| ip.to_string()),
                host_port: host.map(|host| host.to_string()),
            };
            bindings.entry(format!("{port}/{}", published.protocol)).or_default().push(binding);
        }
    }
    (!bindings.is_empty()).then(|| bindings.into_iter().map(|(port, bindings)| (port, Some(bindings))).collect())
}

/// The networks of somebody's own; and, on the engine's default, the address of the network card.
fn networking(spec: &ContainerSpec) -> Option<NetworkingConfig> {
    let mut endpoints: HashMap<String, EndpointSettings> = HashMap::new();
    let default = Network::named("default");
    let first = spec.networks.first().unwrap_or(&default);
    for network in spec.networks.iter().filter(|network| !network.stands_alone()) {
        let mut settings = endpoint(network);
        if network == first {
            of_first(&mut settings, spec);
        }
        endpoints.insert(network.name.clone(), settings);
    }
    if first.stands_alone() && spec.mac_address.is_some() {
        let settings = EndpointSettings { mac_address: spec.mac_address.clone(), ..EndpointSettings::default() };
        endpoints.insert(first.name.clone(), settings);
    }
    (!endpoints.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(endpoints) })
}

fn endpoint(network: &Network) -> EndpointSettings {
    EndpointSettings {
        aliases: some(network.aliases.clone()),
        mac_address: network.mac_address.clone(),
        driver_opts: some_map(&network.driver_options),
        gw_priority: network.gateway_priority,
        ipam_config: addresses(network.ip.clone(), network.ip6.clone(), &network.link_local_ips),
        ..EndpointSettings::default()
    }
}

fn addresses(ip: Option<String>, ip6: Option<String>, link_local_ips: &[String]) -> Option<EndpointIpamConfig> {
    let is_said = ip.is_some() || ip6.is_some() || !link_local_ips.is_empty();
    is_said.then(|| EndpointIpamConfig {
        ipv4_address: ip,
        ipv6_address: ip6,
        link_local_ips: some(link_local_ips.to_vec()),
    })
}

/// Adds what the older switches say, which mean the first network.
fn of_first(settings: &mut EndpointSettings, spec: &ContainerSpec) {
    let aliases = settings.aliases.take().into_iter().flatten().chain(spec.network_aliases.iter().cloned());
    settings.aliases = some(aliases.collect());
    settings.links = some(spec.links.clone());
    settings.mac_address = spec.mac_address.clone().or(settings.mac_address.take());
    let own = settings.ipam_config.take().unwrap_or_default();
    let link_local: Vec<String> =
        own.link_local_ips.into_iter().flatten().chain(spec.link_local_ips.iter().cloned()).collect();
    settings.ipam_config =
        addresses(spec.ip.clone().or(own.ipv4_address), spec.ip6.clone().or(own.ipv6_address), &link_local);
}
