//! The machine that a scenario describes.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::code::Code;
use crate::model::{Model, Profile};

/// Everything that the library knows.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) driver: String,
    pub(crate) cards: Vec<Card>,
    /// Pairs with an NVLink between them, the smaller index first.
    pub(crate) links: BTreeSet<(usize, usize)>,
    pub(crate) faults: Vec<Fault>,
    /// What the driver has complained about so far.
    pub(crate) xids: Vec<Xid>,
}

/// A complaint of the driver about a card or an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Xid {
    pub(crate) place: Place,
    pub(crate) number: u64,
}

#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) model: &'static Model,
    pub(crate) uuid: String,
    pub(crate) numa: u32,
    /// The processors near it; not told where there are none.
    pub(crate) cpus: Vec<usize>,
    pub(crate) load: Load,
    pub(crate) has_mig_mode: bool,
    pub(crate) instances: Vec<Instance>,
    /// A program has made or destroyed instances.
    pub(crate) is_redivided: bool,
    pub(crate) processes: Vec<Process>,
    pub(crate) ecc: Ecc,
    /// It has fallen off the bus.
    pub(crate) is_lost: bool,
}

/// What a card does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) utilisation_percent: u32,
    pub(crate) temperature_celsius: u32,
    pub(crate) power_watts: u32,
    /// Memory in use beside that of processes.
    pub(crate) memory_mib: u64,
}

/// What a card's memory has been through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ecc {
    pub(crate) corrected: u64,
    pub(crate) uncorrected: u64,
    pub(crate) remapped_rows: u32,
    pub(crate) has_pending_remapping: bool,
    pub(crate) has_failed_remapping: bool,
}

/// A GPU instance; a MIG device when it has its one compute instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) profile: &'static Profile,
    /// Its first memory slice.
    pub(crate) start: u32,
    pub(crate) uuid: String,
    /// Its number on its card, from 1.
    pub(crate) id: u32,
    pub(crate) has_compute: bool,
    pub(crate) utilisation_percent: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) memory_mib: u64,
    /// The instance that it is on.
    pub(crate) instance: Option<usize>,
    /// It computes through MPS.
    pub(crate) is_mps_client: bool,
}

/// What goes wrong, or slowly, in a call.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Every card's calls where absent, and those that are no card's.
    pub(crate) card: Option<usize>,
    pub(crate) function: String,
    pub(crate) effect: Effect,
    /// It has happened.
    pub(crate) is_spent: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    Fail(Code),
    /// The next call only, until the scenario is read again.
    FailOnce(Code),
    Wait(Duration),
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) card: usize,
    pub(crate) instance: Option<usize>,
}

impl Machine {
    /// A machine without cards.
    pub(crate) fn new() -> Self {
        Self {
            driver: "580.95.05".to_owned(),
            cards: Vec::new(),
            links: BTreeSet::new(),
            faults: Vec::new(),
            xids: Vec::new(),
        }
    }

    /// Whether two cards have an NVLink between them.
    pub(crate) fn are_linked(&self, one: usize, other: usize) -> bool {
        self.links.contains(&(one.min(other), one.max(other)))
    }
}

impl Card {
    pub(crate) fn new(model: &'static Model, index: usize) -> Self {
        Self {
            model,
            uuid: format!("GPU-51310000-0000-4000-8000-{index:012x}"),
            numa: 0,
            cpus: Vec::new(),
            load: Load { temperature_celsius: 34, power_watts: model.power_limit_watts / 10, ..Load::default() },
            has_mig_mode: false,
            instances: Vec::new(),
            is_redivided: false,
            processes: Vec::new(),
            ecc: Ecc::default(),
            is_lost: false,
        }
    }

    /// Memory in use, on the whole card or on one of its instances.
    pub(crate) fn memory_used_mib(&self, instance: Option<usize>) -> u64 {
        let of_place = |process: &&Process| instance.is_none() || process.instance == instance;
        let processes: u64 = self.processes.iter().filter(of_place).map(|process| process.memory_mib).sum();
        let other = if instance.is_none() { self.load.memory_mib } else { 0 };
        processes.saturating_add(other).min(self.memory_mib(instance))
    }

    /// Memory there is, of the whole card or of one of its instances.
    pub(crate) fn memory_mib(&self, instance: Option<usize>) -> u64 {
        let slices = |instance: &Instance| {
            self.model.memory_mib * u64::from(instance.profile.memory_slices) / u64::from(self.model.memory_slices())
        };
        instance.and_then(|index| self.instances.get(index)).map_or(self.model.memory_mib, slices)
    }
}
