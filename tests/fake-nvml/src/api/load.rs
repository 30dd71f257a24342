//! Memory, utilisation, temperature, power.

use crate::code::Code;
use crate::layout::{Memory, MemoryV2, Utilisation};
use crate::library::{Handle, ask_about, put};
use crate::machine::{Card, Machine, Place};

const BYTES_PER_MIB: u64 = 1 << 20;

fn memory(machine: &Machine, place: Place) -> Memory {
    let card = &machine.cards[place.card];
    let (total, used) = (card.memory_mib(place.instance), card.memory_used_mib(place.instance));
    let [total, used, free] = [total, used, total - used].map(|mib| mib * BYTES_PER_MIB);
    Memory { total, free, used }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: Handle, answer: *mut Memory) -> Code {
    // SAFETY: the caller's variable.
    ask_about("nvmlDeviceGetMemoryInfo", device, |machine, place| unsafe { put(answer, memory(machine, place)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Handle, answer: *mut MemoryV2) -> Code {
    ask_about("nvmlDeviceGetMemoryInfo_v2", device, |machine, place| {
        let Memory { total, free, used } = memory(machine, place);
        // SAFETY: the caller's variable.
        unsafe { put(answer, MemoryV2 { version: 0x0200_0028, total, reserved: 0, free, used }) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUtilizationRates(device: Handle, rates: *mut Utilisation) -> Code {
    ask_about("nvmlDeviceGetUtilizationRates", device, |machine, place| {
        let card = &machine.cards[place.card];
        if card.has_mig_mode {
            return Err(Code::NOT_SUPPORTED);
        }
        let memory = card.load.utilisation_percent / 2;
        // SAFETY: the caller's variable.
        unsafe { put(rates, Utilisation { gpu: card.load.utilisation_percent, memory }) }
    })
}

/// A figure that a card has and its instances do not.
///
/// # Safety
/// `answer` is null or a caller's variable.
unsafe fn figure(function: &str, device: Handle, answer: *mut u32, value: impl FnOnce(&Card) -> u32) -> Code {
    ask_about(function, device, |machine, place| {
        if place.instance.is_some() {
            return Err(Code::NOT_SUPPORTED);
        }
        // SAFETY: the caller's variable.
        unsafe { put(answer, value(&machine.cards[place.card])) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTemperature(device: Handle, sensor: u32, celsius: *mut u32) -> Code {
    if sensor != 0 {
        return Code::INVALID_ARGUMENT;
    }
    // SAFETY: the caller's variable.
    unsafe { figure("nvmlDeviceGetTemperature", device, celsius, |card| card.load.temperature_celsius) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: Handle, milliwatts: *mut u32) -> Code {
    // SAFETY: the caller's variable.
    unsafe { figure("nvmlDeviceGetPowerUsage", device, milliwatts, |card| card.load.power_watts * 1000) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(device: Handle, milliwatts: *mut u32) -> Code {
    // SAFETY: the caller's variable.
    unsafe { figure("nvmlDeviceGetEnforcedPowerLimit", device, milliwatts, |card| card.model.power_limit_watts * 1000) }
}

/// Data centre cards have no fan.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetFanSpeed(device: Handle, _percent: *mut u32) -> Code {
    ask_about("nvmlDeviceGetFanSpeed", device, |_, _| Err(Code::NOT_SUPPORTED))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetEncoderUtilization(device: Handle, percent: *mut u32, period: *mut u32) -> Code {
    ask_about("nvmlDeviceGetEncoderUtilization", device, |_, _| {
        // SAFETY: the caller's variables.
        unsafe { put(percent, 0).and_then(|()| put(period, 167_000)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetDecoderUtilization(device: Handle, percent: *mut u32, period: *mut u32) -> Code {
    ask_about("nvmlDeviceGetDecoderUtilization", device, |_, _| {
        // SAFETY: the caller's variables.
        unsafe { put(percent, 0).and_then(|()| put(period, 167_000)) }
    })
}
