//! The real NVML code against the simulated library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use drivers::nvml::{FoundCard, GpuSample, NvmlError, NvmlProbe, Watch};
use protocols::gpu::{Demand, GpuCard, GpuLedger, Share, Verdict, decide};
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
    let whole = |card| FoundCard { card, has_mig_mode: false, instances: Vec::new() };
    let cards = [card("GPU-a", 0, "NVIDIA L4", 23_034), card("GPU-b", 1, "NVIDIA L4", 0)].map(whole);
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

#[test]
fn divided_cards_have_instances() {
    let simulated = Simulated::new(
        "cards 2 H100\n\
         instance 1 3g.40gb 4\n\
         instance 1 1g.10gb 0\n",
    );
    let found = simulated.probe().unwrap().inventory().unwrap();
    assert_eq!(found.iter().map(|found| found.has_mig_mode).collect::<Vec<_>>(), [false, true]);
    let instances: Vec<_> = found[1]
        .instances
        .iter()
        .map(|instance| (instance.index, instance.name.as_str(), instance.memory_bytes >> 20))
        .collect();
    let name = |profile: &str| format!("NVIDIA H100 80GB HBM3 MIG {profile} (simulated)");
    assert_eq!(instances, [(1, &*name("3g.40gb"), 81_559 / 2), (1, &*name("1g.10gb"), 81_559 / 8)]);
}

#[test]
fn a_report_has_everything_that_cards_tell() {
    let simulated = Simulated::new(
        "cards 2 H100\n\
         set 0 utilisation=97 temperature=61 power=650 ecc_uncorrected=3 remapped_rows=2 remapping_pending=1\n\
         process 0 4242 20000\n\
         client 0 4244 100\n\
         instance 1 3g.40gb 4\n\
         process 1:0 4243 100\n\
         card L4\n\
         lost 2\n",
    );
    let report = simulated.probe().unwrap().report().unwrap();
    assert_eq!(report.driver.as_deref(), Some("580.95.05"));
    assert_eq!(report.cuda.as_deref(), Some("13.0"));
    assert_eq!(report.unreadable.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2]);
    let [first, second] = report.cards.as_slice() else { panic!("{report:?}") };
    assert_eq!(first.sample.utilisation_percent, Some(97.0));
    assert_eq!(first.sample.memory_used_mb, Some(20_100.0));
    assert_eq!(first.sample.power_limit_watts, Some(700.0));
    assert_eq!((first.numa_node, second.numa_node), (Some(0), Some(1)));
    assert_eq!(first.pci_bus_id.as_deref(), Some("00000000:01:00.0"));
    assert_eq!((first.mig_mode, second.mig_mode), (Some(false), Some(true)));
    assert_eq!(first.uncorrected_ecc_errors, Some(3));
    let rows = first.remapped_rows.unwrap();
    assert_eq!((rows.uncorrected, rows.is_pending, rows.has_failed), (2, true, false));
    let process = &first.processes[0];
    assert_eq!((process.pid, process.memory_bytes, process.gpu_instance), (4242, Some(20_000 << 20), None));
    let through_mps = &first.processes[1];
    assert_eq!((through_mps.pid, through_mps.computes, through_mps.memory_bytes), (4244, true, Some(100 << 20)));
    let instance = &second.instances[0];
    assert_eq!(instance.memory_used_bytes, Some(100 << 20));
    assert_eq!(second.processes[0].gpu_instance, instance.gpu_instance);
    assert_eq!(second.sample.utilisation_percent, None, "a divided card has none");
}

/// Two nodes, and NVLinks between 0 and 1, 2 and 3: which cards go together is read from the driver.
#[test]
fn linked_cards_of_one_node_are_near() {
    let simulated = Simulated::new("card L4\ncard L4 numa=1\ncard L4\ncard L4 numa=1\nlink 0 1\n");
    let probe = simulated.probe().unwrap();
    let cards: Vec<GpuCard> = probe.inventory().unwrap().into_iter().map(|found| found.card).collect();
    let pool = probe.pool(cards.clone());
    let chosen = |usable: &[usize]| {
        let ledger = GpuLedger::new(cards.iter().map(|card| card.id.clone()));
        let two = Demand::Cards { least: 2, most: 2 };
        decide(&pool, &ledger, |card| usable.contains(&card), [two.into()]).remove(0)
    };
    let starts = |cards: [usize; 2]| Verdict::Starts { cards: cards.to_vec(), share: Share::WHOLE };
    assert_eq!(chosen(&[0, 1, 2, 3]), starts([0, 1]), "a link counts for more than a node");
    assert_eq!(chosen(&[1, 2, 3]), starts([1, 3]), "a node counts for more than nothing");
}

/// Counters of the card, read twice: cards in MIG mode tell nothing else of their instances.
#[test]
fn instances_are_as_busy_as_their_counters_say() {
    let divided = "instance 0 3g.40gb 4\ninstance 0 1g.10gb 0\nset 0:0 utilisation=40\nset 0:1 utilisation=7\n";
    let busy = |model: &str| {
        let simulated = Simulated::new(&format!("card {model}\n{divided}"));
        let probe = simulated.probe().unwrap();
        let cards: Vec<GpuCard> = probe.inventory().unwrap().into_iter().map(|found| found.card).collect();
        let mut watch = Watch::new(&probe, &cards).unwrap();
        let mut look = || -> Vec<Option<f64>> {
            let state = watch.look().remove(0).state.unwrap();
            state.instances.iter().map(|instance| instance.sample.utilisation_percent).collect()
        };
        (look(), look())
    };
    assert_eq!(busy("H100"), (vec![None, None], vec![Some(40.0), Some(7.0)]));
    let before_hopper = busy("A100");
    assert_eq!(before_hopper.1, [None, None], "older cards have no such counters");
}
