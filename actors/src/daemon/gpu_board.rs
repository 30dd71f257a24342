//! The read model of the cards: what `status` and `gpus` show. Invariant B1: nobody decides from it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use protocols::ids::GpuId;

/// The devices that get no task for now, and why. Only `GpuWatcher` writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct GpuBoard(Arc<RwLock<BTreeMap<GpuId, String>>>);

impl GpuBoard {
    pub(crate) fn set_out_of_use(&self, out_of_use: &BTreeMap<GpuId, String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clone_from(out_of_use);
    }

    pub(crate) fn out_of_use(&self) -> BTreeMap<GpuId, String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
