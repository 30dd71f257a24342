//! The real NVML code against a small library that is compiled here: two cards, one of them sick.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use drivers::nvml::{GpuProbe, GpuSample, NvmlError, NvmlProbe};
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

/// What the loader and the wrapper need. Card 0 tells everything, card 1 only its name, card 2 has fallen off the bus.
const LIBRARY: &str = r#"
#include <stdio.h>
#define NOT_SUPPORTED 3
#define DRIVER_NOT_LOADED 9
#define GPU_IS_LOST 15
typedef unsigned long card;
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.1"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, card *device) { *device = index + FIRST; return *device > 1 ? GPU_IS_LOST : 0; }
int nvmlDeviceGetUUID(card device, char *text, unsigned size) { snprintf(text, size, "GPU-%lu", device); return 0; }
int nvmlDeviceGetName(card device, char *text, unsigned size) { snprintf(text, size, "Card %lu", device); return 0; }
struct memory { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(card device, struct memory *memory) {
    if (device) return NOT_SUPPORTED;
    memory->total = 16ULL << 30; memory->free = 12ULL << 30; memory->used = 4ULL << 30; memory->reserved = 0;
    return 0;
}
int nvmlDeviceGetUtilizationRates(card device, unsigned *rates) { rates[0] = 75; rates[1] = 5; return device ? NOT_SUPPORTED : 0; }
int nvmlDeviceGetTemperature(card device, int sensor, unsigned *celsius) { *celsius = 61; return device ? NOT_SUPPORTED : 0; }
int nvmlDeviceGetPowerUsage(card device, unsigned *milliwatts) { *milliwatts = 250500; return device ? NOT_SUPPORTED : 0; }
"#;

/// Compiles the library: what `nvmlInit` answers, and which card is the first.
fn library(directory: &Path, init: &str, first: u32) -> PathBuf {
    let (source, library) = (directory.join("nvml.c"), directory.join("libnvidia-ml.so.1"));
    std::fs::write(&source, LIBRARY).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .args([format!("-DINIT={init}"), format!("-DFIRST={first}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

#[test]
fn cards_are_read_as_far_as_they_tell() {
    let directory = tempfile::tempdir().unwrap();
    let probe = NvmlProbe::load(Some(library(directory.path(), "0", 0))).unwrap();
    let card = |index: u32, memory_bytes| GpuCard {
        id: GpuId::new(format!("GPU-{index}")),
        index,
        name: format!("Card {index}"),
        memory_bytes,
    };
    assert_eq!(probe.inventory().unwrap(), [card(0, 16 << 30), card(1, 0)]);
    let well = GpuSample {
        id: GpuId::from("GPU-0"),
        index: 0,
        utilisation_percent: Some(75.0),
        temperature_celsius: Some(61.0),
        memory_used_mb: Some(4096.0),
        memory_free_mb: Some(12288.0),
        power_watts: Some(250.5),
    };
    assert_eq!(probe.sample(), [well, GpuSample::unknown(GpuId::from("GPU-1"), 1)]);
}

#[test]
fn cards_that_are_all_lost_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let probe = NvmlProbe::load(Some(library(directory.path(), "0", 2))).unwrap();
    assert!(matches!(probe.inventory(), Err(NvmlError::Card { index: 0, .. })));
    assert_eq!(probe.sample(), []);
}

#[test]
fn a_driver_that_is_not_loaded_is_told_from_one_that_is_not_installed() {
    let directory = tempfile::tempdir().unwrap();
    let error = NvmlProbe::load(Some(library(directory.path(), "DRIVER_NOT_LOADED", 0))).unwrap_err();
    assert!(matches!(error, NvmlError::NotUsable { .. }), "{error:?}");
}
