//! The owner of the machine's slots and GPUs. Invariants G1, G2 and Q1 begin here.

use std::collections::BTreeMap;

use actix::prelude::*;
use protocols::gpu::{Claim, Demand, GpuCard, GpuLedger, Lease, LeaseId, MilliGpu, Verdict, WHOLE_GPU, decide};
use protocols::ids::{TaskId, WorkerId};
use tracing::{debug, error, info, warn};

use super::child::Child;
use super::settings::{DaemonSettings, DynamicGpus};
use super::worker_names;
use crate::kit::{Lifeline, Port};

/// Reserves the slot, and the GPUs, of the first of these workers that is free. `None` means "not now": wait for
/// [`LeaseFreed`].
#[derive(Message, Debug)]
#[rtype(result = "Option<Lease>")]
pub(crate) struct ReserveLease {
    pub(crate) workers: Vec<WorkerId>,
}

/// Reserves dynamic GPUs for the first of those that wait that can start now, and says which one that is. `None` means
/// "none of them now": wait for [`LeaseFreed`].
#[derive(Message, Debug)]
#[rtype(result = "Option<(usize, Lease)>")]
pub(crate) struct ReserveFirst {
    /// Who wants what, in order of priority.
    pub(crate) waiting: Vec<(TaskId, Demand)>,
}

/// Books a lease that a recovered run holds. Never refused: what runs, runs.
#[derive(Message, Debug)]
#[rtype(result = "Lease")]
pub(crate) struct RestoreLease {
    pub(crate) worker: WorkerId,
    pub(crate) gpus: Vec<GpuCard>,
    pub(crate) share: MilliGpu,
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
}

pub(crate) struct GpuPartitioner {
    slots: BTreeMap<WorkerId, Slot>,
    dynamic: Option<DynamicGpus>,
    ledger: GpuLedger,
    /// Those that wait, and which cards of the pool they hold meanwhile.
    held: BTreeMap<TaskId, Vec<usize>>,
    /// In whose name each live lease is.
    leases: BTreeMap<LeaseId, WorkerId>,
    next_lease: u64,
    freed: Port<LeaseFreed>,
    _lifeline: Lifeline<Child>,
}

impl GpuPartitioner {
    pub(crate) fn new(settings: &DaemonSettings, freed: Port<LeaseFreed>, lifeline: Lifeline<Child>) -> Self {
        let dynamic = settings.dynamic.clone();
        let pinned = if dynamic.is_some() { &[] } else { settings.workers.as_slice() };
        let cards = pinned.iter().flat_map(|worker| &worker.gpus);
        let cards = cards.chain(dynamic.iter().flat_map(|dynamic| dynamic.pool.cards()));
        let ledger = GpuLedger::new(cards.map(|card| card.id.clone()));
        let slots = pinned
            .iter()
            .map(|worker| (worker.id.clone(), Slot { gpus: worker.gpus.clone(), leases: Vec::new() }))
            .collect();
        let (held, leases) = (BTreeMap::new(), BTreeMap::new());
        Self { slots, dynamic, ledger, held, leases, next_lease: 1, freed, _lifeline: lifeline }
    }

    fn book(&mut self, worker: &WorkerId, gpus: Vec<GpuCard>, share: MilliGpu) -> Option<Lease> {
        let id = LeaseId(self.next_lease);
        let shares: Vec<_> = gpus.iter().map(|card| (card.id.clone(), share)).collect();
        if let Err(refusal) = self.ledger.grant(id, &shares) {
            debug!(%worker, %refusal, "no lease");
            return None;
        }
        self.next_lease += 1;
        self.leases.insert(id, worker.clone());
        if let Some(slot) = self.slots.get_mut(worker) {
            slot.leases.push(id);
        }
        Some(Lease { id, worker: worker.clone(), gpus, share })
    }

    fn reserve_first(&mut self, waiting: &[(TaskId, Demand)]) -> Option<(usize, Lease)> {
        let dynamic = self.dynamic.as_ref()?;
        let claims = waiting
            .iter()
            .map(|(task, demand)| Claim { demand: *demand, held: self.held.get(task).cloned().unwrap_or_default() });
        let verdicts = decide(&dynamic.pool, &self.ledger, |_| true, claims);
        let mut held = BTreeMap::new();
        for ((task, demand), verdict) in waiting.iter().zip(&verdicts) {
            let cards = match verdict {
                Verdict::Starts { .. } => continue,
                Verdict::Waits { cards } => cards.clone(),
                Verdict::Behind | Verdict::Never => Vec::new(),
            };
            if !self.held.contains_key(task) {
                let indexes: Vec<u32> = cards.iter().map(|card| dynamic.pool.cards()[*card].index).collect();
                info!(%task, gpus = %demand, holds = ?indexes, "waits for GPUs");
            }
            held.insert(task.clone(), cards);
        }
        self.held = held;
        let (position, cards, share) =
            verdicts.into_iter().enumerate().find_map(|(position, verdict)| match verdict {
                Verdict::Starts { cards, share } => Some((position, cards, share)),
                Verdict::Waits { .. } | Verdict::Behind | Verdict::Never => None,
            })?;
        let gpus: Vec<GpuCard> = cards.into_iter().map(|card| dynamic.pool.cards()[card].clone()).collect();
        let worker = worker_names::of_lease(&dynamic.name, &gpus, share, |name| {
            self.leases.values().any(|worker| worker == name)
        });
        Some((position, self.book(&worker, gpus, share)?))
    }
}

impl Actor for GpuPartitioner {
    type Context = Context<Self>;
}

impl Handler<ReserveLease> for GpuPartitioner {
    type Result = MessageResult<ReserveLease>;

    fn handle(&mut self, message: ReserveLease, _: &mut Self::Context) -> Self::Result {
        let free = message.workers.iter().find_map(|worker| {
            let slot = self.slots.get(worker)?;
            slot.leases.is_empty().then(|| (worker.clone(), slot.gpus.clone()))
        });
        MessageResult(free.and_then(|(worker, gpus)| self.book(&worker, gpus, WHOLE_GPU)))
    }
}

impl Handler<ReserveFirst> for GpuPartitioner {
    type Result = MessageResult<ReserveFirst>;

    fn handle(&mut self, message: ReserveFirst, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.reserve_first(&message.waiting))
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
        if self.dynamic.is_none() && !self.slots.contains_key(&worker) {
            warn!(%worker, "a recovered task belongs to a worker that this configuration does not have");
            self.slots.insert(worker.clone(), Slot { gpus: Vec::new(), leases: Vec::new() });
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
