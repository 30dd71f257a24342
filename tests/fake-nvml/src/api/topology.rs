//! How cards are connected.

use crate::code::Code;
use crate::library::{Handle, ask_about, card_of, put};

/// `nvmlGpuTopologyLevel_t`.
const SAME_CARD: u32 = 0;
const SAME_NODE: u32 = 40;
const OTHER_NODE: u32 = 50;

/// `nvmlGpuP2PCapsIndex_t`.
const NVLINK: u32 = 2;
/// `nvmlGpuP2PStatus_t`.
const P2P_OK: u32 = 0;
const P2P_NOT_SUPPORTED: u32 = 5;

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTopologyCommonAncestor(device: Handle, other: Handle, level: *mut u32) -> Code {
    ask_about("nvmlDeviceGetTopologyCommonAncestor", device, |machine, _| {
        let (one, other) = (card_of(device)?, card_of(other)?);
        let node = |card: usize| machine.cards.get(card).map(|card| card.numa);
        let answer = match (node(one), node(other)) {
            (Some(_), Some(_)) if one == other => SAME_CARD,
            (Some(node), Some(others)) if node == others => SAME_NODE,
            (Some(_), Some(_)) => OTHER_NODE,
            (_, _) => return Err(Code::INVALID_ARGUMENT),
        };
        // SAFETY: the caller's variable.
        unsafe { put(level, answer) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetP2PStatus(device: Handle, other: Handle, index: u32, status: *mut u32) -> Code {
    ask_about("nvmlDeviceGetP2PStatus", device, |machine, _| {
        let linked = machine.are_linked(card_of(device)?, card_of(other)?);
        let answer = if index != NVLINK || linked { P2P_OK } else { P2P_NOT_SUPPORTED };
        // SAFETY: the caller's variable.
        unsafe { put(status, answer) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetNumaNodeId(device: Handle, node: *mut u32) -> Code {
    // SAFETY: the caller's variable.
    ask_about("nvmlDeviceGetNumaNodeId", device, |machine, place| unsafe { put(node, machine.cards[place.card].numa) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCpuAffinity(device: Handle, size: u32, words: *mut u64) -> Code {
    ask_about("nvmlDeviceGetCpuAffinity", device, |machine, place| {
        let cpus = &machine.cards[place.card].cpus;
        if cpus.is_empty() {
            return Err(Code::NOT_SUPPORTED);
        }
        for word in 0..size as usize {
            let bits = cpus.iter().filter(|cpu| *cpu / 64 == word).fold(0u64, |bits, cpu| bits | (1 << (cpu % 64)));
            // SAFETY: the caller's list of so many words.
            unsafe { put(words.wrapping_add(word), bits)? };
        }
        Ok(())
    })
}
