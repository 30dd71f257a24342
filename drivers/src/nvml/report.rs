//! Everything about the cards, for people.

use std::sync::Arc;

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use protocols::gpu::GpuCard;
use serde::Serialize;

use super::library::{identity, instances_of};
use super::raw::{RemappedRows, gpu_instance, remapped_rows};
use super::{GpuSample, NvmlError, NvmlProbe};

/// Longest name of a process that is asked for.
const NAME_LENGTH: usize = 128;

/// The machine's GPUs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MachineReport {
    /// Version of the driver.
    pub driver: Option<String>,
    /// The newest CUDA that it serves, as `13.0`.
    pub cuda: Option<String>,
    /// The cards, in PCI bus order.
    pub cards: Vec<CardReport>,
    /// The indexes of cards that do not answer, and why.
    pub unreadable: Vec<(u32, String)>,
}

/// One card. What it does not tell is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardReport {
    /// It.
    #[serde(flatten)]
    pub card: GpuCard,
    /// Where it is on the bus.
    pub pci_bus_id: Option<String>,
    /// Its NUMA node.
    pub numa_node: Option<u32>,
    /// How it is.
    #[serde(flatten)]
    pub sample: SampleReport,
    /// Whether it is in MIG mode; absent where it has none.
    pub mig_mode: Option<bool>,
    /// Its MIG devices.
    pub instances: Vec<InstanceReport>,
    /// Who uses it.
    pub processes: Vec<GpuProcess>,
    /// Memory errors that could not be corrected, ever.
    pub uncorrected_ecc_errors: Option<u64>,
    /// Rows of memory that were replaced.
    pub remapped_rows: Option<RemappedRows>,
}

/// How a card is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SampleReport {
    /// How much of the time something ran on it, in percent.
    pub utilisation_percent: Option<f64>,
    /// Temperature of the chip, in °C.
    pub temperature_celsius: Option<f64>,
    /// Memory in use, in MiB.
    pub memory_used_mb: Option<f64>,
    /// Power drawn, in watts.
    pub power_watts: Option<f64>,
    /// The most that it may draw, in watts.
    pub power_limit_watts: Option<f64>,
}

/// A MIG device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceReport {
    /// It; its index is that of its card.
    #[serde(flatten)]
    pub instance: GpuCard,
    /// The number of its GPU instance.
    pub gpu_instance: Option<u32>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
}

/// A process on a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GpuProcess {
    /// Its id.
    pub pid: u32,
    /// The name of its program, where it can be seen from here.
    pub name: Option<String>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// The GPU instance that it is on.
    pub gpu_instance: Option<u32>,
    /// Whether it computes; a desktop only draws.
    pub computes: bool,
}

impl NvmlProbe {
    /// Everything about all cards. Blocks.
    pub fn report(&self) -> Result<MachineReport, NvmlError> {
        let count = self.nvml.device_count().map_err(|source| NvmlError::NotUsable { source: Arc::new(source) })?;
        let cuda = self.nvml.sys_cuda_driver_version().ok();
        let mut report = MachineReport {
            driver: self.nvml.sys_driver_version().ok(),
            cuda: cuda.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
            cards: Vec::new(),
            unreadable: Vec::new(),
        };
        for index in 0..count {
            match self.card_report(index) {
                Ok(card) => report.cards.push(card),
                Err(error) => report.unreadable.push((index, error.to_string())),
            }
        }
        Ok(report)
    }

    fn card_report(&self, index: u32) -> Result<CardReport, nvml_wrapper::error::NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        let card = identity(&device, index)?;
        Ok(CardReport {
            pci_bus_id: device.pci_info().ok().map(|pci| pci.bus_id),
            numa_node: numa_node(&device),
            sample: SampleReport::of(&device, &card),
            mig_mode: device.mig_mode().ok().map(|mode| mode.current != 0),
            instances: self.instance_reports(&device, index),
            processes: self.named_processes(&device),
            uncorrected_ecc_errors: device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Aggregate).ok(),
            remapped_rows: remapped_rows(&self.nvml, &device),
            card,
        })
    }

    fn instance_reports(&self, device: &Device<'_>, index: u32) -> Vec<InstanceReport> {
        let instances = instances_of(device).into_iter().filter_map(|device| {
            Some(InstanceReport {
                instance: identity(&device, index).ok()?,
                gpu_instance: gpu_instance(&self.nvml, &device),
                memory_used_bytes: device.memory_info().ok().map(|memory| memory.used),
            })
        });
        instances.collect()
    }

    fn named_processes(&self, device: &Device<'_>) -> Vec<GpuProcess> {
        let mut processes = processes(device);
        for process in &mut processes {
            process.name = self.nvml.sys_process_name(process.pid, NAME_LENGTH).ok();
        }
        processes
    }
}

/// Where the kernel names no node, and there is one alone, that is it.
fn numa_node(device: &Device<'_>) -> Option<u32> {
    // -1, as the kernel says it.
    let told = device.numa_node_id().ok().filter(|node| *node != u32::MAX);
    let only = || std::fs::read_to_string("/sys/devices/system/node/online").ok()?.trim().parse().ok();
    told.or_else(only)
}

/// Who uses a card, without names.
pub(super) fn processes(device: &Device<'_>) -> Vec<GpuProcess> {
    let mut all: Vec<(ProcessInfo, bool)> =
        device.running_compute_processes().unwrap_or_default().into_iter().map(|process| (process, true)).collect();
    // Some drivers have those that compute through MPS in a list of their own.
    for process in device.mps_running_compute_processes().unwrap_or_default() {
        if !all.iter().any(|(known, _)| known.pid == process.pid) {
            all.push((process, true));
        }
    }
    for process in device.running_graphics_processes().unwrap_or_default() {
        if !all.iter().any(|(known, _)| known.pid == process.pid) {
            all.push((process, false));
        }
    }
    let processes = all.into_iter().map(|(process, computes)| GpuProcess {
        pid: process.pid,
        name: None,
        memory_bytes: match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
        gpu_instance: process.gpu_instance_id,
        computes,
    });
    processes.collect()
}

impl SampleReport {
    fn of(device: &Device<'_>, card: &GpuCard) -> Self {
        let GpuSample { utilisation_percent, temperature_celsius, memory_used_mb, power_watts, .. } =
            GpuSample::of(device, card.id.clone(), card.index);
        let power_limit_watts = device.enforced_power_limit().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0);
        Self { utilisation_percent, temperature_celsius, memory_used_mb, power_watts, power_limit_watts }
    }
}
