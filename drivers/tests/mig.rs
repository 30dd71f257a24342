//! Dividing cards: the real code against the simulated library, with a failure at every call.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use drivers::nvml::{MigCard, MigRecord, NvmlProbe};
use protocols::gpu::GpuCard;
use protocols::gpu::mig::{Geometry, Placed, Step};

/// Every function that dividing calls.
const CALLS: [&str; 12] = [
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetGpuInstanceProfileInfoV",
    "nvmlDeviceGetGpuInstancePossiblePlacements_v2",
    "nvmlDeviceGetGpuInstances",
    "nvmlGpuInstanceGetInfo",
    "nvmlDeviceCreateGpuInstanceWithPlacement",
    "nvmlGpuInstanceGetComputeInstanceProfileInfo",
    "nvmlGpuInstanceCreateComputeInstance",
    "nvmlGpuInstanceGetComputeInstances",
    "nvmlComputeInstanceDestroy",
    "nvmlGpuInstanceDestroy",
    "nvmlDeviceGetMigDeviceHandleByIndex",
];

struct Simulated {
    directory: tempfile::TempDir,
    scenario: String,
}

impl Simulated {
    fn new(scenario: &str) -> Self {
        let simulated = Self { directory: tempfile::tempdir().unwrap(), scenario: scenario.to_owned() };
        let built = std::env::current_exe().unwrap().with_file_name("libhostler_fake_nvml.so");
        std::fs::copy(built, simulated.library()).unwrap();
        simulated.change("");
        simulated
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("libnvidia-ml.so.1")
    }

    /// The same machine, with other faults.
    fn change(&self, faults: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, format!("{}{faults}", self.scenario)).unwrap();
        std::fs::rename(new, self.directory.path().join("scenario")).unwrap();
    }

    fn record(&self) -> MigRecord {
        MigRecord::open(&self.directory.path().join("mig.mpk")).unwrap()
    }
}

fn placed(profile: &str, start: u8) -> Placed {
    Placed { profile: profile.parse().unwrap(), start }
}

fn cards(probe: &NvmlProbe) -> Vec<GpuCard> {
    probe.inventory().unwrap().into_iter().map(|found| found.card).collect()
}

/// The instances of a card that a task could have.
fn instances(card: &MigCard) -> Vec<Placed> {
    let mut there: Vec<Placed> =
        card.instances.iter().filter(|instance| instance.device.is_some()).map(|instance| instance.placed).collect();
    there.sort_unstable();
    there
}

#[test]
fn the_geometry_is_read_from_the_driver() {
    for (model, expected) in [
        ("A100-40GB", Geometry::a100_40gb()),
        ("A100", Geometry::a100_80gb()),
        ("H100", Geometry::h100_80gb()),
        ("H200", Geometry::h200_141gb()),
    ] {
        let simulated = Simulated::new(&format!("card {model}\nmig 0\n"));
        let probe = NvmlProbe::load(Some(simulated.library())).unwrap();
        let mut read = probe.mig_card(&cards(&probe)[0]).unwrap().geometry;
        let mut expected = expected;
        for geometry in [&mut read, &mut expected] {
            geometry.shapes.sort_by_key(|shape| shape.profile);
        }
        assert_eq!(read, expected, "{model}");
    }
}

#[test]
fn instances_are_made_and_destroyed_and_outlive_the_program() {
    let simulated = Simulated::new("cards 2 H100\nmig 0\ninstance 1 3g.40gb 4\n");
    let probe = NvmlProbe::load(Some(simulated.library())).unwrap();
    let (cards, mut record) = (cards(&probe), simulated.record());
    let small = placed("1g.10gb", 6);
    let steps = [Step::Create { card: 0, placed: small }, Step::Create { card: 1, placed: placed("2g.20gb", 0) }];
    probe.divide(&cards, &steps, &mut record).unwrap();
    drop(probe);

    let probe = NvmlProbe::load(Some(simulated.library())).unwrap();
    let mut record = simulated.record();
    let card = probe.mig_card(&cards[0]).unwrap();
    assert_eq!(instances(&card), [small]);
    let device = card.instances[0].device.clone().unwrap();
    assert_eq!(device.profile(), Some(small.profile));
    assert!(record.has(&cards[0].id, small) && !record.has(&cards[1].id, placed("3g.40gb", 4)));
    assert_eq!(instances(&probe.mig_card(&cards[1]).unwrap()).len(), 2);
    probe.divide(&cards, &[Step::Destroy { card: 0, placed: small }], &mut record).unwrap();
    assert!(instances(&probe.mig_card(&cards[0]).unwrap()).is_empty());
    assert!(!simulated.record().has(&cards[0].id, small));
}

#[test]
fn whatever_call_fails_everything_is_as_it_was() {
    let mut failures = 0;
    for call in CALLS {
        for (how, card) in [("once", "0"), ("once", "1"), ("fail", "0"), ("fail", "*")] {
            failures += usize::from(has_failed(call, how, card));
        }
    }
    assert!(failures >= 30, "{failures} failures were seen");
}

/// Divides two cards anew while calls fail, and looks at what is left. Whether it failed.
fn has_failed(call: &str, how: &str, failing: &str) -> bool {
    let simulated = Simulated::new("cards 2 H100\nmig 0\nmig 1\n");
    let probe = NvmlProbe::load(Some(simulated.library())).unwrap();
    let (cards, mut record) = (cards(&probe), simulated.record());
    let before = [placed("1g.10gb", 0), placed("3g.40gb", 4)];
    let made = before.map(|placed| Step::Create { card: 0, placed });
    probe.divide(&cards, &made, &mut record).unwrap();
    // Two are in the way of a large one; the other card gets one before that can fail.
    let steps = [
        Step::Create { card: 1, placed: placed("2g.20gb", 0) },
        Step::Destroy { card: 0, placed: before[0] },
        Step::Destroy { card: 0, placed: before[1] },
        Step::Create { card: 0, placed: placed("7g.80gb", 0) },
    ];
    simulated.change(&format!("{how} {failing} {call} UNKNOWN\n"));
    let outcome = probe.divide(&cards, &steps, &mut record);
    simulated.change("");
    let states: Vec<MigCard> = cards.iter().map(|card| probe.mig_card(card).unwrap()).collect();
    let now: Vec<Vec<Placed>> = states.iter().map(instances).collect();
    let told = format!("{how} {failing} {call}: {outcome:?}: {now:?}");
    for state in &states {
        for instance in &state.instances {
            assert!(
                simulated.record().has(&state.card.id, instance.placed),
                "{instance:?} is not in the record: {told}"
            );
        }
    }
    match (&outcome, how) {
        (Ok(()), _) => assert_eq!(now, [vec![placed("7g.80gb", 0)], vec![placed("2g.20gb", 0)]], "{told}"),
        (Err(_), "once") => assert_eq!(now, [before.to_vec(), Vec::new()], "{told}"),
        // What can never be called cannot undo anything either.
        (Err(_), _) => assert!(now[0].iter().all(|placed| before.contains(placed)), "{told}"),
    }
    outcome.is_err()
}

#[test]
fn what_is_in_use_is_not_destroyed() {
    let simulated = Simulated::new("card H100\ninstance 0 3g.40gb 0\ninstance 0 1g.10gb 4\nprocess 0:0 1 1000\n");
    let probe = NvmlProbe::load(Some(simulated.library())).unwrap();
    let (cards, mut record) = (cards(&probe), simulated.record());
    let steps = [placed("1g.10gb", 4), placed("3g.40gb", 0)].map(|placed| Step::Destroy { card: 0, placed });
    let error = probe.divide(&cards, &steps, &mut record).expect_err("a process is on it").to_string();
    assert!(error.contains("nvmlComputeInstanceDestroy"), "{error}");
    assert_eq!(instances(&probe.mig_card(&cards[0]).unwrap()), [placed("1g.10gb", 4), placed("3g.40gb", 0)]);
}
