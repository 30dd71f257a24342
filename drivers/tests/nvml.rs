//! The real NVML code against the simulated library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use drivers::nvml::{GpuProbe, GpuSample, NvmlError, NvmlProbe};
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

/// A simulated machine. A copy of the library each, because a loader loads one file once.
struct Simulated {
    directory: tempfile::TempDir,
}

impl Simulated {
    fn new(scenario: &str) -> Self {
        let simulated = Self { directory: tempfile::tempdir().unwrap() };
        let built = std::env::current_exe().unwrap().with_file_name("libhostler_fake_nvml.so");
        std::fs::copy(built, simulated.library()).unwrap();
        simulated.change(scenario);
        simulated
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("libnvidia-ml.so.1")
    }

    /// Replaces the scenario, whole.
    fn change(&self, scenario: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, scenario).unwrap();
        std::fs::rename(new, self.directory.path().join("scenario")).unwrap();
    }

    fn probe(&self) -> Result<NvmlProbe, NvmlError> {
        NvmlProbe::load(Some(self.library()))
    }
}

fn card(id: &str, index: u32, name: &str, memory_mib: u64) -> GpuCard {
    GpuCard { id: GpuId::from(id), index, name: format!("{name} (simulated)"), memory_bytes: memory_mib << 20 }
}

#[test]
fn cards_are_read_as_far_as_they_tell() {
    let simulated = Simulated::new(
        "card L4 uuid=GPU-a utilisation=75 temperature=61 power=70 memory=4096\n\
         card L4 uuid=GPU-b\n\
         fail 1 nvmlDeviceGetMemoryInfo NOT_SUPPORTED\n\
         fail 1 nvmlDeviceGetUtilizationRates NOT_SUPPORTED\n\
         fail 1 nvmlDeviceGetTemperature NOT_SUPPORTED\n\
         fail 1 nvmlDeviceGetPowerUsage NOT_SUPPORTED\n\
         card H100 uuid=GPU-c\n\
         lost 2\n",
    );
    let probe = simulated.probe().unwrap();
    let cards = [card("GPU-a", 0, "NVIDIA L4", 23_034), card("GPU-b", 1, "NVIDIA L4", 0)];
    assert_eq!(probe.inventory().unwrap(), cards);
    let well = GpuSample {
        id: GpuId::from("GPU-a"),
        index: 0,
        utilisation_percent: Some(75.0),
        temperature_celsius: Some(61.0),
        memory_used_mb: Some(4096.0),
        memory_free_mb: Some(18_938.0),
        power_watts: Some(70.0),
    };
    assert_eq!(probe.sample(), [well, GpuSample::unknown(GpuId::from("GPU-b"), 1)]);
}

#[test]
fn a_card_that_falls_off_the_bus_is_missed_and_comes_back() {
    let simulated = Simulated::new("cards 2 H100");
    let probe = simulated.probe().unwrap();
    let indexes = || probe.sample().iter().map(|sample| sample.index).collect::<Vec<_>>();
    assert_eq!(indexes(), [0, 1]);
    simulated.change("cards 2 H100\nlost 0");
    assert_eq!(indexes(), [1]);
    simulated.change("cards 2 H100");
    assert_eq!(indexes(), [0, 1]);
}

#[test]
fn cards_that_are_all_lost_are_an_error() {
    let simulated = Simulated::new("cards 2 H100\nlost 0\nlost 1");
    let probe = simulated.probe().unwrap();
    assert!(matches!(probe.inventory(), Err(NvmlError::Card { index: 0, .. })));
    assert_eq!(probe.sample(), []);
}

#[test]
fn a_driver_that_is_not_loaded_is_told_from_one_that_is_not_installed() {
    let simulated = Simulated::new("fail * nvmlInit DRIVER_NOT_LOADED");
    let error = simulated.probe().unwrap_err();
    assert!(matches!(error, NvmlError::NotUsable { .. }), "{error:?}");
}
