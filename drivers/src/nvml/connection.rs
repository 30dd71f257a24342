//! How cards are connected.

use std::collections::BTreeMap;

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{P2pCapabilitiesIndex, P2pStatus, TopologyLevel};
use protocols::gpu::{GpuCard, Nearness, Pool};

use super::NvmlProbe;

/// As many processors as the kernel's own sets of them hold, in words of 64.
const CPU_WORDS: usize = 16;

impl NvmlProbe {
    /// These cards, with how near they are to each other. What cannot be found out counts as far. Blocks.
    pub fn pool(&self, cards: Vec<GpuCard>) -> Pool {
        Pool::new(cards, |one, other| self.nearness(one, other))
    }

    /// The processors near each of these cards, by the card's index. A card that does not tell is left out. Blocks.
    pub fn cpus_near(&self, cards: &[GpuCard]) -> BTreeMap<u32, Vec<usize>> {
        let near = |card: &GpuCard| {
            let device = self.nvml.device_by_index(card.index).ok()?;
            let words = device.cpu_affinity(CPU_WORDS).ok()?;
            let cpus: Vec<usize> = (0..CPU_WORDS * 64).filter(|cpu| (words[cpu / 64] >> (cpu % 64)) & 1 == 1).collect();
            (!cpus.is_empty()).then_some((card.index, cpus))
        };
        cards.iter().filter_map(near).collect()
    }

    fn nearness(&self, one: &GpuCard, other: &GpuCard) -> Nearness {
        let handle = |card: &GpuCard| self.nvml.device_by_index(card.index).ok();
        match (handle(one), handle(other)) {
            // Instances of one card are as near as can be, and have no link.
            (Some(_), Some(_)) if one.index == other.index => Nearness::SWITCH,
            (Some(one), Some(other)) => between(&one, other),
            (_, _) => Nearness::UNKNOWN,
        }
    }
}

fn between(one: &Device<'_>, other: Device<'_>) -> Nearness {
    let has_nvlink = matches!(one.p2p_status(&other, P2pCapabilitiesIndex::NvLink), Ok(P2pStatus::Ok));
    let on_the_bus = match one.topology_common_ancestor(other) {
        Ok(TopologyLevel::Internal | TopologyLevel::Single) => Nearness::SWITCH,
        Ok(TopologyLevel::Multiple) => Nearness::SWITCHES,
        Ok(TopologyLevel::HostBridge) => Nearness::HOST_BRIDGE,
        Ok(TopologyLevel::Node) => Nearness::NODE,
        Ok(TopologyLevel::System) => Nearness::SYSTEM,
        Err(_) => Nearness::UNKNOWN,
    };
    if has_nvlink { on_the_bus.with_nvlink() } else { on_the_bus }
}
