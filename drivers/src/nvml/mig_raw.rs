//! The functions of the library that divide cards (MIG): its safe wrapper has none of them.
//!
//! Handles of instances are valid until the card is divided anew: none leaves this module's callers for longer than one
//! piece of work.

#![expect(unsafe_code, reason = "C functions that nobody has wrapped")]

use std::ffi::CStr;
use std::sync::Arc;

use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    nvmlComputeInstance_t, nvmlComputeInstanceProfileInfo_t, nvmlDevice_t, nvmlGpuInstance_t, nvmlGpuInstanceInfo_t,
    nvmlGpuInstancePlacement_t, nvmlGpuInstanceProfileInfo_v2_t,
};

/// More sizes than the library numbers.
const PROFILES: u32 = 64;
/// More kinds of compute instances than it numbers.
const COMPUTE_PROFILES: u32 = 16;
/// The engines of a compute instance are shared.
const SHARED_ENGINES: u32 = 0;
/// More instances than a card, or places than a size, can have.
const MOST: usize = 64;

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {source}")]
pub struct CallError {
    /// The function.
    pub call: &'static str,
    /// What the library said.
    #[source]
    pub source: Arc<NvmlError>,
}

/// A size as the library numbers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawProfile {
    pub(super) id: u32,
    /// As `1g.10gb`; empty where the driver does not say.
    pub(super) name: String,
    pub(super) slices: u32,
    pub(super) most: u32,
}

/// An instance that there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawInstance {
    pub(super) id: u32,
    pub(super) start: u32,
    handle: nvmlGpuInstance_t,
}

/// Calls a function that the driver may not have.
macro_rules! call {
    ($nvml:expr, $name:ident($($argument:expr),* $(,)?)) => {{
        let failed = |source| CallError { call: stringify!($name), source: Arc::new(source) };
        let function = $nvml.lib().$name.as_ref();
        let function = function.map_err(|error| failed(NvmlError::FailedToLoadSymbol(error.to_string())))?;
        // SAFETY: the library is loaded as long as `$nvml` lives. Every use below passes handles that this library gave
        // since the card was divided last, and pointers to variables of its own that outlive the call and have the
        // length that is passed with them.
        nvml_try(unsafe { function($($argument),*) }).map_err(failed)
    }};
}

/// A card of which instances are made and destroyed.
pub(super) struct Divider<'nvml> {
    nvml: &'nvml Nvml,
    device: nvmlDevice_t,
}

impl<'nvml> Divider<'nvml> {
    pub(super) fn new(nvml: &'nvml Nvml, device: &Device<'nvml>) -> Self {
        // SAFETY: the handle is used with the library that it is of, and no longer than that is loaded.
        let device = unsafe { device.handle() };
        Self { nvml, device }
    }

    /// The sizes that the card can be divided into.
    pub(super) fn profiles(&self) -> Result<Vec<RawProfile>, CallError> {
        let mut profiles = Vec::new();
        for number in 0..PROFILES {
            let mut info = no_profile();
            match call!(self.nvml, nvmlDeviceGetGpuInstanceProfileInfoV(self.device, number, &raw mut info)) {
                Ok(()) => profiles.push(RawProfile {
                    id: info.id,
                    name: text(&info.name).trim_start_matches("MIG ").to_owned(),
                    slices: info.sliceCount,
                    most: info.instanceCount,
                }),
                // Sizes of other cards.
                Err(error) if matches!(*error.source, NvmlError::NotSupported) => {}
                // There are no more.
                Err(error) if matches!(*error.source, NvmlError::InvalidArg) && number > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(profiles)
    }

    /// The places of a size: first memory slice, and how many.
    pub(super) fn placements(&self, profile: u32) -> Result<Vec<(u32, u32)>, CallError> {
        let mut places = [nvmlGpuInstancePlacement_t { start: 0, size: 0 }; MOST];
        let mut count = 0;
        let none = std::ptr::null_mut();
        call!(self.nvml, nvmlDeviceGetGpuInstancePossiblePlacements_v2(self.device, profile, none, &raw mut count))?;
        if count as usize > MOST {
            return Ok(Vec::new());
        }
        let to = places.as_mut_ptr();
        call!(self.nvml, nvmlDeviceGetGpuInstancePossiblePlacements_v2(self.device, profile, to, &raw mut count))?;
        Ok(places.iter().take(count as usize).map(|place| (place.start, place.size)).collect())
    }

    /// The instances of a size.
    pub(super) fn instances(&self, profile: u32) -> Result<Vec<RawInstance>, CallError> {
        let mut handles: [nvmlGpuInstance_t; MOST] = [std::ptr::null_mut(); MOST];
        let mut count = MOST as u32;
        let to = handles.as_mut_ptr();
        call!(self.nvml, nvmlDeviceGetGpuInstances(self.device, profile, to, &raw mut count))?;
        handles.into_iter().take(count as usize).map(|handle| self.instance(handle)).collect()
    }

    fn instance(&self, handle: nvmlGpuInstance_t) -> Result<RawInstance, CallError> {
        let placement = nvmlGpuInstancePlacement_t { start: 0, size: 0 };
        let mut info = nvmlGpuInstanceInfo_t { device: std::ptr::null_mut(), id: 0, profileId: 0, placement };
        call!(self.nvml, nvmlGpuInstanceGetInfo(handle, &raw mut info))?;
        Ok(RawInstance { id: info.id, start: info.placement.start, handle })
    }

    /// Makes an instance at a place, with everything of it for one program. On failure nothing is left of it, as far as
    /// the library lets go.
    pub(super) fn create(&self, profile: &RawProfile, start: u32, size: u32) -> Result<(), CallError> {
        let placement = nvmlGpuInstancePlacement_t { start, size };
        let mut handle = std::ptr::null_mut();
        let (at, to) = (&raw const placement, &raw mut handle);
        call!(self.nvml, nvmlDeviceCreateGpuInstanceWithPlacement(self.device, profile.id, at, to))?;
        self.create_compute(handle, profile.slices).inspect_err(|_| {
            if let Err(error) = self.destroy_gpu(handle) {
                tracing::warn!(%error, "an instance without a program's part cannot be taken away again");
            }
        })
    }

    /// Makes what a program runs in, of all slices of an instance.
    fn create_compute(&self, handle: nvmlGpuInstance_t, slices: u32) -> Result<(), CallError> {
        for number in 0..COMPUTE_PROFILES {
            let Some(info) = self.compute_profile(handle, number)? else { continue };
            if info.sliceCount == slices {
                let mut compute: nvmlComputeInstance_t = std::ptr::null_mut();
                let to = &raw mut compute;
                return call!(self.nvml, nvmlGpuInstanceCreateComputeInstance(handle, info.id, to));
            }
        }
        let call = "nvmlGpuInstanceGetComputeInstanceProfileInfo";
        Err(CallError { call, source: Arc::new(NvmlError::NotFound) })
    }

    /// What a number stands for in this instance, if for anything.
    fn compute_profile(
        &self,
        handle: nvmlGpuInstance_t,
        number: u32,
    ) -> Result<Option<nvmlComputeInstanceProfileInfo_t>, CallError> {
        let mut info = nvmlComputeInstanceProfileInfo_t {
            id: 0,
            sliceCount: 0,
            instanceCount: 0,
            multiprocessorCount: 0,
            sharedCopyEngineCount: 0,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
        };
        let (engines, to) = (SHARED_ENGINES, &raw mut info);
        match call!(self.nvml, nvmlGpuInstanceGetComputeInstanceProfileInfo(handle, number, engines, to)) {
            Ok(()) => Ok(Some(info)),
            Err(error) if matches!(*error.source, NvmlError::NotSupported | NvmlError::InvalidArg) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a program could run in an instance: it has a compute instance.
    pub(super) fn has_compute(&self, instance: &RawInstance) -> Result<bool, CallError> {
        for number in 0..COMPUTE_PROFILES {
            let Some(info) = self.compute_profile(instance.handle, number)? else { continue };
            let mut handles: [nvmlComputeInstance_t; MOST] = [std::ptr::null_mut(); MOST];
            let mut count = MOST as u32;
            let to = handles.as_mut_ptr();
            call!(self.nvml, nvmlGpuInstanceGetComputeInstances(instance.handle, info.id, to, &raw mut count))?;
            if count > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Destroys an instance with everything in it. One that is in use is refused by the driver, and stays whole.
    pub(super) fn destroy(&self, instance: RawInstance, slices: u32) -> Result<(), CallError> {
        for number in 0..COMPUTE_PROFILES {
            let Some(info) = self.compute_profile(instance.handle, number)? else { continue };
            let mut handles: [nvmlComputeInstance_t; MOST] = [std::ptr::null_mut(); MOST];
            let mut count = MOST as u32;
            let to = handles.as_mut_ptr();
            call!(self.nvml, nvmlGpuInstanceGetComputeInstances(instance.handle, info.id, to, &raw mut count))?;
            for compute in handles.into_iter().take(count as usize) {
                call!(self.nvml, nvmlComputeInstanceDestroy(compute))?;
            }
        }
        self.destroy_gpu(instance.handle).inspect_err(|_| {
            // It stays: then as it was.
            if let Err(error) = self.create_compute(instance.handle, slices) {
                tracing::warn!(%error, "an instance that stays cannot be given back its program's part");
            }
        })
    }

    fn destroy_gpu(&self, handle: nvmlGpuInstance_t) -> Result<(), CallError> {
        call!(self.nvml, nvmlGpuInstanceDestroy(handle))
    }
}

/// An answer to be filled, of the version that has names.
fn no_profile() -> nvmlGpuInstanceProfileInfo_v2_t {
    nvmlGpuInstanceProfileInfo_v2_t {
        version: size_of::<nvmlGpuInstanceProfileInfo_v2_t>() as u32 | (2 << 24),
        id: 0,
        isP2pSupported: 0,
        sliceCount: 0,
        instanceCount: 0,
        multiprocessorCount: 0,
        copyEngineCount: 0,
        decoderCount: 0,
        encoderCount: 0,
        jpegCount: 0,
        ofaCount: 0,
        memorySizeMB: 0,
        name: [0; 96],
    }
}

/// A text that ends with a zero, or with its buffer.
fn text(buffer: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().map(|byte| byte.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
