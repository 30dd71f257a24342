//! The structures of the C interface.

use std::ffi::c_char;

use crate::library::{Handle, PartHandle};

#[repr(C)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) used: u64,
}

#[repr(C)]
pub(crate) struct MemoryV2 {
    pub(crate) version: u32,
    pub(crate) total: u64,
    pub(crate) reserved: u64,
    pub(crate) free: u64,
    pub(crate) used: u64,
}

#[repr(C)]
pub(crate) struct Utilisation {
    pub(crate) gpu: u32,
    pub(crate) memory: u32,
}

#[repr(C)]
pub(crate) struct ProcessV2 {
    pub(crate) pid: u32,
    pub(crate) used_memory: u64,
    pub(crate) gpu_instance: u32,
    pub(crate) compute_instance: u32,
}

#[repr(C)]
pub(crate) struct EventData {
    pub(crate) device: Handle,
    pub(crate) kind: u64,
    pub(crate) data: u64,
    pub(crate) gpu_instance: u32,
    pub(crate) compute_instance: u32,
}

#[repr(C)]
pub(crate) struct Pci {
    pub(crate) bus_id_legacy: [c_char; 16],
    pub(crate) domain: u32,
    pub(crate) bus: u32,
    pub(crate) device: u32,
    pub(crate) device_id: u32,
    pub(crate) subsystem_id: u32,
    pub(crate) bus_id: [c_char; 32],
}

#[repr(C)]
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) multiprocessors: u32,
    pub(crate) copy_engines: u32,
    pub(crate) decoders: u32,
    pub(crate) encoders: u32,
    pub(crate) jpegs: u32,
    pub(crate) ofas: u32,
    pub(crate) gpu_slices: u32,
    pub(crate) compute_slices: u32,
    pub(crate) memory_mib: u64,
}

/// `nvmlGpuInstanceProfileInfo_v2_t`.
#[repr(C)]
pub(crate) struct GpuProfile {
    pub(crate) version: u32,
    pub(crate) id: u32,
    pub(crate) is_p2p_supported: u32,
    pub(crate) slice_count: u32,
    pub(crate) instance_count: u32,
    pub(crate) multiprocessors: u32,
    pub(crate) copy_engines: u32,
    pub(crate) decoders: u32,
    pub(crate) encoders: u32,
    pub(crate) jpegs: u32,
    pub(crate) ofas: u32,
    pub(crate) memory_mib: u64,
    pub(crate) name: [c_char; 96],
}

/// `nvmlGpuInstancePlacement_t`, and that of compute instances.
#[repr(C)]
pub(crate) struct Placement {
    pub(crate) start: u32,
    pub(crate) size: u32,
}

#[repr(C)]
pub(crate) struct GpuInstanceInfo {
    pub(crate) device: Handle,
    pub(crate) id: u32,
    pub(crate) profile: u32,
    pub(crate) placement: Placement,
}

/// `nvmlComputeInstanceProfileInfo_t`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct ComputeProfile {
    pub(crate) id: u32,
    pub(crate) slice_count: u32,
    pub(crate) instance_count: u32,
    pub(crate) multiprocessors: u32,
    pub(crate) copy_engines: u32,
    pub(crate) decoders: u32,
    pub(crate) encoders: u32,
    pub(crate) jpegs: u32,
    pub(crate) ofas: u32,
}

#[repr(C)]
pub(crate) struct ComputeInstanceInfo {
    pub(crate) device: Handle,
    pub(crate) instance: PartHandle,
    pub(crate) id: u32,
    pub(crate) profile: u32,
    pub(crate) placement: Placement,
}
