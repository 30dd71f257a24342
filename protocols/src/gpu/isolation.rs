//! How well a task on a GPU is kept from its neighbours.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{GpuCard, Share, Sharing};

/// The ladder, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Whole cards: there is no neighbour.
    Card,
    /// MIG instances: memory and compute of their own, in hardware.
    Mig,
    /// An MPS share: the driver enforces how much memory and how many threads it has; a fault of one may end all on the
    /// card.
    Mps,
    /// A slot of a card: memory and time are shared, and only the daemon watches.
    Slot,
}

impl Isolation {
    /// Of a lease; `None` without GPUs.
    pub fn of(gpus: &[GpuCard], share: Share) -> Option<Self> {
        let first = gpus.first()?;
        Some(match (share.is_whole(), first.id.as_str().starts_with("MIG-")) {
            (false, _) => match share.sharing {
                Sharing::Slots => Self::Slot,
                Sharing::Mps => Self::Mps,
            },
            (true, true) => Self::Mig,
            (true, false) => Self::Card,
        })
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Card => "whole",
            Self::Mig => "MIG instance, isolated in hardware",
            Self::Mps => "MPS share, memory and threads limited by the driver",
            Self::Slot => "shared slot, memory is watched and not enforced",
        })
    }
}

/// A lease's cards for people: `GPU 3 (NVIDIA H100 80GB HBM3): whole`; `None` without GPUs.
pub fn describe_lease(gpus: &[GpuCard], share: Share) -> Option<String> {
    let isolation = Isolation::of(gpus, share)?;
    let indexes = gpus.iter().map(|card| card.index.to_string()).collect::<Vec<_>>().join(",");
    let name = gpus.first().map(|card| card.name.as_str()).filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let part = if share.is_whole() { String::new() } else { format!("{} of ", share.amount) };
    let budget = gpus.first().map_or(0, |card| share.of(card.memory_bytes)) >> 20;
    let budget = if share.is_whole() || budget == 0 { String::new() } else { format!(", {budget} MiB") };
    Some(format!("{part}GPU {indexes}{name}: {isolation}{budget}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::MilliGpu;

    #[track_caller]
    fn check(id: &str, share: Share, expected: &str) {
        let card = GpuCard { id: id.into(), index: 3, name: "H100".to_owned(), memory_bytes: 80 << 30 };
        assert_eq!(describe_lease(&[card], share).as_deref(), Some(expected));
    }

    #[test]
    fn each_step_of_the_ladder_has_its_words() {
        check("GPU-1", Share::WHOLE, "GPU 3 (H100): whole");
        check("MIG-1", Share::WHOLE, "GPU 3 (H100): MIG instance, isolated in hardware");
        let slot = "0.25 of GPU 3 (H100): shared slot, memory is watched and not enforced, 20480 MiB";
        check("GPU-1", Share::slot(MilliGpu(250)), slot);
        let mps = "0.25 of GPU 3 (H100): MPS share, memory and threads limited by the driver, 20480 MiB";
        check("GPU-1", Share::mps(MilliGpu(250)), mps);
        assert_eq!(describe_lease(&[], Share::WHOLE), None);
    }
}
