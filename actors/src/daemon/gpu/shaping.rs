//! MIG instances that are made for those who wait, and taken away when they are in the way.
//!
//! `GpuPartitioner` owns this; what blocks runs beside it, one piece at a time, and gives back how the cards are divided
//! afterwards. Leases are of instances that are there: making one is not leasing it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use drivers::nvml::{MigCard, MigRecord, NvmlProbe};
use protocols::gpu::mig::{Answer, Divided, Geometry, Instance, Plan, Step, Wanted, plan};
use protocols::gpu::{Demand, GpuCard, GpuLedger, Making, MigProfile, Pool};
use protocols::ids::{GpuId, TaskId};
use tokio::time::Instant;
use tracing::{info, warn};

use super::waits::Place;
use crate::daemon::settings::{Division, DynamicMig};
use crate::kit::Backoff;

/// As long as somebody waits, cards are looked at so often: others may divide them too.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a piece of work on the cards left behind.
pub(super) struct Reshaped {
    /// Why it was not done. Then everything is as it was, as far as the driver lets go.
    pub(super) failed: Option<String>,
    /// How the cards are divided now, with everything that is given out; absent where they do not answer.
    pub(super) now: Option<(Division, Pool)>,
}

pub(super) struct Shaping {
    settings: DynamicMig,
    /// The card that each of those who wait holds.
    held: BTreeMap<TaskId, usize>,
    /// Instances that are being taken away.
    going: BTreeSet<GpuId>,
    pub(super) is_working: bool,
    /// The cards did not answer the last time: they are looked at before anything is done.
    is_stale: bool,
    failed: Option<String>,
    backoff: Backoff,
    looked_at: Instant,
    /// The sizes that the cards can have, those that do not answer for now among them.
    known: BTreeSet<MigProfile>,
}

/// What is planned for those who wait, in their order.
pub(super) struct Shape {
    steps: Vec<Step>,
    /// For each who wants an instance: which, and what becomes of it.
    answers: Vec<Option<(MigProfile, Answer)>>,
}

impl Shaping {
    pub(super) fn new(settings: DynamicMig) -> Self {
        let (held, going) = (BTreeMap::new(), BTreeSet::new());
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let (looked_at, known) = (Instant::now(), profiles(&settings.division).collect());
        Self { settings, held, going, is_working: false, is_stale: false, failed: None, backoff, looked_at, known }
    }

    /// Whether an instance may be given to a task.
    pub(super) fn is_going(&self, gpu: &GpuId) -> bool {
        self.going.contains(gpu)
    }

    /// Plans for all who wait for an instance. `is_free` tells of an instance whether a task may have it.
    pub(super) fn plan<'a>(
        &mut self,
        waiting: impl Iterator<Item = (&'a TaskId, &'a Demand)> + Clone,
        is_free: impl Fn(&GpuCard) -> bool,
    ) -> Shape {
        let cards: Vec<Divided> = self.divided(is_free);
        let of_instances = waiting.clone().filter_map(|(task, demand)| match demand {
            Demand::Instance(profile) => Some((task, *profile)),
            Demand::Cards { .. } | Demand::Share(_) => None,
        });
        let wanted: Vec<(&TaskId, Wanted)> = of_instances
            .map(|(task, profile)| (task, Wanted { profile, held: self.held.get(task).copied() }))
            .collect();
        let Plan { steps, answers } = plan(&cards, &wanted.iter().map(|(_, wanted)| *wanted).collect::<Vec<_>>());
        let holding = wanted.iter().zip(&answers).filter_map(|((task, _), answer)| match answer {
            Answer::Holds(card) => Some(((*task).clone(), *card)),
            Answer::Given(_) | Answer::Behind | Answer::Never => None,
        });
        self.held = holding.collect();
        let mut answers = wanted.iter().map(|(_, wanted)| wanted.profile).zip(answers);
        let answers = waiting
            .map(|(_, demand)| if matches!(demand, Demand::Instance(_)) { answers.next() } else { None })
            .collect();
        Shape { steps, answers }
    }

    fn divided(&self, is_free: impl Fn(&GpuCard) -> bool) -> Vec<Divided> {
        let Division { cards, ours } = &self.settings.division;
        let divided = cards.iter().zip(ours).map(|(card, ours)| Divided {
            geometry: card.geometry.clone(),
            instances: card
                .instances
                .iter()
                .map(|instance| Instance {
                    placed: instance.placed,
                    // One that the driver does not show is nobody's to give.
                    is_busy: instance.device.as_ref().is_none_or(|device| !is_free(device)),
                    is_ours: ours.contains(&instance.placed),
                })
                .collect(),
        });
        divided.collect()
    }

    /// What one who waits keeps from those behind it, if something can be made for it.
    pub(super) fn making(&self, shape: &Shape, position: usize, pool: &Pool) -> Option<Making> {
        let cards = &self.settings.division.cards;
        let (profile, answer) = shape.answers.get(position)?.as_ref()?;
        let devices: Vec<&GpuId> = match answer {
            Answer::Holds(card) => {
                cards[*card].instances.iter().filter_map(|instance| Some(&instance.device.as_ref()?.id)).collect()
            }
            // What is there already is found without us.
            Answer::Given(grant) if grant.exists => return None,
            Answer::Given(grant) => self.destroyed(&shape.steps, Some(grant.card)).collect(),
            Answer::Behind => Vec::new(),
            // Whoever made what is in the way may take it away.
            Answer::Never if self.is_known(*profile) => Vec::new(),
            Answer::Never => return None,
        };
        let all = pool.cards().iter().enumerate();
        let keeps = all.filter(|(_, card)| devices.contains(&&card.id)).map(|(position, _)| position).collect();
        Some(Making { keeps })
    }

    /// The devices that steps take away, on one card or on all.
    fn destroyed<'a>(&'a self, steps: &'a [Step], of: Option<usize>) -> impl Iterator<Item = &'a GpuId> {
        steps.iter().filter_map(move |step| {
            let Step::Destroy { card, placed } = step else { return None };
            let instances = &self.settings.division.cards[*card].instances;
            let instance = instances.iter().find(|instance| instance.placed == *placed)?;
            let device = instance.device.as_ref()?;
            (of.is_none() || of == Some(*card)).then_some(&device.id)
        })
    }

    /// For people: where the instance of one who waits is to be made.
    pub(super) fn place(&self, shape: &Shape, position: usize) -> Option<Place> {
        let (profile, answer) = shape.answers.get(position)?.as_ref()?;
        let holds = match answer {
            Answer::Holds(card) => Some(self.settings.division.cards[*card].card.clone()),
            Answer::Given(grant) if grant.exists => return None,
            Answer::Given(_) => None,
            Answer::Never if self.is_known(*profile) => {
                let failed = "instances that this daemon did not make are in the way".to_owned();
                return Some(Place { holds: None, failed: Some(failed) });
            }
            Answer::Behind | Answer::Never => return None,
        };
        Some(Place { holds, failed: self.failed.clone() })
    }

    /// Whether a card can have an instance of a size at all.
    fn is_known(&self, profile: MigProfile) -> bool {
        self.known.contains(&profile)
    }

    /// What is to be done now, and where, as a piece of work that blocks; `None` where there is nothing to do, or
    /// something is being done.
    pub(super) fn begin(&mut self, shape: Shape, pool: &Pool) -> Option<impl FnOnce() -> Reshaped + Send + use<>> {
        let waits = |answer: &(MigProfile, Answer)| !matches!(answer.1, Answer::Given(grant) if grant.exists);
        // Others may have divided the cards anew.
        let is_old = self.looked_at.elapsed() > LOOK_EVERY && shape.answers.iter().flatten().any(waits);
        if self.is_working || (shape.steps.is_empty() && !self.is_stale && !is_old) {
            return None;
        }
        let steps = if self.is_stale { Vec::new() } else { shape.steps };
        if !steps.is_empty() {
            info!(?steps, "divides GPUs anew");
        }
        self.is_working = true;
        self.going = self.destroyed(&steps, None).cloned().collect();
        let settings = self.settings.clone();
        let others: Vec<GpuCard> = pool.cards().iter().filter(|card| !self.is_shaped(card)).cloned().collect();
        Some(move || work(&settings, &steps, others))
    }

    /// Whether a card of the pool is an instance that comes and goes.
    fn is_shaped(&self, card: &GpuCard) -> bool {
        let is_on = |divided: &MigCard| divided.card.index == card.index;
        card.profile().is_some() && self.settings.division.cards.iter().any(is_on)
    }

    /// Takes over how the cards are divided now. Gives the pool, where it has changed.
    pub(super) fn finish(&mut self, reshaped: Reshaped, ledger: &mut GpuLedger) -> Option<Pool> {
        self.is_working = false;
        self.looked_at = Instant::now();
        self.going.clear();
        if let Some(why) = &reshaped.failed {
            warn!(%why, "GPUs cannot be divided as was wanted");
        }
        self.failed = reshaped.failed;
        self.is_stale = reshaped.now.is_none();
        let (division, pool) = reshaped.now?;
        let gone = self.devices().filter(|old| !pool.cards().iter().any(|card| card.id == *old));
        gone.for_each(|gpu| ledger.remove(&gpu));
        pool.cards().iter().for_each(|card| ledger.add(card.id.clone()));
        self.known.extend(profiles(&division));
        self.settings.division = division;
        Some(pool)
    }

    /// After a failure: how long nothing is done.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        if self.failed.is_none() {
            self.backoff.reset();
            return None;
        }
        self.is_working = true;
        Some(self.backoff.next_wait())
    }

    fn devices(&self) -> impl Iterator<Item = GpuId> {
        let instances = self.settings.division.cards.iter().flat_map(|card| &card.instances);
        instances.filter_map(|instance| Some(instance.device.as_ref()?.id.clone()))
    }
}

/// Does the steps, and looks what there is afterwards. Blocks.
fn work(settings: &DynamicMig, steps: &[Step], others: Vec<GpuCard>) -> Reshaped {
    let cards: Vec<GpuCard> = settings.division.cards.iter().map(|card| card.card.clone()).collect();
    let divide = |probe: &NvmlProbe| -> Result<(), String> {
        let mut record = MigRecord::open(&settings.record).map_err(|error| error.to_string())?;
        probe.divide(&cards, steps, &mut record).map_err(|error| error.to_string())
    };
    let probe = match NvmlProbe::load(settings.library.clone()) {
        Ok(probe) => probe,
        Err(error) => return Reshaped { failed: Some(error.to_string()), now: None },
    };
    let failed = divide(&probe).err();
    match look(&probe, &settings.record, &cards) {
        Ok(division) => {
            let failed = failed.or_else(|| unseen(&division, steps));
            let mut all = others;
            all.extend(devices(&division));
            all.sort_by_key(|card| card.index);
            Reshaped { failed, now: Some((division, probe.pool(all))) }
        }
        Err(error) => Reshaped { failed: failed.or(Some(error)), now: None },
    }
}

/// What was made, and does not show up: made again at once it would not either.
fn unseen(division: &Division, steps: &[Step]) -> Option<String> {
    steps.iter().find_map(|step| {
        let Step::Create { card, placed } = step else { return None };
        let card = division.cards.get(*card)?;
        let is_there = card.instances.iter().any(|instance| instance.placed == *placed && instance.device.is_some());
        let (index, profile, start) = (card.card.index, placed.profile, placed.start);
        let why =
            || format!("GPU {index}: {profile} was made at memory slice {start}, and the driver does not show it");
        (!is_there).then(why)
    })
}

fn profiles(division: &Division) -> impl Iterator<Item = MigProfile> {
    division.cards.iter().flat_map(|card| &card.geometry.shapes).map(|shape| shape.profile)
}

fn devices(division: &Division) -> impl Iterator<Item = GpuCard> {
    let instances = division.cards.iter().flat_map(|card| &card.instances);
    instances.filter_map(|instance| instance.device.clone())
}

/// How these cards, which are in MIG mode, are divided, and which instances are ours. What a crash left half made is
/// taken away. Blocks.
pub fn look(probe: &NvmlProbe, record: &Path, cards: &[GpuCard]) -> Result<Division, String> {
    let mut record = MigRecord::open(record).map_err(|error| error.to_string())?;
    // One that does not answer has no room: the others have, all the same.
    let read = || -> Vec<MigCard> { cards.iter().map(|card| read(probe, card)).collect() };
    let mut divided = read();
    let answering: Vec<MigCard> = divided.iter().filter(|card| !card.geometry.shapes.is_empty()).cloned().collect();
    if answering.is_empty() {
        // At least one: then this says why it does not.
        cards.first().map_or(Ok(()), |card| probe.mig_card(card).map(|_| ())).map_err(|error| error.to_string())?;
    }
    record.reconcile(&answering).map_err(|error| error.to_string())?;
    let mut halves = Vec::new();
    for (card, found) in divided.iter().enumerate() {
        let half = found.instances.iter().filter(|instance| instance.is_half);
        let ours = half.filter(|instance| record.has(&found.card.id, instance.placed));
        halves.extend(ours.map(|instance| Step::Destroy { card, placed: instance.placed }));
    }
    for half in halves {
        if let Err(error) = probe.divide(cards, &[half], &mut record) {
            warn!(%error, "an instance that is half made cannot be taken away");
        }
        divided = read();
    }
    let ours = divided.iter().map(|card| {
        let of_card = card.instances.iter().map(|instance| instance.placed);
        of_card.filter(|placed| record.has(&card.card.id, *placed)).collect()
    });
    Ok(Division { ours: ours.collect(), cards: divided })
}

fn read(probe: &NvmlProbe, card: &GpuCard) -> MigCard {
    probe.mig_card(card).unwrap_or_else(|error| {
        warn!(%error, "a GPU in MIG mode cannot be asked: nothing is made there");
        MigCard { card: card.clone(), geometry: Geometry { compute: 0, shapes: Vec::new() }, instances: Vec::new() }
    })
}
