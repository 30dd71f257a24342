//! Who of those that wait starts, and with which cards.
//!
//! Those that wait come in order of priority. Who does not fit holds cards: what is free of them goes to nobody behind
//! it until it fits. Those behind pass only with cards that it does not hold. It keeps what it holds from one judgement
//! to the next, so that nobody gets at its cards in between; only a card that is wholly free takes the place of one that
//! is not. So it starts at the latest when the tasks that ran when it began to wait have ended, however many small ones
//! are behind it.

use std::collections::BTreeSet;

use super::choose::choose;
use super::pool::Pool;
use super::{Demand, GpuLedger, MilliGpu, WHOLE_GPU};

/// One that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it wants.
    pub demand: Demand,
    /// The cards, by their positions in the pool, that it held at the last judgement.
    pub held: Vec<usize>,
}

impl From<Demand> for Claim {
    /// One that waits for the first time.
    fn from(demand: Demand) -> Self {
        Self { demand, held: Vec::new() }
    }
}

/// What becomes of one that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It starts with so much of each of these cards, by their positions in the pool.
    Starts {
        /// Ascending.
        cards: Vec<usize>,
        /// Of each.
        share: MilliGpu,
    },
    /// It waits until these cards are free enough, and holds what is free of them.
    Waits {
        /// Ascending.
        cards: Vec<usize>,
    },
    /// There is more in front of it than the machine has at a time.
    Behind,
    /// The machine has not so many cards.
    Never,
}

/// Judges those that wait, the first first. What starts counts as leased for those behind it.
///
/// `usable` tells the cards, by position, that may be leased at all.
pub fn decide(
    pool: &Pool,
    ledger: &GpuLedger,
    usable: impl Fn(usize) -> bool,
    waiting: impl IntoIterator<Item = Claim>,
) -> Vec<Verdict> {
    let usable: Vec<usize> = (0..pool.cards().len()).filter(|position| usable(*position)).collect();
    let free = usable.into_iter().map(|card| (card, ledger.free(pool.id(card)))).collect();
    let mut room = Room { pool, free, held: BTreeSet::new() };
    waiting.into_iter().map(|claim| room.judge(&claim)).collect()
}

struct Room<'a> {
    pool: &'a Pool,
    /// Every usable card, with what is free of it.
    free: Vec<(usize, MilliGpu)>,
    /// Cards that somebody in front waits for.
    held: BTreeSet<usize>,
}

impl Room<'_> {
    fn judge(&mut self, claim: &Claim) -> Verdict {
        if claim.demand.least_cards() > self.free.len() {
            return Verdict::Never;
        }
        match claim.demand {
            Demand::Cards { least, most } => self.judge_cards(least, most, &claim.held),
            Demand::Share(share) => self.judge_share(share, &claim.held),
        }
    }

    /// The cards that nobody in front waits for.
    fn open(&self) -> impl Iterator<Item = (usize, MilliGpu)> + '_ {
        self.free.iter().copied().filter(|(card, _)| !self.held.contains(card))
    }

    fn judge_cards(&mut self, least: usize, most: usize, held: &[usize]) -> Verdict {
        let whole: Vec<usize> = self.open().filter(|(_, free)| free.is_whole()).map(|(card, _)| card).collect();
        if whole.len() >= least {
            let cards = choose(self.pool, &whole, whole.len().min(most)).unwrap_or_default();
            return self.start(cards, WHOLE_GPU);
        }
        self.wait(least, held)
    }

    fn judge_share(&mut self, share: MilliGpu, held: &[usize]) -> Verdict {
        // Best fit: the fullest of the divided cards that has room, else the whole card that breaks least.
        let divided = self.open().filter(|(_, free)| *free >= share && !free.is_whole());
        if let Some((card, _)) = divided.min_by_key(|(card, free)| (*free, *card)) {
            return self.start(vec![card], share);
        }
        let whole: Vec<usize> = self.open().filter(|(_, free)| free.is_whole()).map(|(card, _)| card).collect();
        if let Some(cards) = choose(self.pool, &whole, 1) {
            return self.start(cards, share);
        }
        self.wait(1, held)
    }

    fn start(&mut self, cards: Vec<usize>, share: MilliGpu) -> Verdict {
        for (card, free) in &mut self.free {
            if cards.contains(card) {
                free.0 -= share.0;
            }
        }
        Verdict::Starts { cards, share }
    }

    /// Holds so many cards: those that are wholly free, then those that were held before, then the freest.
    fn wait(&mut self, count: usize, held: &[usize]) -> Verdict {
        let mut open: Vec<(usize, MilliGpu)> = self.open().collect();
        open.sort_by_key(|(card, free)| (!free.is_whole(), !held.contains(card), std::cmp::Reverse(*free), *card));
        let mut cards: Vec<usize> = open.into_iter().take(count).map(|(card, _)| card).collect();
        if cards.is_empty() {
            return Verdict::Behind;
        }
        cards.sort_unstable();
        self.held.extend(&cards);
        Verdict::Waits { cards }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gpu::pool::Nearness;
    use crate::gpu::{GpuCard, LeaseId};
    use crate::ids::GpuId;

    /// A pool of so many cards.
    pub(in super::super) fn pool(count: u32, nearness: impl Fn(u32, u32) -> Nearness) -> Pool {
        let card =
            |index| GpuCard { id: GpuId::new(format!("GPU-{index}")), index, name: String::new(), memory_bytes: 0 };
        Pool::new((0..count).map(card).collect(), |one, other| nearness(one.index, other.index))
    }

    fn plain(count: u32) -> Pool {
        pool(count, |one, other| if one / 4 == other / 4 { Nearness::NODE } else { Nearness::SYSTEM })
    }

    /// A ledger in which so much of each card is leased.
    fn ledger(pool: &Pool, leased: &[u32]) -> GpuLedger {
        let mut ledger = GpuLedger::new(pool.cards().iter().map(|card| card.id.clone()));
        for (position, share) in leased.iter().enumerate().filter(|(_, share)| **share > 0) {
            ledger.grant(LeaseId(position as u64), &[(pool.id(position).clone(), MilliGpu(*share))]).unwrap();
        }
        ledger
    }

    #[track_caller]
    fn check(leased: &[u32], waiting: &[&str], expected: &[&str]) {
        let pool = plain(leased.len() as u32);
        let claims = waiting.iter().map(|text| text.parse::<Demand>().unwrap().into());
        let verdicts = decide(&pool, &ledger(&pool, leased), |_| true, claims);
        let told: Vec<String> = verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::Starts { cards, share } => format!("starts {cards:?} {share}"),
                Verdict::Waits { cards } => format!("waits {cards:?}"),
                Verdict::Behind => "behind".to_owned(),
                Verdict::Never => "never".to_owned(),
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn the_first_has_priority() {
        check(&[0, 0, 0, 0], &["2", "1", "1-4"], &["starts [0, 1] 1", "starts [2] 1", "starts [3] 1"]);
    }

    #[test]
    fn an_elastic_demand_takes_what_is_free_within_its_range() {
        check(&[0, 1000, 0, 0, 0, 0, 0, 0], &["1-4"], &["starts [4, 5, 6, 7] 1"]);
        check(&[0, 1000, 1000, 0], &["1-4"], &["starts [0, 3] 1"]);
        check(&[1000, 0], &["2-4"], &["waits [0, 1]"]);
    }

    #[test]
    fn small_ones_do_not_delay_a_large_one_in_front_of_them() {
        check(&[0, 1000, 0, 1000], &["3", "1", "0.5"], &["waits [0, 1, 2]", "waits [3]", "behind"]);
        check(&[500, 1000, 0, 0], &["3", "0.5"], &["waits [0, 2, 3]", "waits [1]"]);
        // What the large one has no use for is not kept from them.
        check(&[500, 0, 1000, 1000], &["2", "0.5"], &["waits [0, 1]", "waits [2]"]);
        check(&[500, 750, 0, 0, 0], &["4", "0.25"], &["waits [0, 2, 3, 4]", "starts [1] 0.25"]);
    }

    #[test]
    fn shares_fill_the_fullest_card_that_has_room() {
        check(&[0, 500, 750], &["0.25", "0.5", "0.5"], &["starts [2] 0.25", "starts [1] 0.5", "starts [0] 0.5"]);
    }

    #[test]
    fn more_than_the_machine_has_is_never() {
        check(&[0, 0], &["3", "2"], &["never", "starts [0, 1] 1"]);
    }

    #[test]
    fn cards_that_are_not_usable_are_as_if_they_were_not_there() {
        let pool = plain(3);
        let claims = ["2", "3"].map(|text| text.parse::<Demand>().unwrap().into());
        let verdicts = decide(&pool, &ledger(&pool, &[0, 0, 0]), |card| card != 1, claims);
        assert_eq!(verdicts, [Verdict::Starts { cards: vec![0, 2], share: WHOLE_GPU }, Verdict::Never]);
    }

    #[test]
    fn what_is_held_is_kept_unless_a_card_is_wholly_free() {
        let pool = plain(4);
        let judge = |leased: &[u32], held: &[usize]| {
            let claim = Claim { demand: Demand::Cards { least: 2, most: 2 }, held: held.to_vec() };
            decide(&pool, &ledger(&pool, leased), |_| true, [claim]).remove(0)
        };
        let waits = |cards: &[usize]| Verdict::Waits { cards: cards.to_vec() };
        assert_eq!(judge(&[500, 600, 1000, 1000], &[]), waits(&[0, 1]));
        assert_eq!(judge(&[500, 600, 250, 1000], &[0, 1]), waits(&[0, 1]), "others are freer now");
        assert_eq!(judge(&[500, 600, 1000, 0], &[0, 1]), waits(&[0, 3]));
    }

    fn demand() -> impl Strategy<Value = Demand> {
        prop_oneof![
            (1usize..5, 0usize..4).prop_map(|(least, more)| Demand::Cards { least, most: least + more }),
            prop_oneof![Just(125u32), Just(250), Just(500), Just(700)].prop_map(|share| Demand::Share(MilliGpu(share))),
        ]
    }

    /// Books every verdict that starts. Panics where the plan cannot be realised.
    fn realise(pool: &Pool, ledger: &mut GpuLedger, verdicts: &[Verdict], next: &mut u64, alive: &mut Vec<LeaseId>) {
        for verdict in verdicts {
            if let Verdict::Starts { cards, share } = verdict {
                let shares: Vec<_> = cards.iter().map(|card| (pool.id(*card).clone(), *share)).collect();
                ledger.grant(LeaseId(*next), &shares).expect("a plan can be realised");
                alive.push(LeaseId(*next));
                *next += 1;
            }
        }
    }

    proptest! {
        /// G1: whatever waits and ends in whatever order, every plan can be booked, and gives each what it asked for.
        #[test]
        fn plans_are_realisable(
            cards in 1u32..10,
            rounds in proptest::collection::vec((proptest::collection::vec(demand(), 0..6), any::<prop::sample::Index>()), 0..30),
        ) {
            let pool = plain(cards);
            let mut ledger = ledger(&pool, &[]);
            let (mut next, mut alive) = (0, Vec::new());
            for (waiting, ended) in rounds {
                let verdicts = decide(&pool, &ledger, |_| true, waiting.iter().copied().map(Claim::from));
                prop_assert_eq!(verdicts.len(), waiting.len());
                for (demand, verdict) in waiting.iter().zip(&verdicts) {
                    if let Verdict::Starts { cards, share } = verdict {
                        match demand {
                            Demand::Cards { least, most } => {
                                prop_assert!((*least..=*most).contains(&cards.len()) && share.is_whole());
                            }
                            Demand::Share(wanted) => prop_assert_eq!((cards.len(), share), (1, wanted)),
                        }
                    }
                }
                realise(&pool, &mut ledger, &verdicts, &mut next, &mut alive);
                if !alive.is_empty() {
                    let lease = alive.remove(ended.index(alive.len()));
                    ledger.release(lease).unwrap();
                }
            }
        }

        /// No starvation: who is first starts at the latest when everything has ended that ran when it came first,
        /// however many others are started meanwhile and never end.
        #[test]
        fn who_is_first_waits_for_those_that_run_and_for_nobody_else(
            cards in 1u32..10,
            before in proptest::collection::vec(demand(), 0..12),
            first in demand(),
            behind in proptest::collection::vec(demand(), 0..12),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 12),
        ) {
            let pool = plain(cards);
            prop_assume!(first.least_cards() <= cards as usize);
            let mut ledger = ledger(&pool, &[]);
            let (mut next, mut running) = (0, Vec::new());
            let verdicts = decide(&pool, &ledger, |_| true, before.into_iter().map(Claim::from));
            realise(&pool, &mut ledger, &verdicts, &mut next, &mut running);
            let mut order = order.into_iter();
            let mut claims: Vec<Claim> = std::iter::once(first).chain(behind).map(Claim::from).collect();
            loop {
                let verdicts = decide(&pool, &ledger, |_| true, claims.iter().cloned());
                if matches!(verdicts[0], Verdict::Starts { .. }) {
                    break;
                }
                for (claim, verdict) in claims.iter_mut().zip(&verdicts) {
                    claim.held = if let Verdict::Waits { cards } = verdict { cards.clone() } else { Vec::new() };
                }
                prop_assert!(!running.is_empty(), "nothing of what ran before runs, and it still waits");
                realise(&pool, &mut ledger, &verdicts, &mut next, &mut Vec::new());
                let position = order.next().map_or(0, |index| index.index(running.len()));
                ledger.release(running.remove(position)).unwrap();
            }
        }
    }
}
