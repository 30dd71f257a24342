//! What happens to cards, for those who wait for it.

use std::time::{Duration, Instant};

use crate::code::Code;
use crate::events::{DOUBLE_BIT_ECC, XID};
use crate::layout::EventData;
use crate::library::{Handle, ask_about, ask_library, card_of, handle, put, take_time};

/// Not on an instance.
const NO_INSTANCE: u32 = u32::MAX;
/// How often a waiting call looks whether the scenario has changed.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetCreate(set: *mut Handle) -> Code {
    ask_library("nvmlEventSetCreate", |library| {
        let number = library.events.create();
        // SAFETY: the caller's variable.
        unsafe { put(set, std::ptr::without_provenance_mut(number)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetFree(set: Handle) -> Code {
    ask_library("nvmlEventSetFree", |library| library.events.free(set.addr()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(device: Handle, kinds: *mut u64) -> Code {
    ask_about("nvmlDeviceGetSupportedEventTypes", device, |_, _| {
        card_of(device)?;
        // SAFETY: the caller's variable.
        unsafe { put(kinds, DOUBLE_BIT_ECC | XID) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceRegisterEvents(device: Handle, kinds: u64, set: Handle) -> Code {
    let is_there = ask_about("nvmlDeviceRegisterEvents", device, |_, _| card_of(device).map(drop));
    if is_there != Code::SUCCESS {
        return is_there;
    }
    ask_library("nvmlDeviceRegisterEvents", |library| library.events.register(set.addr(), card_of(device)?, kinds))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetWait_v2(set: Handle, data: *mut EventData, milliseconds: u32) -> Code {
    let deadline = Instant::now() + Duration::from_millis(u64::from(milliseconds));
    loop {
        let code = ask_library("nvmlEventSetWait_v2", |library| {
            let event = library.events.next(set.addr(), &library.machine)?;
            let card = &library.machine.cards[event.place.card];
            let instance = event.place.instance.and_then(|instance| card.instances.get(instance));
            let answer = EventData {
                device: handle(crate::machine::Place { card: event.place.card, instance: None }),
                kind: event.kind,
                data: event.data,
                gpu_instance: instance.map_or(NO_INSTANCE, |instance| instance.id),
                compute_instance: instance.map_or(NO_INSTANCE, |_| 0),
            };
            // SAFETY: the caller's variable.
            unsafe { put(data, answer) }
        });
        if code != Code::TIMEOUT || Instant::now() >= deadline {
            return code;
        }
        take_time(LOOK_EVERY);
    }
}
