//! What a container may use at most.

use serde::{Deserialize, Serialize};

/// Limits of processor, memory and devices. Sizes are bytes; -1 is without limit where an engine knows that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// `--memory`.
    pub memory: Option<i64>,
    /// `--memory-swap`: memory and swap together.
    pub memory_swap: Option<i64>,
    /// `--memory-reservation`.
    pub memory_reservation: Option<i64>,
    /// `--memory-swappiness`: 0 to 100, or -1.
    pub memory_swappiness: Option<i64>,
    /// `--shm-size`.
    pub shm_size: Option<i64>,
    /// `--cpus`, in billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<i64>,
    /// `--cpu-period`, in microseconds.
    pub cpu_period: Option<i64>,
    /// `--cpu-quota`, in microseconds.
    pub cpu_quota: Option<i64>,
    /// `--cpu-rt-period`, in microseconds.
    pub cpu_realtime_period: Option<i64>,
    /// `--cpu-rt-runtime`, in microseconds.
    pub cpu_realtime_runtime: Option<i64>,
    /// `--cpuset-cpus`: `0-3,8`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--pids-limit`.
    pub pids: Option<i64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--blkio-weight`: 0, or 10 to 1000.
    pub block_weight: Option<u16>,
    /// `--blkio-weight-device`.
    pub block_weights: Vec<BlockDevice>,
    /// `--device-read-bps`, in bytes a second.
    pub read_bytes: Vec<BlockDevice>,
    /// `--device-write-bps`, in bytes a second.
    pub write_bytes: Vec<BlockDevice>,
    /// `--device-read-iops`.
    pub read_operations: Vec<BlockDevice>,
    /// `--device-write-iops`.
    pub write_operations: Vec<BlockDevice>,
    /// `--oom-kill-disable`.
    pub without_oom_kill: Option<bool>,
    /// `--oom-score-adj`.
    pub oom_score: Option<i64>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
}

/// A limit of the kernel for one process: `--ulimit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`.
    pub name: String,
    /// What it begins with; -1 is without limit.
    pub soft: i64,
    /// How far a process may raise it.
    pub hard: i64,
}

/// A number for one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// `/dev/sda`.
    pub path: String,
    /// A weight, or how much a second.
    pub amount: i64,
}
