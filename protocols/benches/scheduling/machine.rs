//! A machine: islands of eight cards with links between all, four of them on each NUMA node.

use protocols::gpu::{GpuCard, Nearness, Pool};
use protocols::ids::GpuId;

pub(crate) fn pool(cards: u32) -> Pool {
    let card =
        |index| GpuCard { id: GpuId::new(format!("GPU-{index:08x}")), index, name: String::new(), memory_bytes: 0 };
    let nearness = |one: &GpuCard, other: &GpuCard| {
        if one.index / 8 != other.index / 8 {
            Nearness::UNKNOWN
        } else if one.index / 4 == other.index / 4 {
            Nearness::NODE.with_nvlink()
        } else {
            Nearness::SYSTEM.with_nvlink()
        }
    };
    Pool::new((0..cards).map(card).collect(), nearness)
}
