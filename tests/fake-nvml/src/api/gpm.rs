//! How busy cards and instances are, from the counters that cards have from Hopper on.

use std::ffi::{c_char, c_void};

use crate::code::Code;
use crate::library::{Handle, ask_about, ask_library, card_of, put};
use crate::machine::Place;

/// The one metric that is simulated: how much of the time something ran.
const GRAPHICS_UTILISATION: u32 = 1;

/// `nvmlGpmSupport_t`.
#[repr(C)]
struct Support {
    version: u32,
    is_supported: u32,
}

/// What `nvmlGpmSample_t` points to.
#[derive(Default)]
struct Sample {
    of: Option<Place>,
    utilisation_percent: u32,
}

/// `nvmlGpmMetric_t`.
#[repr(C)]
struct Metric {
    id: u32,
    code: Code,
    value: f64,
    names: [*mut c_char; 3],
}

/// `nvmlGpmMetricsGet_t`: as many metrics follow as it says, in an array whose length differs between versions.
#[repr(C)]
struct Request {
    version: u32,
    count: u32,
    samples: [*mut c_void; 2],
    metrics: [Metric; 0],
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmQueryDeviceSupport(device: Handle, answer: *mut c_void) -> Code {
    ask_about("nvmlGpmQueryDeviceSupport", device, |machine, place| {
        let has_counters = machine.cards[place.card].model.compute_capability.0 >= 9;
        // SAFETY: the caller's variable.
        unsafe { put(answer.cast::<Support>(), Support { version: 1, is_supported: u32::from(has_counters) }) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut *mut c_void) -> Code {
    ask_library("nvmlGpmSampleAlloc", |_| {
        if sample.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's variable.
        unsafe { put(sample, Box::into_raw(Box::<Sample>::default()).cast()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleFree(sample: *mut c_void) -> Code {
    if sample.is_null() {
        return Code::INVALID_ARGUMENT;
    }
    // SAFETY: made by `nvmlGpmSampleAlloc`, and freed once, as the C interface demands.
    drop(unsafe { Box::from_raw(sample.cast::<Sample>()) });
    Code::SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleGet(device: Handle, sample: *mut c_void) -> Code {
    ask_about("nvmlGpmSampleGet", device, |machine, place| {
        let card = &machine.cards[place.card];
        if card.has_mig_mode || card.model.compute_capability.0 < 9 {
            return Err(Code::NOT_SUPPORTED);
        }
        let taken = Sample { of: Some(place), utilisation_percent: card.load.utilisation_percent };
        // SAFETY: made by `nvmlGpmSampleAlloc`.
        unsafe { put(sample.cast(), taken) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmMigSampleGet(device: Handle, gpu_instance: u32, sample: *mut c_void) -> Code {
    ask_about("nvmlGpmMigSampleGet", device, |machine, _| {
        let index = card_of(device)?;
        let card = &machine.cards[index];
        if card.model.compute_capability.0 < 9 {
            return Err(Code::NOT_SUPPORTED);
        }
        let position = card.instances.iter().position(|instance| instance.id == gpu_instance);
        let position = position.ok_or(Code::INVALID_ARGUMENT)?;
        let of = Some(Place { card: index, instance: Some(position) });
        let taken = Sample { of, utilisation_percent: card.instances[position].utilisation_percent };
        // SAFETY: made by `nvmlGpmSampleAlloc`.
        unsafe { put(sample.cast(), taken) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut c_void) -> Code {
    ask_library("nvmlGpmMetricsGet", |_| {
        let request = request.cast::<Request>();
        if request.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's structure, with two samples of `nvmlGpmSampleAlloc` or null pointers.
        let (count, samples) =
            unsafe { ((*request).count, (*request).samples.map(|sample| sample.cast::<Sample>().as_ref())) };
        let [Some(before), Some(after)] = samples else { return Err(Code::INVALID_ARGUMENT) };
        if before.of.is_none() || before.of != after.of {
            return Err(Code::INVALID_ARGUMENT);
        }
        for position in 0..count as usize {
            // SAFETY: the caller's array has room for as many as it says.
            let metric = unsafe { &mut *(&raw mut (*request).metrics).cast::<Metric>().add(position) };
            metric.names = [std::ptr::null_mut(); 3];
            metric.code = Code::NOT_SUPPORTED;
            if metric.id == GRAPHICS_UTILISATION {
                metric.value = f64::from(before.utilisation_percent + after.utilisation_percent) / 2.0;
                metric.code = Code::SUCCESS;
            }
        }
        Ok(())
    })
}
