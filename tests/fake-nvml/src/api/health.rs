//! What a card's memory has been through.

use crate::code::Code;
use crate::library::{Handle, ask_about, card_of, put};

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetEccMode(device: Handle, current: *mut u32, pending: *mut u32) -> Code {
    // SAFETY: the caller's variables.
    ask_about("nvmlDeviceGetEccMode", device, |_, _| unsafe { put(current, 1).and_then(|()| put(pending, 1)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(device: Handle, kind: u32, _counter: u32, count: *mut u64) -> Code {
    ask_about("nvmlDeviceGetTotalEccErrors", device, |machine, place| {
        let ecc = machine.cards[place.card].ecc;
        let answer = match kind {
            0 => ecc.corrected,
            1 => ecc.uncorrected,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        // SAFETY: the caller's variable.
        unsafe { put(count, answer) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetRemappedRows(
    device: Handle,
    corrected: *mut u32,
    uncorrected: *mut u32,
    is_pending: *mut u32,
    has_failed: *mut u32,
) -> Code {
    ask_about("nvmlDeviceGetRemappedRows", device, |machine, _| {
        let ecc = machine.cards[card_of(device)?].ecc;
        // SAFETY: the caller's variables.
        unsafe {
            put(corrected, 0)?;
            put(uncorrected, ecc.remapped_rows)?;
            put(is_pending, u32::from(ecc.has_pending_remapping))?;
            put(has_failed, u32::from(ecc.has_failed_remapping))
        }
    })
}
