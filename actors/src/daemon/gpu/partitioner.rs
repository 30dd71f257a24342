//! The owner of the machine's slots and GPUs. Invariants G1, G2 and Q1 begin here.

use std::collections::BTreeMap;

use actix::prelude::*;
use protocols::gpu::{Claim, Demand, GpuCard, GpuLedger, Lease, LeaseId, Pool, Share, Verdict, decide};
use protocols::ids::{GpuId, QueueId, TaskId, WorkerId};
use tracing::{debug, error, info, warn};

use super::shaping::{Reshaped, Shape, Shaping};
use super::waits::{Wait, Waits};
use super::worker_names;
use crate::daemon::child::Child;
use crate::daemon::settings::{DaemonSettings, DynamicGpus, Services, WorkerSettings};
use crate::kit::{Lifeline, Port};

/// Reserves the slot, and the GPUs, of the first of these workers that is free. `None` means "not now": wait for
/// [`LeaseFreed`].
#[derive(Message, Debug)]
#[rtype(result = "Option<Lease>")]
pub(crate) struct ReserveLease {
    pub(crate) workers: Vec<WorkerId>,
}

/// Reserves dynamic GPUs for the first of those that wait that can start now.
#[derive(Message, Debug)]
#[rtype(result = "Reserved")]
pub(crate) struct ReserveFirst {
    /// The heads of the queues, in order of priority.
    pub(crate) waiting: Vec<Wanted>,
}

/// What the head of a queue wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) task: TaskId,
    pub(crate) queue: QueueId,
    pub(crate) demand: Demand,
}

/// Answer of [`ReserveFirst`].
#[derive(Debug, Default, MessageResponse)]
pub(crate) struct Reserved {
    /// Whose turn it is, by position, and the lease. `None` means "none of them now": wait for [`LeaseFreed`].
    pub(crate) lease: Option<(usize, Lease)>,
    /// Those that want more than the machine has.
    pub(crate) never: Vec<usize>,
}

/// The cards that are not given out for now, and why; replaces what was told before. What runs on them goes on.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct SetOutOfUse {
    pub(crate) cards: BTreeMap<GpuId, String>,
}

/// Books a lease that a recovered run holds. Never refused: what runs, runs.
#[derive(Message, Debug)]
#[rtype(result = "Lease")]
pub(crate) struct RestoreLease {
    pub(crate) worker: WorkerId,
    pub(crate) gpus: Vec<GpuCard>,
    pub(crate) share: Share,
}

/// Ends a lease. Invariant F1: only when everything that ran under it is confirmed dead.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ReleaseLease {
    pub(crate) lease: LeaseId,
}

/// A slot, or a part of the GPUs, became free.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct LeaseFreed;

/// A pinned worker, and whether it is busy.
struct Slot {
    gpus: Vec<GpuCard>,
    leases: Vec<LeaseId>,
    /// How many tasks it takes at once: one, but for services.
    room: usize,
}

pub(crate) struct GpuPartitioner {
    slots: BTreeMap<WorkerId, Slot>,
    /// Every task has a share of the one slot that there is, in a name of its own.
    has_services: bool,
    dynamic: Option<DynamicGpus>,
    ledger: GpuLedger,
    /// Those that wait, and which cards they hold meanwhile.
    held: BTreeMap<TaskId, Vec<GpuId>>,
    /// How many others have passed each of those that wait and held nothing yet.
    passed: BTreeMap<TaskId, u32>,
    /// How many may, before it holds cards.
    patience: u32,
    shaping: Option<Shaping>,
    out_of_use: BTreeMap<GpuId, String>,
    waits: Waits,
    /// In whose name each live lease is.
    leases: BTreeMap<LeaseId, WorkerId>,
    next_lease: u64,
    freed: Port<LeaseFreed>,
    _lifeline: Lifeline<Child>,
}

impl GpuPartitioner {
    pub(crate) fn new(
        settings: &DaemonSettings,
        waits: Waits,
        freed: Port<LeaseFreed>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        let dynamic = settings.dynamic.clone();
        let pinned = if dynamic.is_some() { &[] } else { settings.workers.as_slice() };
        let cards = pinned.iter().flat_map(|worker| &worker.gpus);
        let cards = cards.chain(dynamic.iter().flat_map(|dynamic| dynamic.pool.cards()));
        let ledger = GpuLedger::new(cards.map(|card| card.id.clone()));
        let room = match settings.services {
            None => 1,
            Some(Services { limit }) => limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        };
        let slot = |worker: &WorkerSettings| Slot { gpus: worker.gpus.clone(), leases: Vec::new(), room };
        let slots = pinned.iter().map(|worker| (worker.id.clone(), slot(worker))).collect();
        let shaping = dynamic.as_ref().and_then(|dynamic| dynamic.mig.clone()).map(Shaping::new);
        Self {
            slots,
            has_services: settings.services.is_some(),
            shaping,
            dynamic,
            ledger,
            held: BTreeMap::new(),
            passed: BTreeMap::new(),
            patience: settings.gpus.patience,
            out_of_use: BTreeMap::new(),
            waits,
            leases: BTreeMap::new(),
            next_lease: 1,
            freed,
            _lifeline: lifeline,
        }
    }

    fn book(&mut self, worker: &WorkerId, gpus: Vec<GpuCard>, share: Share) -> Option<Lease> {
        let id = LeaseId(self.next_lease);
        let shares: Vec<_> = gpus.iter().map(|card| (card.id.clone(), share)).collect();
        if let Err(refusal) = self.ledger.grant(id, &shares) {
            debug!(%worker, %refusal, "no lease");
            return None;
        }
        self.next_lease += 1;
        self.leases.insert(id, worker.clone());
        let slot = if self.has_services { self.slots.values_mut().next() } else { self.slots.get_mut(worker) };
        if let Some(slot) = slot {
            slot.leases.push(id);
        }
        Some(Lease { id, worker: worker.clone(), gpus, share })
    }

    fn reserve_first(&mut self, waiting: Vec<Wanted>, ctx: &mut Context<Self>) -> Reserved {
        let Some(dynamic) = &self.dynamic else { return Reserved::default() };
        let (ledger, out_of_use) = (&self.ledger, &self.out_of_use);
        let is_free = |card: &GpuCard| ledger.free(&card.id).is_whole() && !out_of_use.contains_key(&card.id);
        let wants = waiting.iter().map(|wanted| (&wanted.task, &wanted.demand));
        let shape = self.shaping.as_mut().map(|shaping| shaping.plan(wants, is_free));
        let verdicts = self.judge(dynamic, &waiting, shape.as_ref());
        let first = verdicts.iter().enumerate().find_map(|(position, verdict)| match verdict {
            Verdict::Starts { cards, share } => Some((position, cards_at(&dynamic.pool, cards), *share)),
            Verdict::Waits { .. } | Verdict::Yields | Verdict::Behind | Verdict::Lacks { .. } | Verdict::Never => None,
        });
        let never = verdicts.iter().enumerate().filter(|(_, verdict)| matches!(verdict, Verdict::Never));
        let never = never.map(|(position, _)| position).collect();
        let name = dynamic.name.clone();
        let started = first.as_ref().map(|(position, ..)| *position);
        self.count_passes(&waiting, &verdicts, started);
        self.show(waiting, verdicts, shape.as_ref());
        let Some((position, gpus, share)) = first else {
            // Only now: whatever is there was given out.
            self.divide(shape, ctx);
            return Reserved { lease: None, never };
        };
        let is_taken = |name: &WorkerId| self.leases.values().any(|worker| worker == name);
        let worker = worker_names::of_lease(&name, &gpus, share, is_taken);
        Reserved { lease: self.book(&worker, gpus, share).map(|lease| (position, lease)), never }
    }

    fn judge(&self, dynamic: &DynamicGpus, waiting: &[Wanted], shape: Option<&Shape>) -> Vec<Verdict> {
        let pool = &dynamic.pool;
        let position_of = |gpu: &GpuId| pool.cards().iter().position(|card| card.id == *gpu);
        let claims = waiting.iter().enumerate().map(|(position, wanted)| Claim {
            demand: wanted.demand,
            held: self.held.get(&wanted.task).into_iter().flatten().filter_map(position_of).collect(),
            is_patient: self.passed.get(&wanted.task).copied().unwrap_or_default() < self.patience,
            making: self.shaping.as_ref().zip(shape).and_then(|(shaping, shape)| shaping.making(shape, position, pool)),
        });
        let is_usable = |position: usize| {
            let gpu = &pool.cards()[position].id;
            let is_going = self.shaping.as_ref().is_some_and(|shaping| shaping.is_going(gpu));
            !is_going && !self.out_of_use.contains_key(gpu)
        };
        decide(pool, &self.ledger, is_usable, claims)
    }

    /// Who starts passes those in front of it that hold nothing yet. Who is not asked for any more is forgotten.
    fn count_passes(&mut self, waiting: &[Wanted], verdicts: &[Verdict], started: Option<usize>) {
        let before = std::mem::take(&mut self.passed);
        let heads = waiting.iter().zip(verdicts).enumerate();
        for (position, (wanted, verdict)) in heads.filter(|(position, _)| Some(*position) != started) {
            let is_passed = *verdict == Verdict::Yields && started.is_some_and(|started| position < started);
            let passed = before.get(&wanted.task).copied().unwrap_or_default() + u32::from(is_passed);
            if passed > 0 {
                self.passed.insert(wanted.task.clone(), passed);
            }
        }
    }

    /// Remembers what those that go on waiting hold, and shows it. Says so of each that begins to wait.
    fn show(&mut self, waiting: Vec<Wanted>, verdicts: Vec<Verdict>, shape: Option<&Shape>) {
        let Some(dynamic) = &self.dynamic else { return };
        let mut held = BTreeMap::new();
        let mut shown = Vec::with_capacity(waiting.len());
        for (position, (Wanted { task, queue, demand }, verdict)) in waiting.into_iter().zip(verdicts).enumerate() {
            let kept = match &verdict {
                Verdict::Waits { cards } => cards_at(&dynamic.pool, cards),
                Verdict::Starts { .. } | Verdict::Yields | Verdict::Behind | Verdict::Lacks { .. } | Verdict::Never => {
                    Vec::new()
                }
            };
            if !matches!(verdict, Verdict::Starts { .. }) {
                if !self.held.contains_key(&task) {
                    let indexes: Vec<u32> = kept.iter().map(|card| card.index).collect();
                    info!(%task, gpus = %demand, holds = ?indexes, "waits for GPUs");
                }
                held.insert(task.clone(), kept.iter().map(|card| card.id.clone()).collect());
            }
            let making = self.shaping.as_ref().zip(shape).and_then(|(shaping, shape)| shaping.place(shape, position));
            let passed = self.passed.get(&task).copied().unwrap_or_default();
            shown.push(Wait { task, queue, demand, verdict, kept, passed, making });
        }
        self.held = held;
        self.waits.show(|now| now.waiting = shown);
    }

    /// Makes instances for those who wait, beside this actor.
    fn divide(&mut self, shape: Option<Shape>, ctx: &mut Context<Self>) {
        let (Some(shaping), Some(shape), Some(dynamic)) = (&mut self.shaping, shape, &self.dynamic) else { return };
        let Some(work) = shaping.begin(shape, &dynamic.pool) else { return };
        let working = tokio::task::spawn_blocking(work);
        ctx.spawn(working.into_actor(self).map(|reshaped, this, ctx| {
            this.divided(reshaped.expect("dividing GPUs does not panic"), ctx);
        }));
    }

    fn divided(&mut self, reshaped: Reshaped, ctx: &mut Context<Self>) {
        let (Some(shaping), Some(dynamic)) = (&mut self.shaping, &mut self.dynamic) else { return };
        if let Some(pool) = shaping.finish(reshaped, &mut self.ledger) {
            dynamic.pool = pool;
        }
        // After a failure the driver is not asked again at once: somebody may do something about it meanwhile.
        if let Some(pause) = shaping.pause() {
            ctx.run_later(pause, |this, _| {
                if let Some(shaping) = &mut this.shaping {
                    shaping.is_working = false;
                }
                this.freed.tell(LeaseFreed);
            });
        }
        self.freed.tell(LeaseFreed);
    }
}

fn cards_at(pool: &Pool, positions: &[usize]) -> Vec<GpuCard> {
    positions.iter().map(|position| pool.cards()[*position].clone()).collect()
}

impl Actor for GpuPartitioner {
    type Context = Context<Self>;
}

impl Handler<ReserveLease> for GpuPartitioner {
    type Result = MessageResult<ReserveLease>;

    fn handle(&mut self, message: ReserveLease, _: &mut Self::Context) -> Self::Result {
        let free = message.workers.iter().find_map(|worker| {
            let slot = self.slots.get(worker)?;
            let is_usable = !slot.gpus.iter().any(|gpu| self.out_of_use.contains_key(&gpu.id));
            (slot.leases.len() < slot.room && is_usable).then(|| (worker.clone(), slot.gpus.clone()))
        });
        MessageResult(free.and_then(|(worker, gpus)| self.book(&worker, gpus, Share::WHOLE)))
    }
}

impl Handler<ReserveFirst> for GpuPartitioner {
    type Result = Reserved;

    fn handle(&mut self, message: ReserveFirst, ctx: &mut Self::Context) -> Self::Result {
        self.reserve_first(message.waiting, ctx)
    }
}

impl Handler<SetOutOfUse> for GpuPartitioner {
    type Result = ();

    fn handle(&mut self, message: SetOutOfUse, _: &mut Self::Context) {
        let came_back = self.out_of_use.keys().any(|gpu| !message.cards.contains_key(gpu));
        self.out_of_use.clone_from(&message.cards);
        self.waits.show(|now| now.out_of_use = message.cards);
        if came_back {
            self.freed.tell(LeaseFreed);
        }
    }
}

impl Handler<RestoreLease> for GpuPartitioner {
    type Result = MessageResult<RestoreLease>;

    fn handle(&mut self, message: RestoreLease, _: &mut Self::Context) -> Self::Result {
        let RestoreLease { worker, gpus, share } = message;
        let known: Vec<_> = gpus.iter().filter(|card| self.ledger.has(&card.id)).cloned().collect();
        if known.len() < gpus.len() {
            warn!(%worker, "a recovered task holds GPUs that no worker of this configuration has");
        }
        if self.dynamic.is_none() && !self.has_services && !self.slots.contains_key(&worker) {
            warn!(%worker, "a recovered task belongs to a worker that this configuration does not have");
            self.slots.insert(worker.clone(), Slot { gpus: Vec::new(), leases: Vec::new(), room: 1 });
        }
        let lease = self.book(&worker, known, share).or_else(|| self.book(&worker, Vec::new(), share));
        MessageResult(lease.unwrap_or_else(|| {
            // Unreachable while lease numbers are unique; a lease of nothing is the safe answer.
            error!(%worker, "cannot book a recovered lease");
            Lease { id: LeaseId(0), worker, gpus: Vec::new(), share }
        }))
    }
}

impl Handler<ReleaseLease> for GpuPartitioner {
    type Result = ();

    fn handle(&mut self, message: ReleaseLease, _: &mut Self::Context) {
        if let Err(refusal) = self.ledger.release(message.lease) {
            error!(%refusal, "a lease was ended twice");
            return;
        }
        self.leases.remove(&message.lease);
        for slot in self.slots.values_mut() {
            slot.leases.retain(|lease| *lease != message.lease);
        }
        self.freed.tell(LeaseFreed);
    }
}
