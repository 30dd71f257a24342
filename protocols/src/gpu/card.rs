//! Cards, shares of cards, and who holds them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MigProfile, Share};
use crate::ids::{GpuId, WorkerId};

/// A share of a GPU in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MilliGpu(pub u32);

/// One whole card.
pub const WHOLE_GPU: MilliGpu = MilliGpu(1000);

impl MilliGpu {
    /// As much of an amount as it is of a card.
    pub fn of(&self, amount: u64) -> u64 {
        // Multiplied in more bits than an amount of bytes needs.
        let part = u128::from(amount) * u128::from(self.0) / u128::from(WHOLE_GPU.0);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Whether it is all of a card.
    pub fn is_whole(&self) -> bool {
        *self == WHOLE_GPU
    }
}

impl fmt::Display for MilliGpu {
    /// `1`, `0.5`, `0.125`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / WHOLE_GPU.0, self.0 % WHOLE_GPU.0);
        match format!("{thousandths:03}").trim_end_matches('0') {
            "" => write!(formatter, "{whole}"),
            digits => write!(formatter, "{whole}.{digits}"),
        }
    }
}

/// Number of a lease; unique within one daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "lease {}", self.0)
    }
}

/// A card as the daemon knows it: identity is the UUID, the index is what people type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuCard {
    /// UUID, or `index:N` where no driver could be asked.
    pub id: GpuId,
    /// Index in PCI bus order.
    pub index: u32,
    /// Product name, empty where unknown.
    pub name: String,
    /// Memory in bytes, 0 where unknown.
    pub memory_bytes: u64,
}

impl GpuCard {
    /// What `CUDA_VISIBLE_DEVICES` calls it: its UUID; its index, where no driver could be asked for that.
    pub fn visible_as(&self) -> String {
        self.id.as_str().strip_prefix("index:").unwrap_or(self.id.as_str()).to_owned()
    }

    /// The size of a MIG instance; `None` for a whole card.
    pub fn profile(&self) -> Option<MigProfile> {
        MigProfile::of_device(&self.name)
    }
}

/// The slot, and the GPUs with it, that an attempt holds. No GPUs for a CPU worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// The worker whose slot it takes.
    pub worker: WorkerId,
    /// The cards that come with it.
    pub gpus: Vec<GpuCard>,
    /// How much of each of them.
    pub share: Share,
}
