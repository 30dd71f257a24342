//! The table of all switches of `docker run`.

use super::error::ValueError;
use super::spec::{ContainerSpec, HealthCheck};
use super::switch::Switch;
use super::values::device::device;
use super::values::gpus::gpus;
use super::values::mount::mount;
use super::values::network::network;
use super::values::number::{
    block_bytes, block_number, block_weight, cpu_list, cpus, health_duration, size, size_or_unlimited, ulimit, whole,
};
use super::values::port::{exposed, published};
use super::values::text::{
    absolute, capability, cgroup_namespace, container_name, device_rule, host_entry, hostname, ip, ip4, ip6, isolation,
    label, link, mac, namespace, pair, pull, restart, signal, text, tmpfs, variable, word,
};
use super::values::volume::volume;

const NO_TERMINAL: &str = "a task has no terminal";
const WINDOWS: &str = "only Windows has it";
const NUMBER: &str = "a whole number, 0 or more";

/// Every switch of `docker run`: what it is called, and where its value goes.
pub static SWITCHES: &[Switch] = &[
    Switch::list("add-host", |spec, text| add(&mut spec.extra_hosts, host_entry(text))),
    Switch::list("annotation", |spec, text| named(&mut spec.annotations, label(text))),
    Switch::idle("attach", "the task's output goes to its log in any case").short('a'),
    Switch::value("blkio-weight", |spec, text| {
        const WEIGHT: &str = "0, or a number from 10 to 1000";
        let weight = whole(text, 0, 1000, WEIGHT)?;
        let weight = u16::try_from(weight).ok().filter(|weight| *weight == 0 || *weight >= 10);
        put(&mut spec.limits.block_weight, weight.ok_or(ValueError::Expected(WEIGHT)))
    }),
    Switch::list("blkio-weight-device", |spec, text| add(&mut spec.limits.block_weights, block_weight(text))),
    Switch::list("cap-add", |spec, text| add(&mut spec.added_capabilities, capability(text))),
    Switch::list("cap-drop", |spec, text| add(&mut spec.dropped_capabilities, capability(text))),
    Switch::value("cgroup-parent", |spec, text| put(&mut spec.limits.cgroup_parent, word(text))),
    Switch::value("cgroupns", |spec, text| put(&mut spec.cgroupns, cgroup_namespace(text))),
    Switch::refused("cidfile", "the container is known by its labels, `docker ps --filter label=..` finds it"),
    Switch::refused("cpu-count", WINDOWS),
    Switch::refused("cpu-percent", WINDOWS),
    Switch::value("cpu-period", |spec, text| put(&mut spec.limits.cpu_period, natural(text))),
    Switch::value("cpu-quota", |spec, text| {
        put(&mut spec.limits.cpu_quota, whole(text, -1, i64::MAX, "a number of microseconds, or -1"))
    }),
    Switch::value("cpu-rt-period", |spec, text| put(&mut spec.limits.cpu_realtime_period, natural(text))),
    Switch::value("cpu-rt-runtime", |spec, text| put(&mut spec.limits.cpu_realtime_runtime, natural(text))),
    Switch::value("cpu-shares", |spec, text| put(&mut spec.limits.cpu_shares, natural(text))).short('c'),
    Switch::value("cpus", |spec, text| put(&mut spec.limits.nano_cpus, cpus(text))),
    Switch::value("cpuset-cpus", |spec, text| put(&mut spec.limits.cpuset_cpus, cpu_list(text))),
    Switch::value("cpuset-mems", |spec, text| put(&mut spec.limits.cpuset_mems, cpu_list(text))),
    Switch::idle_flag("detach", "the agent waits for the task's end in any case").short('d'),
    Switch::refused("detach-keys", NO_TERMINAL),
    Switch::list("device", device),
    Switch::list("device-cgroup-rule", |spec, text| add(&mut spec.device_rules, device_rule(text))),
    Switch::list("device-read-bps", |spec, text| add(&mut spec.limits.read_bytes, block_bytes(text))),
    Switch::list("device-read-iops", |spec, text| add(&mut spec.limits.read_operations, block_number(text))),
    Switch::list("device-write-bps", |spec, text| add(&mut spec.limits.write_bytes, block_bytes(text))),
    Switch::list("device-write-iops", |spec, text| add(&mut spec.limits.write_operations, block_number(text))),
    Switch::idle_flag("disable-content-trust", "signatures of images are not looked at in any case"),
    Switch::list("dns", |spec, text| add(&mut spec.dns, ip(text))),
    Switch::list("dns-option", |spec, text| add(&mut spec.dns_options, word(text))).alias("dns-opt"),
    Switch::list("dns-search", |spec, text| add(&mut spec.dns_search, word(text))),
    Switch::value("domainname", |spec, text| put(&mut spec.domainname, hostname(text))),
    // Empty is a value: no entrypoint at all.
    Switch::value("entrypoint", |spec, text| put(&mut spec.entrypoint, Ok(text.to_owned()))),
    Switch::list("env", |spec, text| named(&mut spec.environment, variable(text))).short('e').secret(),
    Switch::list("env-file", |spec, text| add(&mut spec.environment_files, absolute(text))),
    Switch::list("expose", |spec, text| add(&mut spec.exposed, exposed(text))),
    Switch::value("gpus", |spec, text| put(&mut spec.gpus, gpus(text))),
    Switch::list("group-add", |spec, text| add(&mut spec.groups, word(text))),
    Switch::value("health-cmd", |spec, line| put(&mut health(spec).command, text(line))).secret(),
    Switch::value("health-interval", |spec, text| put(&mut health(spec).interval, health_duration(text))),
    Switch::value("health-retries", |spec, text| put(&mut health(spec).retries, natural(text))),
    Switch::value("health-start-interval", |spec, text| put(&mut health(spec).start_interval, health_duration(text))),
    Switch::value("health-start-period", |spec, text| put(&mut health(spec).start_period, health_duration(text))),
    Switch::value("health-timeout", |spec, text| put(&mut health(spec).timeout, health_duration(text))),
    Switch::refused_flag("help", "it asks for the manual"),
    Switch::value("hostname", |spec, text| put(&mut spec.hostname, hostname(text))).short('h'),
    Switch::idle_flag("init", "the task runs below a process of ours in any case, which takes care of orphans"),
    Switch::idle_flag("interactive", "a task has no standard input").short('i'),
    Switch::refused("io-maxbandwidth", WINDOWS),
    Switch::refused("io-maxiops", WINDOWS),
    Switch::value("ip", |spec, text| put(&mut spec.ip, ip4(text))),
    Switch::value("ip6", |spec, text| put(&mut spec.ip6, ip6(text))),
    Switch::value("ipc", |spec, text| {
        const KINDS: [&str; 6] = ["none", "private", "shareable", "host", "container", "ns"];
        put(&mut spec.ipc, namespace(text, &KINDS, "host, private, shareable, none or container:NAME"))
    }),
    Switch::value("isolation", |_, text| isolation(text)),
    Switch::idle("kernel-memory", "engines no longer limit the kernel's memory; `--memory` holds it"),
    Switch::list("label", |spec, text| named(&mut spec.labels, label(text))).short('l'),
    Switch::list("label-file", |spec, text| add(&mut spec.label_files, absolute(text))),
    Switch::list("link", |spec, text| add(&mut spec.links, link(text))),
    Switch::list("link-local-ip", |spec, text| add(&mut spec.link_local_ips, ip(text))),
    Switch::value("log-driver", |spec, text| put(&mut spec.log_driver, word(text))),
    Switch::list("log-opt", |spec, text| named(&mut spec.log_options, pair(text))).secret(),
    Switch::value("mac-address", |spec, text| put(&mut spec.mac_address, mac(text))),
    Switch::value("memory", |spec, text| put(&mut spec.limits.memory, size(text))).short('m'),
    Switch::value("memory-reservation", |spec, text| put(&mut spec.limits.memory_reservation, size(text))),
    Switch::value("memory-swap", |spec, text| put(&mut spec.limits.memory_swap, size_or_unlimited(text))),
    Switch::value("memory-swappiness", |spec, text| {
        put(&mut spec.limits.memory_swappiness, whole(text, -1, 100, "a number from 0 to 100, or -1"))
    }),
    Switch::list("mount", |spec, text| add(&mut spec.mounts, mount(text))),
    Switch::value("name", |spec, text| put(&mut spec.name, container_name(text))),
    Switch::list("network", |spec, text| network(&mut spec.networks, text)).alias("net"),
    Switch::list("network-alias", |spec, text| add(&mut spec.network_aliases, word(text))).alias("net-alias"),
    Switch::flag("no-healthcheck", |spec, yes| health(spec).disabled = yes),
    Switch::flag("oom-kill-disable", |spec, yes| spec.limits.without_oom_kill = Some(yes)),
    Switch::value("oom-score-adj", |spec, text| {
        put(&mut spec.limits.oom_score, whole(text, -1000, 1000, "a number from -1000 to 1000"))
    }),
    Switch::value("pid", |spec, text| {
        put(&mut spec.pid, namespace(text, &["host", "private", "container", "ns"], "host, private or container:NAME"))
    }),
    Switch::value("pids-limit", |spec, text| {
        put(&mut spec.limits.pids, whole(text, -1, i64::MAX, "a number, or -1 for no limit"))
    }),
    Switch::value("platform", |spec, text| put(&mut spec.platform, word(text))),
    Switch::flag("privileged", |spec, yes| spec.privileged = Some(yes)),
    Switch::list("publish", |spec, text| add(&mut spec.ports, published(text))).short('p'),
    Switch::flag("publish-all", |spec, yes| spec.publish_all = Some(yes)).short('P'),
    Switch::value("pull", |spec, text| put(&mut spec.pull, pull(text))),
    Switch::idle_flag("quiet", "how far a pull is stands in the task's log").short('q'),
    Switch::flag("read-only", |spec, yes| spec.read_only = Some(yes)),
    Switch::value("restart", |_, text| restart(text)),
    Switch::idle_flag("rm", "the container of a task is removed in any case"),
    Switch::value("runtime", |spec, text| put(&mut spec.runtime, word(text))),
    Switch::list("security-opt", |spec, text| add(&mut spec.security_options, word(text))),
    Switch::value("shm-size", |spec, text| put(&mut spec.limits.shm_size, size(text))),
    Switch::idle_flag("sig-proxy", "the task gets the agent's signals in any case"),
    Switch::value("stop-signal", |spec, text| put(&mut spec.stop_signal, signal(text))),
    Switch::value("stop-timeout", |spec, text| {
        put(&mut spec.stop_timeout, whole(text, -1, i64::from(i32::MAX), "a number of seconds, or -1"))
    }),
    Switch::list("storage-opt", |spec, text| named(&mut spec.storage_options, pair(text))),
    Switch::list("sysctl", |spec, text| named(&mut spec.sysctls, pair(text))),
    Switch::list("tmpfs", |spec, text| named(&mut spec.tmpfs, tmpfs(text))),
    Switch::idle_flag("tty", NO_TERMINAL).short('t'),
    Switch::list("ulimit", |spec, text| {
        let limit = ulimit(text)?;
        spec.limits.ulimits.retain(|other| other.name != limit.name);
        add(&mut spec.limits.ulimits, Ok(limit))
    }),
    Switch::refused_flag(
        "use-api-socket",
        "it would hand the engine with your credentials to the task; where that is meant, mount the socket with \
         `-v /var/run/docker.sock:/var/run/docker.sock`",
    ),
    Switch::value("user", |spec, text| put(&mut spec.user, word(text))).short('u'),
    Switch::value("userns", |spec, text| {
        const KINDS: [&str; 7] = ["host", "private", "keep-id", "auto", "nomap", "container", "ns"];
        put(&mut spec.userns, namespace(text, &KINDS, "host, private, or of Podman keep-id, auto or nomap"))
    }),
    Switch::value("uts", |spec, text| {
        put(&mut spec.uts, namespace(text, &["host", "private", "container", "ns"], "host, private or container:NAME"))
    }),
    Switch::list("volume", |spec, text| add(&mut spec.volumes, volume(text))).short('v'),
    Switch::value("volume-driver", |spec, text| put(&mut spec.volume_driver, word(text))),
    Switch::list("volumes-from", |spec, text| add(&mut spec.volumes_from, word(text))),
    Switch::value("workdir", |spec, text| put(&mut spec.working_dir, absolute(text))).short('w'),
];

fn put<T>(slot: &mut Option<T>, value: Result<T, ValueError>) -> Result<(), ValueError> {
    *slot = Some(value?);
    Ok(())
}

fn add<T>(list: &mut Vec<T>, value: Result<T, ValueError>) -> Result<(), ValueError> {
    list.push(value?);
    Ok(())
}

/// A later value for the same name replaces the earlier one.
fn named<T>(list: &mut Vec<(String, T)>, value: Result<(String, T), ValueError>) -> Result<(), ValueError> {
    let (name, value) = value?;
    list.retain(|(other, _)| *other != name);
    list.push((name, value));
    Ok(())
}

fn natural(text: &str) -> Result<i64, ValueError> {
    whole(text, 0, i64::MAX, NUMBER)
}

fn health(spec: &mut ContainerSpec) -> &mut HealthCheck {
    spec.health.get_or_insert_default()
}
