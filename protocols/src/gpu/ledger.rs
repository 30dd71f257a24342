//! The arithmetic of GPUs: who holds how much of which card.
//!
//! Invariant G1: for every GPU, free + leased is exactly one GPU. Invariant G2: a lease ends exactly once. A card that
//! several have parts of is divided in one way.

use std::collections::BTreeMap;

use super::{LeaseId, MilliGpu, Share, Sharing, WHOLE_GPU};
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
    /// Somebody has a part of it, and it is divided in another way.
    #[error("GPU {gpu} is divided in another way now")]
    Divided {
        /// The card.
        gpu: GpuId,
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
    leased: BTreeMap<GpuId, BTreeMap<LeaseId, Share>>,
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

    /// What is free of a card, and in which way it is divided; `None` where nobody has a part of it.
    pub fn state(&self, gpu: &GpuId) -> (MilliGpu, Option<Sharing>) {
        let Some(leases) = self.leased.get(gpu) else { return (MilliGpu(0), None) };
        (MilliGpu(WHOLE_GPU.0 - Self::sum(leases)), Self::sharing(leases))
    }

    fn sharing(leases: &BTreeMap<LeaseId, Share>) -> Option<Sharing> {
        leases.values().next().map(|share| share.sharing)
    }

    /// Books all of `shares`, or nothing. A lease without shares is legal: a CPU worker's.
    pub fn grant(&mut self, lease: LeaseId, shares: &[(GpuId, Share)]) -> Result<(), LedgerError> {
        if self.leases.contains_key(&lease) {
            return Err(LedgerError::DuplicateLease(lease));
        }
        let mut wanted: BTreeMap<&GpuId, Share> = BTreeMap::new();
        for (gpu, share) in shares {
            let total = wanted.entry(gpu).or_insert(Share { amount: MilliGpu(0), sharing: share.sharing });
            total.amount.0 = total.amount.0.saturating_add(share.amount.0);
        }
        for (gpu, share) in &wanted {
            if !self.has(gpu) {
                return Err(LedgerError::UnknownGpu((*gpu).clone()));
            }
            let (free, sharing) = self.state(gpu);
            if share.amount > free {
                return Err(LedgerError::NotFree { gpu: (*gpu).clone(), free, wanted: share.amount });
            }
            if sharing.is_some_and(|sharing| sharing != share.sharing) {
                return Err(LedgerError::Divided { gpu: (*gpu).clone() });
            }
        }
        for (gpu, share) in &wanted {
            if let Some(leases) = self.leased.get_mut(*gpu) {
                leases.insert(lease, *share);
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

    fn sum(leases: &BTreeMap<LeaseId, Share>) -> u32 {
        leases.values().map(|share| share.amount.0).sum()
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
        ledger.grant(LeaseId(1), &[(card(0), Share::WHOLE)]).unwrap();
        let refused = ledger.grant(LeaseId(2), &[(card(1), Share::WHOLE), (card(0), Share::slot(MilliGpu(1)))]);
        assert_eq!(refused, Err(LedgerError::NotFree { gpu: card(0), free: MilliGpu(0), wanted: MilliGpu(1) }));
        assert_eq!(ledger.free(&card(1)), WHOLE_GPU, "a refused grant books nothing");
        ledger.release(LeaseId(1)).unwrap();
        assert_eq!(ledger.release(LeaseId(1)), Err(LedgerError::UnknownLease(LeaseId(1))));
    }

    #[test]
    fn a_card_is_divided_in_one_way() {
        let mut ledger = GpuLedger::new([card(0)]);
        ledger.grant(LeaseId(1), &[(card(0), Share::mps(MilliGpu(250)))]).unwrap();
        assert_eq!(ledger.state(&card(0)), (MilliGpu(750), Some(Sharing::Mps)));
        let refused = ledger.grant(LeaseId(2), &[(card(0), Share::slot(MilliGpu(250)))]);
        assert_eq!(refused, Err(LedgerError::Divided { gpu: card(0) }));
        ledger.grant(LeaseId(2), &[(card(0), Share::mps(MilliGpu(750)))]).unwrap();
        ledger.release(LeaseId(1)).unwrap();
        ledger.release(LeaseId(2)).unwrap();
        ledger.grant(LeaseId(3), &[(card(0), Share::slot(MilliGpu(250)))]).unwrap();
    }

    proptest! {
        /// G1 and G2 under any order of grants and releases; nobody with a slot beside somebody with an MPS share.
        #[test]
        fn free_and_leased_are_one_card(
            steps in proptest::collection::vec((any::<bool>(), 0u64..6, 0u8..4, 0u32..1500, any::<bool>()), 0..200)
        ) {
            let mut ledger = GpuLedger::new((0..3).map(card));
            for (grant, lease, gpu, amount, is_mps) in steps {
                let share = if is_mps { Share::mps(MilliGpu(amount)) } else { Share::slot(MilliGpu(amount)) };
                let lease = LeaseId(lease);
                let alive = ledger.leases().any(|other| other == lease);
                if grant {
                    let granted = ledger.grant(lease, &[(card(gpu), share)]).is_ok();
                    prop_assert!(!(granted && alive));
                } else {
                    prop_assert_eq!(ledger.release(lease).is_ok(), alive);
                }
                for gpu in (0..3).map(card) {
                    prop_assert_eq!(ledger.free(&gpu).0 + ledger.leased(&gpu).0, WHOLE_GPU.0);
                    let ways = ledger.leased[&gpu].values().map(|share| share.sharing);
                    prop_assert!(ways.collect::<std::collections::HashSet<_>>().len() <= 1);
                }
            }
        }
    }
}
