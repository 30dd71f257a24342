//! The read model of who waits for GPUs, as they were judged last. Invariant B1: nobody decides from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocols::gpu::{Demand, GpuCard, Verdict};
use protocols::ids::{GpuId, QueueId, TaskId};

/// The head of a queue, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) task: TaskId,
    pub(crate) queue: QueueId,
    pub(crate) demand: Demand,
    pub(crate) verdict: Verdict,
    /// What is kept for it.
    pub(crate) kept: Vec<GpuCard>,
    /// How many have passed it while nothing was.
    pub(crate) passed: u32,
    /// Where its instance is to be made, if one can be.
    pub(crate) making: Option<Place>,
}

/// Where an instance is made for one who waits.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The card that it holds until there is room; `None` where there is room.
    pub(crate) holds: Option<GpuCard>,
    /// Why it failed the last time.
    pub(crate) failed: Option<String>,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitsNow {
    /// In order of priority.
    pub(crate) waiting: Vec<Wait>,
    /// Cards that are not given out for now, and why.
    pub(crate) out_of_use: BTreeMap<GpuId, String>,
}

/// Written by `GpuPartitioner`, read by `ControlGateway`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Arc<Mutex<WaitsNow>>);

impl Waits {
    pub(crate) fn now(&self) -> WaitsNow {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn show(&self, change: impl FnOnce(&mut WaitsNow)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
