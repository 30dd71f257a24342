//! Cards that are divided.

use crate::code::Code;
use crate::layout::Attributes;
use crate::library::{Handle, ask_about, card_of, handle, put};
use crate::machine::Place;

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigMode(device: Handle, current: *mut u32, pending: *mut u32) -> Code {
    ask_about("nvmlDeviceGetMigMode", device, |machine, _| {
        let card = &machine.cards[card_of(device)?];
        if card.model.profiles.is_empty() {
            return Err(Code::NOT_SUPPORTED);
        }
        let mode = u32::from(card.has_mig_mode);
        // SAFETY: the caller's variables.
        unsafe { put(current, mode).and_then(|()| put(pending, mode)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: Handle, count: *mut u32) -> Code {
    ask_about("nvmlDeviceGetMaxMigDeviceCount", device, |machine, _| {
        let model = machine.cards[card_of(device)?].model;
        // SAFETY: the caller's variable.
        unsafe { put(count, model.compute_slices()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(device: Handle, index: u32, answer: *mut Handle) -> Code {
    ask_about("nvmlDeviceGetMigDeviceHandleByIndex", device, |machine, _| {
        let card = card_of(device)?;
        let instance = index as usize;
        if !machine.cards[card].instances.get(instance).is_some_and(|instance| instance.has_compute) {
            return Err(Code::NOT_FOUND);
        }
        // SAFETY: the caller's variable.
        unsafe { put(answer, handle(Place { card, instance: Some(instance) })) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceIsMigDeviceHandle(device: Handle, answer: *mut u32) -> Code {
    ask_about("nvmlDeviceIsMigDeviceHandle", device, |_, place| {
        // SAFETY: the caller's variable.
        unsafe { put(answer, u32::from(place.instance.is_some())) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: Handle, answer: *mut Handle) -> Code {
    ask_about("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", device, |_, place| {
        // SAFETY: the caller's variable.
        unsafe { put(answer, handle(Place { card: place.card, instance: None })) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGpuInstanceId(device: Handle, id: *mut u32) -> Code {
    ask_about("nvmlDeviceGetGpuInstanceId", device, |machine, place| {
        let instance = place.instance.ok_or(Code::INVALID_ARGUMENT)?;
        // SAFETY: the caller's variable.
        unsafe { put(id, machine.cards[place.card].instances[instance].id) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeInstanceId(device: Handle, id: *mut u32) -> Code {
    ask_about("nvmlDeviceGetComputeInstanceId", device, |_, place| {
        place.instance.ok_or(Code::INVALID_ARGUMENT)?;
        // SAFETY: the caller's variable.
        unsafe { put(id, 0) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetAttributes_v2(device: Handle, attributes: *mut Attributes) -> Code {
    ask_about("nvmlDeviceGetAttributes_v2", device, |machine, place| {
        let card = &machine.cards[place.card];
        let profile = card.instances[place.instance.ok_or(Code::INVALID_ARGUMENT)?].profile;
        let answer = Attributes {
            multiprocessors: 14 * profile.compute_slices,
            gpu_slices: profile.compute_slices,
            compute_slices: profile.compute_slices,
            memory_mib: card.memory_mib(place.instance),
            ..Attributes::default()
        };
        // SAFETY: the caller's variable.
        unsafe { put(attributes, answer) }
    })
}
