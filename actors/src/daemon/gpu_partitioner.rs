//! The owner of the machine's slots and GPUs. Invariants G1, G2 and Q1 begin here.

use std::collections::BTreeMap;

use actix::prelude::*;
use protocols::gpu::{GpuCard, GpuLedger, Lease, LeaseId, WHOLE_GPU};
use protocols::ids::WorkerId;
use tracing::{debug, error, warn};

use super::child::Child;
use super::settings::WorkerSettings;
use crate::kit::{Lifeline, Port};

/// Reserves the slot, and the GPUs, of the first of these workers that is free. `None` means "not now": wait for
/// [`LeaseFreed`].
#[derive(Message, Debug)]
#[rtype(result = "Option<Lease>")]
pub(crate) struct ReserveLease {
    pub(crate) workers: Vec<WorkerId>,
}

/// Books a lease that a recovered run holds. Never refused: what runs, runs.
#[derive(Message, Debug)]
#[rtype(result = "Lease")]
pub(crate) struct RestoreLease {
    pub(crate) worker: WorkerId,
    pub(crate) gpus: Vec<GpuCard>,
}

/// Ends a lease. Invariant F1: only when everything that ran under it is confirmed dead.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ReleaseLease {
    pub(crate) lease: LeaseId,
}

/// A slot became free.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct LeaseFreed;

struct Slot {
    gpus: Vec<GpuCard>,
    leases: Vec<LeaseId>,
}

pub(crate) struct GpuPartitioner {
    slots: BTreeMap<WorkerId, Slot>,
    ledger: GpuLedger,
    next_lease: u64,
    freed: Port<LeaseFreed>,
    _lifeline: Lifeline<Child>,
}

impl GpuPartitioner {
    pub(crate) fn new(workers: &[WorkerSettings], freed: Port<LeaseFreed>, lifeline: Lifeline<Child>) -> Self {
        let cards = workers.iter().flat_map(|worker| worker.gpus.iter().map(|card| card.id.clone()));
        let slots = workers
            .iter()
            .map(|worker| (worker.id.clone(), Slot { gpus: worker.gpus.clone(), leases: Vec::new() }))
            .collect();
        Self { ledger: GpuLedger::new(cards), slots, next_lease: 1, freed, _lifeline: lifeline }
    }

    fn book(&mut self, worker: &WorkerId, gpus: Vec<GpuCard>) -> Option<Lease> {
        let id = LeaseId(self.next_lease);
        let shares: Vec<_> = gpus.iter().map(|card| (card.id.clone(), WHOLE_GPU)).collect();
        if let Err(refusal) = self.ledger.grant(id, &shares) {
            debug!(%worker, %refusal, "no lease");
            return None;
        }
        self.next_lease += 1;
        if let Some(slot) = self.slots.get_mut(worker) {
            slot.leases.push(id);
        }
        Some(Lease { id, worker: worker.clone(), gpus })
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
        MessageResult(free.and_then(|(worker, gpus)| self.book(&worker, gpus)))
    }
}

impl Handler<RestoreLease> for GpuPartitioner {
    type Result = MessageResult<RestoreLease>;

    fn handle(&mut self, message: RestoreLease, _: &mut Self::Context) -> Self::Result {
        let RestoreLease { worker, gpus } = message;
        let known: Vec<_> =
            gpus.iter().filter(|card| self.slots.values().any(|slot| slot.gpus.contains(card))).cloned().collect();
        if known.len() < gpus.len() {
            warn!(%worker, "a recovered task holds GPUs that no worker of this configuration has");
        }
        if !self.slots.contains_key(&worker) {
            warn!(%worker, "a recovered task belongs to a worker that this configuration does not have");
            self.slots.insert(worker.clone(), Slot { gpus: Vec::new(), leases: Vec::new() });
        }
        let lease = self.book(&worker, known).or_else(|| self.book(&worker, Vec::new()));
        MessageResult(lease.unwrap_or_else(|| {
            // Unreachable while lease numbers are unique; a lease of nothing is the safe answer.
            error!(%worker, "cannot book a recovered lease");
            Lease { id: LeaseId(0), worker, gpus: Vec::new() }
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
        for slot in self.slots.values_mut() {
            slot.leases.retain(|lease| *lease != message.lease);
        }
        self.freed.tell(LeaseFreed);
    }
}
