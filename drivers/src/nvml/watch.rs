//! Looking at some cards again and again, and listening to what the driver says of them.

use std::time::{Duration, Instant};

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::error::NvmlError as Failure;
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

use super::events::{CardEvent, EventSet, Waited};
use super::gpm::Counters;
use super::library::{identity, instances_of};
use super::raw::{RemappedRows, gpu_instance, remapped_rows};
use super::report::processes;
use super::{GpuProcess, GpuSample, NvmlError, NvmlProbe};

/// So many events are taken in one go; a driver that says more is asked again.
const MOST_EVENTS: usize = 64;

/// How a card was when it was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct CardLook {
    /// The card, whole.
    pub card: GpuCard,
    /// What it told.
    pub state: Result<CardState, CardTrouble>,
}

/// What a card tells that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct CardState {
    /// Load, memory, temperature, power.
    pub sample: GpuSample,
    /// Its MIG devices.
    pub instances: Vec<InstanceLook>,
    /// Who uses it.
    pub processes: Vec<GpuProcess>,
    /// Memory errors that could not be corrected since the driver was loaded; absent where it does not count them.
    pub uncorrected_ecc: Option<u64>,
    /// Rows of memory that were replaced.
    pub rows: Option<RemappedRows>,
}

/// A MIG device.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceLook {
    /// It; its index is that of its card.
    pub instance: GpuCard,
    /// The number of its GPU instance.
    pub gpu_instance: Option<u32>,
    /// Load, memory, temperature, power: memory, in most cases.
    pub sample: GpuSample,
}

/// Why a card tells nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardTrouble {
    /// It has fallen off the bus, or is not there any more.
    Lost(String),
    /// A call failed; the next may not.
    Silent(String),
}

/// Eyes and ears for some cards. For a thread of its own: every call blocks.
pub struct Watch<'nvml> {
    probe: &'nvml NvmlProbe,
    cards: Vec<GpuCard>,
    events: Option<EventSet<'nvml>>,
    /// The cards that the events are of.
    listened_to: Vec<GpuId>,
    has_said: bool,
    counters: Counters<'nvml>,
}

impl<'nvml> Watch<'nvml> {
    /// Watches the cards that these are, or are instances of. One that is not there is one that is lost.
    pub fn new(probe: &'nvml NvmlProbe, of: &[GpuCard]) -> Result<Self, NvmlError> {
        let found = probe.inventory()?;
        let mut cards: Vec<GpuCard> = Vec::new();
        for wanted in of {
            let card = found.iter().find(|found| {
                found.card.id == wanted.id || found.instances.iter().any(|instance| instance.id == wanted.id)
            });
            // A card without its instance may have been divided anew since.
            let card = card.or_else(|| found.iter().find(|found| found.card.index == wanted.index));
            let card = card.map_or(wanted, |found| &found.card);
            if !cards.iter().any(|known| known.id == card.id) {
                cards.push(card.clone());
            }
        }
        let mut watch = Self {
            probe,
            cards,
            events: None,
            listened_to: Vec::new(),
            has_said: false,
            counters: Counters::default(),
        };
        let answering = watch.cards.iter().map(|card| card.id.clone()).collect();
        watch.listen_to(answering);
        Ok(watch)
    }

    /// Listens anew, where the cards that answer are not those that it listens to.
    fn listen_to(&mut self, cards: Vec<GpuId>) {
        if self.listened_to == cards {
            return;
        }
        let mut events = match EventSet::new(&self.probe.nvml) {
            Ok(events) => events,
            Err(error) => return self.say(&error.to_string()),
        };
        for card in &cards {
            let device = self.probe.nvml.device_by_uuid(card.as_str());
            if !device.is_ok_and(|device| events.listen_to(&device, card)) {
                self.say(&format!("GPU {card} has none"));
            }
        }
        self.events = Some(events);
        self.listened_to = cards;
    }

    fn say(&mut self, why: &str) {
        if !std::mem::replace(&mut self.has_said, true) {
            tracing::warn!(why, "the NVIDIA driver gives no events: errors are seen only in what is counted");
        }
    }

    /// Waits until something happens, at most so long, and gives all that has happened.
    pub fn wait(&mut self, at_most: Duration) -> Vec<CardEvent> {
        let deadline = Instant::now() + at_most;
        let mut happened = Vec::new();
        while let Some(events) = &self.events {
            let left =
                if happened.is_empty() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            match events.wait(left) {
                Waited::Event(event) => happened.push(event),
                Waited::Nothing => return happened,
                Waited::Failed(code) => {
                    tracing::debug!(code, "the driver's events end; listening again with the next look");
                    self.events = None;
                    self.listened_to.clear();
                }
            }
            if happened.len() >= MOST_EVENTS {
                return happened;
            }
        }
        if happened.is_empty() {
            // Nobody wakes this thread: a pause.
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        happened
    }

    /// Looks at every card.
    pub fn look(&mut self) -> Vec<CardLook> {
        let cards = self.cards.clone();
        let looks: Vec<CardLook> = cards
            .into_iter()
            .map(|card| {
                let state = self.look_at(&card);
                CardLook { card, state }
            })
            .collect();
        let states = looks.iter().filter_map(|look| look.state.as_ref().ok());
        self.counters.keep(&states.flat_map(|state| &state.instances).map(|seen| seen.instance.id.clone()).collect());
        let answering = looks.iter().filter(|look| look.state.is_ok()).map(|look| look.card.id.clone());
        self.listen_to(answering.collect());
        looks
    }

    fn look_at(&mut self, card: &GpuCard) -> Result<CardState, CardTrouble> {
        let nvml = &self.probe.nvml;
        let device = nvml.device_by_uuid(card.id.as_str()).map_err(trouble)?;
        // A card that is lost has a handle all the same.
        device.memory_info().map_err(trouble)?;
        let counted = device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
        let uncorrected_ecc = match counted {
            Ok(errors) => Some(errors),
            Err(Failure::GpuLost) => return Err(trouble(Failure::GpuLost)),
            Err(_) => None,
        };
        Ok(CardState {
            sample: GpuSample::of(&device, card.id.clone(), card.index),
            instances: self.instances(&device, card.index),
            processes: processes(&device),
            uncorrected_ecc,
            rows: remapped_rows(nvml, &device),
        })
    }

    fn instances(&mut self, card: &Device<'nvml>, index: u32) -> Vec<InstanceLook> {
        let nvml = &self.probe.nvml;
        let devices = instances_of(card);
        let has_counters = !devices.is_empty() && card.gpm_support().unwrap_or(false);
        let instances = devices.into_iter().filter_map(|device| {
            let instance = identity(&device, index).ok()?;
            let gpu_instance = gpu_instance(nvml, &device);
            let mut sample = GpuSample::of(&device, instance.id.clone(), index);
            if let Some(number) = gpu_instance.filter(|_| has_counters && sample.utilisation_percent.is_none()) {
                sample.utilisation_percent = self.counters.utilisation(nvml, card, &instance.id, number);
            }
            Some(InstanceLook { instance, gpu_instance, sample })
        });
        instances.collect()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn trouble(error: Failure) -> CardTrouble {
    let why = error.to_string();
    let is_lost = matches!(error, Failure::GpuLost | Failure::NotFound);
    if is_lost { CardTrouble::Lost(why) } else { CardTrouble::Silent(why) }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("cards", &self.cards).finish_non_exhaustive()
    }
}
