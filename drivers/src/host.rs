//! The machine: its name, and how busy it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use procfs::{Current, CurrentSI};
use protocols::clearml::workers::MachineStats;

use crate::nvml::GpuSample;

const BYTES_PER_MB: f64 = 1024.0 * 1024.0;

/// Unit of the kernel's disk counters, in bytes, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// Drivers whose temperature is that of the processor.
const CPU_SENSORS: [&str; 5] = ["coretemp", "k10temp", "zenpower", "cpu_thermal", "x86_pkg_temp"];

/// The machine's name; `localhost` where it has none.
pub fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// How the machine is. What cannot be measured here is absent; so are rates in the first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostStats {
    /// Use of all cores together since the sample before, in percent.
    pub cpu_percent: Option<f64>,
    /// Hottest processor sensor, in °C.
    pub cpu_temperature_celsius: Option<f64>,
    /// Memory that is not available, in MB (1024²).
    pub memory_used_mb: Option<f64>,
    /// Memory that programs can still get, in MB (1024²).
    pub memory_free_mb: Option<f64>,
    /// Free space of the watched file system, in percent.
    pub disk_free_percent: Option<f64>,
    /// Read from all disks since the sample before, in MB/s.
    pub disk_read_mbs: Option<f64>,
    /// Written to all disks since the sample before, in MB/s.
    pub disk_write_mbs: Option<f64>,
    /// Received since the sample before, in MB/s, loopback excluded.
    pub network_rx_mbs: Option<f64>,
    /// Sent since the sample before, in MB/s, loopback excluded.
    pub network_tx_mbs: Option<f64>,
}

impl HostStats {
    /// These, and the cards given, in the form and the units of a status report.
    pub fn to_machine_stats(&self, gpus: &[GpuSample]) -> MachineStats {
        let each = |value: fn(&GpuSample) -> Option<f64>| -> Vec<f64> {
            // A list has one value per card or is left out: the server tells cards apart by position.
            gpus.iter().map(value).collect::<Option<Vec<f64>>>().unwrap_or_default()
        };
        MachineStats {
            cpu_usage: self.cpu_percent.into_iter().collect(),
            cpu_temperature: self.cpu_temperature_celsius.into_iter().collect(),
            memory_used: self.memory_used_mb,
            memory_free: self.memory_free_mb,
            disk_free_home: self.disk_free_percent,
            disk_read: self.disk_read_mbs,
            disk_write: self.disk_write_mbs,
            network_rx: self.network_rx_mbs,
            network_tx: self.network_tx_mbs,
            gpu_usage: each(|gpu| gpu.utilisation_percent),
            gpu_temperature: each(|gpu| gpu.temperature_celsius),
            gpu_memory_used: each(|gpu| gpu.memory_used_mb),
            gpu_memory_free: each(|gpu| gpu.memory_free_mb),
        }
    }
}

/// Takes samples; rates are between one sample and the next.
#[derive(Debug)]
pub struct HostSampler {
    disk_path: PathBuf,
    disks: BTreeSet<String>,
    before: Option<Counters>,
}

impl HostSampler {
    /// Watches the file system of `disk_path`: the home directory, as a rule.
    pub fn new(disk_path: PathBuf) -> Self {
        Self { disk_path, disks: physical_disks(Path::new("/sys/block")), before: None }
    }

    /// Reads a dozen small files of the kernel: quick, but not for an actor's thread.
    pub fn sample(&mut self) -> HostStats {
        let now = Counters::read(&self.disks);
        let rates = self.before.as_ref().map(|before| now.since(before)).unwrap_or_default();
        self.before = Some(now);
        let memory = procfs::Meminfo::current().ok();
        let available = memory.as_ref().map(|memory| memory.mem_available.unwrap_or(memory.mem_free));
        let total = memory.as_ref().map(|memory| memory.mem_total);
        HostStats {
            cpu_temperature_celsius: cpu_temperature(Path::new("/sys/class/hwmon")),
            memory_used_mb: total.zip(available).map(|(total, free)| total.saturating_sub(free) as f64 / BYTES_PER_MB),
            memory_free_mb: available.map(|free| free as f64 / BYTES_PER_MB),
            disk_free_percent: disk_free_percent(&self.disk_path),
            ..rates
        }
    }
}

/// What only ever grows.
#[derive(Debug)]
struct Counters {
    at: Instant,
    cpu: Option<CpuTicks>,
    disk: Option<Traffic>,
    network: Option<Traffic>,
}

#[derive(Clone, Copy, Debug)]
struct CpuTicks {
    busy: u64,
    total: u64,
}

/// Bytes in and out.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    read: u64,
    written: u64,
}

impl Counters {
    fn read(disks: &BTreeSet<String>) -> Self {
        Self { at: Instant::now(), cpu: cpu_ticks(), disk: disk_traffic(disks), network: network_traffic() }
    }

    /// The rates from `before` to this.
    fn since(&self, before: &Self) -> HostStats {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let rate = |new: u64, old: u64| {
            // A counter that went back was reset, with its device.
            let bytes = new.checked_sub(old)?;
            (seconds > 0.0).then(|| bytes as f64 / BYTES_PER_MB / seconds)
        };
        let disk = self.disk.zip(before.disk);
        let network = self.network.zip(before.network);
        HostStats {
            cpu_percent: self.cpu.zip(before.cpu).and_then(|(new, old)| new.busy_percent_since(old)),
            disk_read_mbs: disk.and_then(|(new, old)| rate(new.read, old.read)),
            disk_write_mbs: disk.and_then(|(new, old)| rate(new.written, old.written)),
            network_rx_mbs: network.and_then(|(new, old)| rate(new.read, old.read)),
            network_tx_mbs: network.and_then(|(new, old)| rate(new.written, old.written)),
            ..HostStats::default()
        }
    }
}

impl CpuTicks {
    fn busy_percent_since(self, before: Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|total| *total > 0)?;
        // The kernel's idle time may go back a little; so, then, may the busy time.
        let busy = self.busy.saturating_sub(before.busy).min(total);
        Some(100.0 * busy as f64 / total as f64)
    }
}

fn cpu_ticks() -> Option<CpuTicks> {
    let time = procfs::KernelStats::current().ok()?.total;
    let idle = time.idle + time.iowait.unwrap_or(0);
    // Guest time is counted in user time already.
    let busy = time.user
        + time.nice
        + time.system
        + time.irq.unwrap_or(0)
        + time.softirq.unwrap_or(0)
        + time.steal.unwrap_or(0);
    Some(CpuTicks { busy, total: busy + idle })
}

fn disk_traffic(disks: &BTreeSet<String>) -> Option<Traffic> {
    let mut sum = Traffic::default();
    for disk in procfs::diskstats().ok()?.iter().filter(|disk| disks.contains(&disk.name)) {
        sum.read += disk.sectors_read * SECTOR_BYTES;
        sum.written += disk.sectors_written * SECTOR_BYTES;
    }
    Some(sum)
}

fn network_traffic() -> Option<Traffic> {
    let mut sum = Traffic::default();
    for device in procfs::net::dev_status().ok()?.values().filter(|device| device.name != "lo") {
        sum.read += device.recv_bytes;
        sum.written += device.sent_bytes;
    }
    Some(sum)
}

/// Whole disks of hardware or of a hypervisor: not their partitions, nor what is stacked upon them.
fn physical_disks(block_devices: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(block_devices) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn disk_free_percent(path: &Path) -> Option<f64> {
    let status = nix::sys::statvfs::statvfs(path).ok()?;
    let total = status.blocks();
    (total > 0).then(|| 100.0 * status.blocks_available() as f64 / total as f64)
}

fn cpu_temperature(sensors: &Path) -> Option<f64> {
    let of_cpu = |directory: &PathBuf| {
        fs::read_to_string(directory.join("name")).is_ok_and(|name| CPU_SENSORS.contains(&name.trim()))
    };
    let millidegrees = fs::read_dir(sensors)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(of_cpu)
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten())
        .filter(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("temp") && name.ends_with("_input")
        })
        .filter_map(|file| fs::read_to_string(file.path()).ok()?.trim().parse::<i64>().ok())
        .max()?;
    Some(millidegrees as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocols::ids::GpuId;

    use super::*;

    fn counters(seconds: u64, busy: u64, total: u64, bytes: u64) -> Counters {
        // One base for all, so that differences are exact.
        static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let traffic = Some(Traffic { read: bytes, written: bytes * 2 });
        Counters {
            at: *BASE.get_or_init(Instant::now) + Duration::from_secs(seconds),
            cpu: Some(CpuTicks { busy, total }),
            disk: traffic,
            network: traffic,
        }
    }

    #[test]
    fn rates_are_per_second_and_in_megabytes() {
        let stats = counters(14, 25, 200, 21 << 20).since(&counters(4, 0, 100, 1 << 20));
        assert_eq!(stats.cpu_percent, Some(25.0));
        assert_eq!((stats.disk_read_mbs, stats.disk_write_mbs), (Some(2.0), Some(4.0)));
        assert_eq!((stats.network_rx_mbs, stats.network_tx_mbs), (Some(2.0), Some(4.0)));
    }

    #[test]
    fn counters_that_went_back_give_no_rate() {
        let stats = counters(2, 5, 50, 1).since(&counters(1, 10, 100, 9));
        assert_eq!(stats, HostStats::default());
        let same_instant = counters(1, 5, 50, 9).since(&counters(1, 0, 0, 0));
        assert_eq!((same_instant.disk_read_mbs, same_instant.cpu_percent), (None, Some(10.0)));
    }

    #[test]
    fn this_machine_can_be_measured() {
        let mut sampler = HostSampler::new(std::env::temp_dir());
        let first = sampler.sample();
        assert_eq!((first.cpu_percent, first.network_rx_mbs), (None, None), "no rate without a sample before");
        let memory = first.memory_used_mb.unwrap() + first.memory_free_mb.unwrap();
        assert!(memory > 64.0 && memory < 1e9, "{memory} MB");
        let free = first.disk_free_percent.unwrap();
        assert!((0.0..=100.0).contains(&free), "{free} %");
        let second = sampler.sample();
        assert!(second.network_rx_mbs.is_some_and(|rate| rate >= 0.0), "{second:?}");
        assert!(!hostname().is_empty());
    }

    #[test]
    fn the_hottest_cpu_sensor_is_found() {
        let root = tempfile::tempdir().unwrap();
        for (directory, name, values) in
            [("hwmon0", "nvme", &["99000"][..]), ("hwmon1", "coretemp", &["41000", "43500"]), ("hwmon2", "x", &[])]
        {
            let directory = root.path().join(directory);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("name"), format!("{name}\n")).unwrap();
            for (number, value) in values.iter().enumerate() {
                fs::write(directory.join(format!("temp{number}_input")), format!("{value}\n")).unwrap();
                fs::write(directory.join(format!("temp{number}_crit")), "100000\n").unwrap();
            }
        }
        assert_eq!(cpu_temperature(root.path()), Some(43.5));
        assert_eq!(cpu_temperature(&root.path().join("none")), None);
    }

    #[test]
    fn partitions_and_stacked_devices_are_not_disks() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("vda/device")).unwrap();
        fs::create_dir_all(root.path().join("loop0")).unwrap();
        assert_eq!(physical_disks(root.path()), BTreeSet::from(["vda".to_owned()]));
    }

    #[test]
    fn a_report_has_a_value_for_every_card_or_none() {
        let known = GpuSample {
            utilisation_percent: Some(50.0),
            temperature_celsius: Some(60.0),
            ..GpuSample::unknown(GpuId::from("a"), 0)
        };
        let partly = GpuSample { temperature_celsius: Some(61.0), ..GpuSample::unknown(GpuId::from("b"), 1) };
        let stats = HostStats { cpu_percent: Some(12.0), ..HostStats::default() }.to_machine_stats(&[known, partly]);
        assert_eq!(stats.cpu_usage, [12.0]);
        assert_eq!((stats.gpu_temperature, stats.gpu_usage), (vec![60.0, 61.0], vec![]));
        assert!(HostStats::default().to_machine_stats(&[]).gpu_usage.is_empty());
    }
}
