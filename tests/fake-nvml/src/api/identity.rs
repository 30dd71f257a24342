//! Which cards there are and what they are.

use std::ffi::{CStr, c_char};

use crate::code::Code;
use crate::layout::Pci;
use crate::library::{Handle, ask, ask_about, card_of, handle, put, put_text};
use crate::machine::{Machine, Place};

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut u32) -> Code {
    // SAFETY: the caller's variable.
    ask("nvmlDeviceGetCount_v2", |machine| unsafe { put(count, machine.cards.len() as u32) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: u32, device: *mut Handle) -> Code {
    let card = handle(Place { card: index as usize, instance: None });
    // SAFETY: the caller's variable.
    ask_about("nvmlDeviceGetHandleByIndex_v2", card, |_, _| unsafe { put(device, card) })
}

/// # Safety
/// `text` is null or a text with a zero at its end.
unsafe fn find(text: *const c_char, is_meant: impl Fn(&Machine, Place, &str) -> bool) -> Result<Handle, Code> {
    if text.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller of the C function vouches for its end.
    let text = unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Code::INVALID_ARGUMENT)?;
    let mut found = Err(Code::NOT_FOUND);
    ask("nvmlDeviceGetHandle", |machine| {
        for (card, known) in machine.cards.iter().enumerate() {
            for instance in std::iter::once(None).chain((0..known.instances.len()).map(Some)) {
                let place = Place { card, instance };
                if is_meant(machine, place, text) {
                    found = if known.is_lost { Err(Code::GPU_IS_LOST) } else { Ok(handle(place)) };
                }
            }
        }
        Ok(())
    });
    found
}

fn uuid(machine: &Machine, place: Place) -> &str {
    let card = &machine.cards[place.card];
    place.instance.map_or(&card.uuid, |instance| &card.instances[instance].uuid)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(text: *const c_char, device: *mut Handle) -> Code {
    // SAFETY: the caller's text.
    let found = unsafe { find(text, |machine, place, text| uuid(machine, place) == text) };
    // SAFETY: the caller's variable.
    ask("nvmlDeviceGetHandleByUUID", |_| unsafe { put(device, found?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(text: *const c_char, device: *mut Handle) -> Code {
    let is_meant = |_: &Machine, place: Place, text: &str| {
        place.instance.is_none() && text.to_ascii_lowercase().ends_with(&bus_id(place.card))
    };
    // SAFETY: the caller's text.
    let found = unsafe { find(text, is_meant) };
    // SAFETY: the caller's variable.
    ask("nvmlDeviceGetHandleByPciBusId_v2", |_| unsafe { put(device, found?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(device: Handle, text: *mut c_char, size: u32) -> Code {
    ask_about("nvmlDeviceGetName", device, |machine, place| {
        let card = &machine.cards[place.card];
        let mig = place.instance.map(|instance| format!(" MIG {}", card.instances[instance].profile.name()));
        let name = format!("{}{} (simulated)", card.model.name, mig.unwrap_or_default());
        // SAFETY: the caller's buffer.
        unsafe { put_text(text, size, &name) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(device: Handle, text: *mut c_char, size: u32) -> Code {
    // SAFETY: the caller's buffer.
    ask_about("nvmlDeviceGetUUID", device, |machine, place| unsafe { put_text(text, size, uuid(machine, place)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetIndex(device: Handle, index: *mut u32) -> Code {
    ask_about("nvmlDeviceGetIndex", device, |_, place| {
        // SAFETY: the caller's variable.
        unsafe { put(index, place.instance.unwrap_or(place.card) as u32) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMinorNumber(device: Handle, minor: *mut u32) -> Code {
    // SAFETY: the caller's variable.
    ask_about("nvmlDeviceGetMinorNumber", device, |_, place| unsafe { put(minor, place.card as u32) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCudaComputeCapability(device: Handle, major: *mut i32, minor: *mut i32) -> Code {
    ask_about("nvmlDeviceGetCudaComputeCapability", device, |machine, place| {
        let capability = machine.cards[place.card].model.compute_capability;
        // SAFETY: the caller's variables.
        unsafe { put(major, capability.0).and_then(|()| put(minor, capability.1)) }
    })
}

fn bus(card: usize) -> u32 {
    card as u32 + 1
}

fn bus_id(card: usize) -> String {
    format!("0000:{:02x}:00.0", bus(card))
}

fn characters<const SIZE: usize>(text: &str) -> [c_char; SIZE] {
    let mut characters = [0; SIZE];
    for (to, from) in characters.iter_mut().take(SIZE - 1).zip(text.bytes()) {
        *to = from.cast_signed();
    }
    characters
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: Handle, pci: *mut Pci) -> Code {
    ask_about("nvmlDeviceGetPciInfo_v3", device, |_, _| {
        let card = card_of(device)?;
        let short = bus_id(card).to_ascii_uppercase();
        let answer = Pci {
            bus_id_legacy: characters(&short),
            domain: 0,
            bus: bus(card),
            device: 0,
            device_id: 0x5131_10de,
            subsystem_id: 0x5131_10de,
            bus_id: characters(&format!("0000{short}")),
        };
        // SAFETY: the caller's variable.
        unsafe { put(pci, answer) }
    })
}
