//! Making and destroying MIG instances.

use crate::code::Code;
use crate::division::{PROFILES, id_of, profile_to_ask, profile_to_make};
use crate::layout::{ComputeInstanceInfo, ComputeProfile, GpuInstanceInfo, GpuProfile, Placement};
use crate::library::{
    Handle, PartHandle, ask_about, ask_about_part, card_of, change, change_part, handle, put, put_text,
};
use crate::machine::{Card, Place};

/// What the second version of the structure says of itself.
const SECOND_VERSION: u32 = size_of::<GpuProfile>() as u32 | (2 << 24);

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGpuInstanceProfileInfoV(device: Handle, profile: u32, info: *mut GpuProfile) -> Code {
    ask_about("nvmlDeviceGetGpuInstanceProfileInfoV", device, |machine, _| {
        let card = &machine.cards[card_of(device)?];
        if profile >= PROFILES || info.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        let (found, id) = profile_to_ask(card.model, profile).ok_or(Code::NOT_SUPPORTED)?;
        // SAFETY: not null, and the caller's structure.
        let info = unsafe { &mut *info };
        if info.version != SECOND_VERSION {
            return Err(Code::INVALID_ARGUMENT);
        }
        info.id = id;
        info.slice_count = found.compute_slices;
        info.instance_count = found.most as u32;
        info.multiprocessors = 14 * found.compute_slices;
        info.memory_mib =
            card.model.memory_mib * u64::from(found.memory_slices) / u64::from(card.model.memory_slices());
        // SAFETY: the structure's own buffer.
        unsafe { put_text(info.name.as_mut_ptr(), info.name.len() as u32, &found.name()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGpuInstancePossiblePlacements_v2(
    device: Handle,
    profile: u32,
    placements: *mut Placement,
    count: *mut u32,
) -> Code {
    ask_about("nvmlDeviceGetGpuInstancePossiblePlacements_v2", device, |machine, _| {
        let card = &machine.cards[card_of(device)?];
        let profile = profile_to_make(card.model, profile).ok_or(Code::NOT_SUPPORTED)?;
        let all = profile.starts.iter().map(|start| Placement { start: *start, size: profile.memory_slices });
        // SAFETY: the caller's array, which has room for as many as were counted.
        unsafe { put_all(placements, count, all) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGpuInstances(
    device: Handle,
    profile: u32,
    instances: *mut PartHandle,
    count: *mut u32,
) -> Code {
    ask_about("nvmlDeviceGetGpuInstances", device, |machine, _| {
        let index = card_of(device)?;
        let card = &machine.cards[index];
        let profile = profile_to_make(card.model, profile).ok_or(Code::NOT_SUPPORTED)?;
        let of_size = card.instances.iter().filter(|instance| std::ptr::eq(instance.profile, profile));
        // SAFETY: the caller's array, which has room for as many as a card can have.
        unsafe { put_all(instances, count, of_size.map(|instance| PartHandle::gpu(index, instance.id))) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpuInstanceGetInfo(part: PartHandle, info: *mut GpuInstanceInfo) -> Code {
    ask_about_part("nvmlGpuInstanceGetInfo", part, |card, index, instance| {
        let instance = &card.instances[instance];
        let answer = GpuInstanceInfo {
            device: handle(Place { card: index, instance: None }),
            id: instance.id,
            profile: id_of(instance.profile),
            placement: Placement { start: instance.start, size: instance.profile.memory_slices },
        };
        // SAFETY: the caller's variable.
        unsafe { put(info, answer) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceCreateGpuInstanceWithPlacement(
    device: Handle,
    profile: u32,
    placement: *const Placement,
    instance: *mut PartHandle,
) -> Code {
    change("nvmlDeviceCreateGpuInstanceWithPlacement", device, |machine, _| {
        let index = card_of(device)?;
        if placement.is_null() || instance.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and the caller's structure.
        let Placement { start, .. } = unsafe { placement.read() };
        let card = &mut machine.cards[index];
        let profile = profile_to_make(card.model, profile).ok_or(Code::NOT_SUPPORTED)?;
        let id = card.make(index, profile, start)?;
        // SAFETY: the caller's variable.
        unsafe { put(instance, PartHandle::gpu(index, id)) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpuInstanceDestroy(part: PartHandle) -> Code {
    change_part("nvmlGpuInstanceDestroy", part, Card::unmake)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpuInstanceGetComputeInstanceProfileInfo(
    part: PartHandle,
    profile: u32,
    _engines: u32,
    info: *mut ComputeProfile,
) -> Code {
    ask_about_part("nvmlGpuInstanceGetComputeInstanceProfileInfo", part, |card, _, instance| {
        // Of all the slices of the instance; smaller ones are not simulated.
        let slices = card.instances[instance].profile.compute_slices;
        if compute_profile(slices) != Some(profile) {
            return Err(Code::NOT_SUPPORTED);
        }
        let answer =
            ComputeProfile { id: profile, slice_count: slices, instance_count: 1, ..ComputeProfile::default() };
        // SAFETY: the caller's variable.
        unsafe { put(info, answer) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpuInstanceCreateComputeInstance(
    part: PartHandle,
    profile: u32,
    compute: *mut PartHandle,
) -> Code {
    change_part("nvmlGpuInstanceCreateComputeInstance", part, |card, instance| {
        let instance = &mut card.instances[instance];
        if compute_profile(instance.profile.compute_slices) != Some(profile) {
            return Err(Code::NOT_SUPPORTED);
        }
        if instance.has_compute {
            return Err(Code::INSUFFICIENT_RESOURCES);
        }
        instance.has_compute = true;
        card.is_redivided = true;
        // SAFETY: the caller's variable.
        unsafe { put(compute, part.of_compute()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpuInstanceGetComputeInstances(
    part: PartHandle,
    profile: u32,
    instances: *mut PartHandle,
    count: *mut u32,
) -> Code {
    ask_about_part("nvmlGpuInstanceGetComputeInstances", part, |card, _, instance| {
        let instance = &card.instances[instance];
        let is_there = instance.has_compute && compute_profile(instance.profile.compute_slices) == Some(profile);
        // SAFETY: the caller's array.
        unsafe { put_all(instances, count, is_there.then(|| part.of_compute()).into_iter()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlComputeInstanceGetInfo_v2(part: PartHandle, info: *mut ComputeInstanceInfo) -> Code {
    ask_about_part("nvmlComputeInstanceGetInfo_v2", part, |card, index, instance| {
        let slices = card.instances[instance].profile.compute_slices;
        let answer = ComputeInstanceInfo {
            device: handle(Place { card: index, instance: None }),
            instance: part.of_gpu(),
            id: 0,
            profile: compute_profile(slices).unwrap_or(0),
            placement: Placement { start: 0, size: slices },
        };
        // SAFETY: the caller's variable.
        unsafe { put(info, answer) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlComputeInstanceDestroy(part: PartHandle) -> Code {
    change_part("nvmlComputeInstanceDestroy", part, |card, instance| {
        if !card.instances[instance].has_compute {
            return Err(Code::NOT_FOUND);
        }
        if card.is_in_use(instance) {
            return Err(Code::IN_USE);
        }
        card.instances[instance].has_compute = false;
        card.is_redivided = true;
        Ok(())
    })
}

/// The number of a compute instance with so many slices.
fn compute_profile(slices: u32) -> Option<u32> {
    [1, 2, 3, 4, 7].iter().position(|known| *known == slices).map(|position| position as u32)
}

/// Writes a list; without an array its length alone.
///
/// # Safety
/// `count` is null or the caller's; `to` is null or has room for all of them.
unsafe fn put_all<T>(to: *mut T, count: *mut u32, all: impl Iterator<Item = T>) -> Result<(), Code> {
    let mut number = 0;
    for (position, one) in all.enumerate() {
        if !to.is_null() {
            // SAFETY: the caller's array has room.
            unsafe { put(to.add(position), one)? };
        }
        number = position as u32 + 1;
    }
    // SAFETY: the caller's variable.
    unsafe { put(count, number) }
}
