//! Who uses a card.

use crate::code::Code;
use crate::layout::ProcessV2;
use crate::library::{Handle, ask_about, put};
use crate::machine::Process;

/// Not on an instance.
const NO_INSTANCE: u32 = u32::MAX;

/// Lists processes of a card or an instance.
///
/// # Safety
/// `count` is null or the caller's variable, which says how much room its `list` has.
unsafe fn list_processes(
    function: &str,
    device: Handle,
    count: *mut u32,
    list: *mut ProcessV2,
    is_meant: impl Fn(&Process) -> bool,
) -> Code {
    ask_about(function, device, |machine, place| {
        let all = &machine.cards[place.card].processes;
        let is_here = |process: &&Process| place.instance.is_none() || process.instance == place.instance;
        let here: Vec<_> = all.iter().filter(is_here).filter(|process| is_meant(process)).collect();
        if count.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's variable, not null: how much room the list has.
        let room = unsafe { count.read() } as usize;
        // SAFETY: as before.
        unsafe { put(count, here.len() as u32)? };
        if here.len() > room {
            return Err(Code::INSUFFICIENT_SIZE);
        }
        for (position, process) in here.iter().enumerate() {
            let instance = process.instance.map_or(NO_INSTANCE, |instance| instance as u32 + 1);
            let answer = ProcessV2 {
                pid: process.pid,
                used_memory: process.memory_mib << 20,
                gpu_instance: instance,
                compute_instance: process.instance.map_or(NO_INSTANCE, |_| 0),
            };
            // SAFETY: the list has room for that many.
            unsafe { put(list.add(position), answer)? };
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Handle,
    count: *mut u32,
    list: *mut ProcessV2,
) -> Code {
    // SAFETY: the caller's variables, as the C interface demands.
    unsafe {
        list_processes("nvmlDeviceGetComputeRunningProcesses_v3", device, count, list, |process| !process.is_mps_client)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Handle,
    count: *mut u32,
    _list: *mut ProcessV2,
) -> Code {
    // SAFETY: the caller's variable.
    ask_about("nvmlDeviceGetGraphicsRunningProcesses_v3", device, |_, _| unsafe { put(count, 0) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
    device: Handle,
    count: *mut u32,
    list: *mut ProcessV2,
) -> Code {
    // SAFETY: the caller's variables, as the C interface demands.
    unsafe {
        list_processes("nvmlDeviceGetMPSComputeRunningProcesses_v3", device, count, list, |process| {
            process.is_mps_client
        })
    }
}
