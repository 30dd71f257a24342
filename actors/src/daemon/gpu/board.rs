//! The read model of the cards: what `status`, `gpus` and metrics show. Invariant B1: nobody decides from it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use protocols::ids::GpuId;

use super::usage::DeviceUse;

/// What is shown of the cards. Only `GpuWatcher` writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct GpuBoard(Arc<RwLock<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    out_of_use: BTreeMap<GpuId, String>,
    devices: Vec<DeviceUse>,
}

impl GpuBoard {
    pub(crate) fn set_out_of_use(&self, out_of_use: &BTreeMap<GpuId, String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).out_of_use.clone_from(out_of_use);
    }

    pub(crate) fn set_devices(&self, devices: Vec<DeviceUse>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).devices = devices;
    }

    /// The devices that get no task for now, and why.
    pub(crate) fn out_of_use(&self) -> BTreeMap<GpuId, String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).out_of_use.clone()
    }

    /// How the cards were used when they were looked at last.
    pub(crate) fn devices(&self) -> Vec<DeviceUse> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).devices.clone()
    }
}
