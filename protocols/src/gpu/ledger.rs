//! The arithmetic of GPUs: who holds how much of which card.
//!
//! Invariant G1: for every GPU, free + leased is exactly one GPU. Invariant G2: a lease ends exactly once.

use std::collections::BTreeMap;

use super::{LeaseId, MilliGpu, WHOLE_GPU};
use crate::ids::GpuId;

/// Why the ledger refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The card was never registered.
    #[error("GPU {0} is not known on this machine")]
    UnknownGpu(GpuId),
    /// More is asked for than is free.
    #[error("GPU {gpu} has {free:?} free, {wanted:?} was asked for")]
    NotFree {
        /// The card.
        gpu: GpuId,
        /// What is free of it.
        free: MilliGpu,
        /// What was asked for.
        wanted: MilliGpu,
    },
    /// The lease ended already, or never began.
    #[error("{0} does not exist")]
    UnknownLease(LeaseId),
    /// The number is in use.
    #[error("{0} exists already")]
    DuplicateLease(LeaseId),
}

/// Integer book-keeping of shares per card.
#[derive(Clone, Debug, Default)]
pub struct GpuLedger {
    leased: BTreeMap<GpuId, BTreeMap<LeaseId, MilliGpu>>,
    leases: BTreeMap<LeaseId, Vec<GpuId>>,
}

impl GpuLedger {
    /// A ledger of these cards, all free.
    pub fn new(gpus: impl IntoIterator<Item = GpuId>) -> Self {
        Self { leased: gpus.into_iter().map(|gpu| (gpu, BTreeMap::new())).collect(), leases: BTreeMap::new() }
    }

    /// Whether a card is one of those that are booked here.
    pub fn has(&self, gpu: &GpuId) -> bool {
        self.leased.contains_key(gpu)
    }

    /// Books a card too that came later. One that is known stays as it is.
    pub fn add(&mut self, gpu: GpuId) {
        self.leased.entry(gpu).or_default();
    }

    /// Forgets a card that is gone, unless somebody has it.
    pub fn remove(&mut self, gpu: &GpuId) {
        if self.leased.get(gpu).is_some_and(BTreeMap::is_empty) {
            self.leased.remove(gpu);
        }
    }

    /// What is free of a card; nothing of a card that is not known.
    pub fn free(&self, gpu: &GpuId) -> MilliGpu {
        self.leased.get(gpu).map_or(MilliGpu(0), |leases| MilliGpu(WHOLE_GPU.0 - Self::sum(leases)))
    }

    /// What is leased of a card.
    pub fn leased(&self, gpu: &GpuId) -> MilliGpu {
        MilliGpu(self.leased.get(gpu).map_or(0, Self::sum))
    }

    /// Books all of `shares`, or nothing. A lease without shares is legal: a CPU worker's.
    pub fn grant(&mut self, lease: LeaseId, shares: &[(GpuId, MilliGpu)]) -> Result<(), LedgerError> {
        if self.leases.contains_key(&lease) {
            return Err(LedgerError::DuplicateLease(lease));
        }
        let mut wanted: BTreeMap<&GpuId, u32> = BTreeMap::new();
        for (gpu, share) in shares {
            let total = wanted.entry(gpu).or_default();
            *total = total.saturating_add(share.0);
        }
        for (gpu, share) in &wanted {
            let free = match self.leased.get(*gpu) {
                None => return Err(LedgerError::UnknownGpu((*gpu).clone())),
                Some(leases) => MilliGpu(WHOLE_GPU.0 - Self::sum(leases)),
            };
            if *share > free.0 {
                return Err(LedgerError::NotFree { gpu: (*gpu).clone(), free, wanted: MilliGpu(*share) });
            }
        }
        for (gpu, share) in &wanted {
            if let Some(leases) = self.leased.get_mut(*gpu) {
                leases.insert(lease, MilliGpu(*share));
            }
        }
        self.leases.insert(lease, wanted.into_keys().cloned().collect());
        Ok(())
    }

    /// Ends a lease.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), LedgerError> {
        let gpus = self.leases.remove(&lease).ok_or(LedgerError::UnknownLease(lease))?;
        for gpu in gpus {
            if let Some(leases) = self.leased.get_mut(&gpu) {
                leases.remove(&lease);
            }
        }
        Ok(())
    }

    /// The leases that are alive.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> + '_ {
        self.leases.keys().copied()
    }

    fn sum(leases: &BTreeMap<LeaseId, MilliGpu>) -> u32 {
        leases.values().map(|share| share.0).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn card(number: u8) -> GpuId {
        GpuId::new(format!("GPU-{number}"))
    }

    #[test]
    fn a_whole_card_is_leased_once() {
        let mut ledger = GpuLedger::new([card(0), card(1)]);
        ledger.grant(LeaseId(1), &[(card(0), WHOLE_GPU)]).unwrap();
        let refused = ledger.grant(LeaseId(2), &[(card(1), WHOLE_GPU), (card(0), MilliGpu(1))]);
        assert_eq!(refused, Err(LedgerError::NotFree { gpu: card(0), free: MilliGpu(0), wanted: MilliGpu(1) }));
        assert_eq!(ledger.free(&card(1)), WHOLE_GPU, "a refused grant books nothing");
        ledger.release(LeaseId(1)).unwrap();
        assert_eq!(ledger.release(LeaseId(1)), Err(LedgerError::UnknownLease(LeaseId(1))));
    }

    proptest! {
        /// G1 and G2 under any order of grants and releases.
        #[test]
        fn free_and_leased_are_one_card(
            steps in proptest::collection::vec((any::<bool>(), 0u64..6, 0u8..4, 0u32..1500), 0..200)
        ) {
            let mut ledger = GpuLedger::new((0..3).map(card));
            for (grant, lease, gpu, share) in steps {
                let lease = LeaseId(lease);
                let alive = ledger.leases().any(|other| other == lease);
                if grant {
                    let granted = ledger.grant(lease, &[(card(gpu), MilliGpu(share))]).is_ok();
                    prop_assert!(!(granted && alive));
                } else {
                    prop_assert_eq!(ledger.release(lease).is_ok(), alive);
                }
                for gpu in (0..3).map(card) {
                    prop_assert_eq!(ledger.free(&gpu).0 + ledger.leased(&gpu).0, WHOLE_GPU.0);
                }
            }
        }
    }
}
