//! Who of those that wait starts, and with which cards.
//!
//! Those that wait come in order of priority. Who does not fit holds cards: what is free of them goes to nobody behind
//! it until it fits. Those behind pass only with cards that it does not hold. It keeps what it holds from one judgement
//! to the next, so that nobody gets at its cards in between; only a card that is wholly free takes the place of one that
//! is not. So it starts at the latest when the tasks that ran when it began to wait have ended, however many small ones
//! are behind it. Who is patient lets others pass instead, and holds nothing.

use super::choose::choose;
use super::pool::Pool;
use super::{Demand, GpuLedger, MilliGpu, Share, Sharing};

/// One that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it wants.
    pub demand: Demand,
    /// The cards, by their positions in the pool, that it held at the last judgement.
    pub held: Vec<usize>,
    /// It holds nothing yet: others may pass. What is made on demand is kept for it all the same.
    pub is_patient: bool,
    /// For what is made on demand.
    pub making: Option<Making>,
}

/// That what one wants can be made, even where nothing of the kind is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Making {
    /// What must be kept from those behind it meanwhile, by positions in the pool.
    pub keeps: Vec<usize>,
}

impl From<Demand> for Claim {
    /// One that waits for the first time.
    fn from(demand: Demand) -> Self {
        Self { demand, held: Vec::new(), is_patient: false, making: None }
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
        share: Share,
    },
    /// It waits until these cards are free enough, and holds what is free of them.
    Waits {
        /// Ascending.
        cards: Vec<usize>,
    },
    /// It waits, and lets others pass meanwhile.
    Yields,
    /// There is more in front of it than the machine has at a time.
    Behind,
    /// So many cards there are, but not all of them may be leased now. It holds nothing meanwhile: nobody knows when
    /// they come back.
    Lacks {
        /// How many may be leased.
        usable: usize,
    },
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
    let states = (0..pool.cards().len()).map(|position| {
        let (free, sharing) = ledger.state(pool.id(position));
        (usable(position).then_some(free), sharing)
    });
    let (free, sharing): (Vec<Option<MilliGpu>>, Vec<Option<Sharing>>) = states.unzip();
    let open = free.iter().flatten().count();
    let mut room = Room { pool, held: vec![false; free.len()], free, sharing, open };
    waiting.into_iter().map(|claim| room.judge(&claim)).collect()
}

struct Room<'a> {
    pool: &'a Pool,
    /// What is free of each card; `None` of one that may not be leased.
    free: Vec<Option<MilliGpu>>,
    /// How each card is divided that somebody has a part of.
    sharing: Vec<Option<Sharing>>,
    /// Cards that somebody in front waits for.
    held: Vec<bool>,
    /// How many cards may be leased and are not held.
    open: usize,
}

impl Room<'_> {
    fn judge(&mut self, claim: &Claim) -> Verdict {
        let verdict = self.judge_what_is_there(claim);
        let Some(Making { keeps }) = &claim.making else { return verdict };
        match verdict {
            Verdict::Starts { .. } => verdict,
            Verdict::Waits { .. } | Verdict::Yields | Verdict::Behind | Verdict::Lacks { .. } | Verdict::Never => {
                keeps.iter().for_each(|card| self.hold(*card));
                Verdict::Waits { cards: keeps.clone() }
            }
        }
    }

    fn hold(&mut self, card: usize) {
        if !std::mem::replace(&mut self.held[card], true) && self.free[card].is_some() {
            self.open -= 1;
        }
    }

    fn judge_what_is_there(&mut self, claim: &Claim) -> Verdict {
        let demand = &claim.demand;
        let least = demand.least_cards();
        let suits = |position: &usize| self.pool.suits(*position, demand);
        let usable = (0..self.free.len()).filter(|position| self.free[*position].is_some()).filter(suits).count();
        if least > usable {
            let is_never = least > self.pool.suitable(demand);
            return if is_never { Verdict::Never } else { Verdict::Lacks { usable } };
        }
        if self.open == 0 {
            return Verdict::Behind;
        }
        match demand {
            Demand::Cards { least, most } => self.judge_cards(claim, *least, *most),
            // Who can have one made waits for that, not for one that is there.
            Demand::Instance(_) if claim.making.is_some() && self.whole(demand).is_empty() => Verdict::Behind,
            Demand::Instance(_) => self.judge_cards(claim, 1, 1),
            Demand::Share(share) => self.judge_share(claim, *share),
        }
    }

    /// The cards of the kind that is demanded that nobody in front waits for.
    fn open(&self, demand: &Demand) -> impl Iterator<Item = (usize, MilliGpu)> + '_ {
        let demand = *demand;
        let cards = self.free.iter().enumerate().filter_map(|(card, free)| Some((card, (*free)?)));
        cards.filter(move |(card, _)| !self.held[*card] && self.pool.suits(*card, &demand))
    }

    fn whole(&self, demand: &Demand) -> Vec<usize> {
        self.open(demand).filter(|(_, free)| free.is_whole()).map(|(card, _)| card).collect()
    }

    fn judge_cards(&mut self, claim: &Claim, least: usize, most: usize) -> Verdict {
        let whole = self.whole(&claim.demand);
        if whole.len() >= least {
            let cards = choose(self.pool, &whole, whole.len().min(most)).unwrap_or_default();
            return self.start(cards, Share::WHOLE);
        }
        self.wait(claim, least)
    }

    fn judge_share(&mut self, claim: &Claim, share: Share) -> Verdict {
        let demand = &claim.demand;
        // Best fit: the fullest of the divided cards that has room, else the whole card that breaks least.
        let is_alike = |card: usize| self.sharing[card] == Some(share.sharing);
        let divided = self.open(demand).filter(|(card, free)| *free >= share.amount && is_alike(*card));
        if let Some((card, _)) = divided.min_by_key(|(card, free)| (*free, *card)) {
            return self.start(vec![card], share);
        }
        if let Some(cards) = choose(self.pool, &self.whole(demand), 1) {
            return self.start(cards, share);
        }
        self.wait(claim, 1)
    }

    fn start(&mut self, cards: Vec<usize>, share: Share) -> Verdict {
        for card in &cards {
            if let Some(free) = &mut self.free[*card] {
                free.0 -= share.amount.0;
            }
            self.sharing[*card] = Some(share.sharing);
        }
        Verdict::Starts { cards, share }
    }

    /// Holds so many cards: those that are wholly free, then those that were held before, then those that are divided as
    /// is wanted, then the freest.
    fn wait(&mut self, claim: &Claim, count: usize) -> Verdict {
        let Claim { demand, held, .. } = claim;
        let mut open: Vec<(usize, MilliGpu)> = self.open(demand).collect();
        let is_alien = |card: usize| match demand {
            Demand::Share(share) => self.sharing[card] != Some(share.sharing),
            Demand::Cards { .. } | Demand::Instance(_) => false,
        };
        open.sort_by_key(|(card, free)| {
            (!free.is_whole(), !held.contains(card), is_alien(*card), std::cmp::Reverse(*free), *card)
        });
        let mut cards: Vec<usize> = open.into_iter().take(count).map(|(card, _)| card).collect();
        if cards.is_empty() {
            return Verdict::Behind;
        }
        if claim.is_patient {
            return Verdict::Yields;
        }
        cards.sort_unstable();
        cards.iter().for_each(|card| self.hold(*card));
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
            ledger
                .grant(LeaseId(position as u64), &[(pool.id(position).clone(), Share::slot(MilliGpu(*share)))])
                .unwrap();
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
                Verdict::Yields => "yields".to_owned(),
                Verdict::Behind => "behind".to_owned(),
                Verdict::Lacks { usable } => format!("lacks all but {usable}"),
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
    fn slots_and_mps_shares_are_of_different_cards() {
        // The first two cards have slots.
        let expected = ["starts [2] 0.25@mps", "starts [1] 0.25", "starts [2] 0.5@mps", "waits [2]"];
        check(&[500, 750, 0], &["0.25@mps", "0.25", "0.5@mps", "0.5@mps"], &expected);
        check(&[500, 750], &["0.25@mps", "0.25"], &["waits [0]", "starts [1] 0.25"]);
    }

    #[test]
    fn more_than_the_machine_has_is_never() {
        check(&[0, 0], &["3", "2"], &["never", "starts [0, 1] 1"]);
    }

    #[test]
    fn who_needs_cards_that_are_not_usable_waits_and_holds_nothing() {
        let pool = plain(3);
        let claims = ["3", "2", "4"].map(|text| text.parse::<Demand>().unwrap().into());
        let verdicts = decide(&pool, &ledger(&pool, &[0, 0, 0]), |card| card != 1, claims);
        let starts = Verdict::Starts { cards: vec![0, 2], share: Share::WHOLE };
        assert_eq!(verdicts, [Verdict::Lacks { usable: 2 }, starts, Verdict::Never]);
    }

    #[test]
    fn instances_go_to_those_who_ask_for_their_size() {
        let names = ["H100", "H100 MIG 1g.10gb", "H100 MIG 1g.10gb", "H100 MIG 3g.40gb"];
        let judge = |names: &[&str], demands: &[&str]| {
            let card = |(index, name): (usize, &&str)| GpuCard {
                id: GpuId::new(format!("GPU-{index}")),
                index: 0,
                name: (*name).to_owned(),
                memory_bytes: 0,
            };
            let pool = Pool::new(names.iter().enumerate().map(card).collect(), |_, _| Nearness::UNKNOWN);
            let claims = demands.iter().map(|text| text.parse::<Demand>().unwrap().into());
            decide(&pool, &ledger(&pool, &[]), |_| true, claims)
        };
        let starts = |card: usize| Verdict::Starts { cards: vec![card], share: Share::WHOLE };
        let waits = |card: usize| Verdict::Waits { cards: vec![card] };
        let demands = ["1g.10gb@mig", "1g.10gb@mig", "1g.10gb@mig", "3g.40gb@mig", "7g.80gb@mig", "1", "1", "2"];
        let expected = [starts(1), starts(2), waits(1), starts(3), Verdict::Never, starts(0), waits(0), Verdict::Never];
        assert_eq!(judge(&names, &demands), expected);
        assert_eq!(judge(&names[1..], &["1-2"]), [Verdict::Starts { cards: vec![0, 1], share: Share::WHOLE }]);
    }

    #[test]
    fn what_is_held_is_kept_unless_a_card_is_wholly_free() {
        let pool = plain(4);
        let judge = |leased: &[u32], held: &[usize]| {
            let demand = Demand::Cards { least: 2, most: 2 };
            let claim = Claim { held: held.to_vec(), ..demand.into() };
            decide(&pool, &ledger(&pool, leased), |_| true, [claim]).remove(0)
        };
        let waits = |cards: &[usize]| Verdict::Waits { cards: cards.to_vec() };
        assert_eq!(judge(&[500, 600, 1000, 1000], &[]), waits(&[0, 1]));
        assert_eq!(judge(&[500, 600, 250, 1000], &[0, 1]), waits(&[0, 1]), "others are freer now");
        assert_eq!(judge(&[500, 600, 1000, 0], &[0, 1]), waits(&[0, 3]));
    }

    #[test]
    fn who_is_patient_keeps_nothing_from_those_behind() {
        let pool = plain(4);
        let claim = |text: &str, is_patient| Claim { is_patient, ..text.parse::<Demand>().unwrap().into() };
        let judge = |leased: &[u32]| {
            decide(&pool, &ledger(&pool, leased), |_| true, [claim("3", true), claim("2", false), claim("1", false)])
        };
        let starts = |cards: &[usize]| Verdict::Starts { cards: cards.to_vec(), share: Share::WHOLE };
        assert_eq!(judge(&[0, 0, 1000, 1000]), [Verdict::Yields, starts(&[0, 1]), Verdict::Waits { cards: vec![0] }]);
        let waits = |cards: &[usize]| Verdict::Waits { cards: cards.to_vec() };
        assert_eq!(judge(&[0, 0, 0, 1000]), [starts(&[0, 1, 2]), waits(&[0, 1]), waits(&[2])]);
    }

    #[test]
    fn what_is_made_for_one_is_kept_from_those_behind() {
        let card = |(index, name): (usize, &&str)| GpuCard {
            id: GpuId::new(format!("MIG-{index}")),
            index: 0,
            name: (*name).to_owned(),
            memory_bytes: 0,
        };
        let names = ["H100 MIG 1g.10gb", "H100 MIG 1g.10gb"];
        let pool = Pool::new(names.iter().enumerate().map(card).collect(), |_, _| Nearness::UNKNOWN);
        let claim = |text: &str, keeps: Option<&[usize]>| Claim {
            making: keeps.map(|keeps| Making { keeps: keeps.to_vec() }),
            ..text.parse::<Demand>().unwrap().into()
        };
        let claims = [claim("3g.40gb@mig", Some(&[0])), claim("1g.10gb@mig", Some(&[])), claim("1g.10gb@mig", None)];
        let verdicts = decide(&pool, &ledger(&pool, &[]), |_| true, claims);
        let starts = Verdict::Starts { cards: vec![1], share: Share::WHOLE };
        assert_eq!(verdicts, [Verdict::Waits { cards: vec![0] }, starts, Verdict::Waits { cards: vec![1] }]);
    }

    fn demand() -> impl Strategy<Value = Demand> {
        prop_oneof![
            (1usize..5, 0usize..4).prop_map(|(least, more)| Demand::Cards { least, most: least + more }),
            (prop_oneof![Just(125u32), Just(250), Just(500), Just(700)], any::<bool>()).prop_map(|(amount, is_mps)| {
                let amount = MilliGpu(amount);
                Demand::Share(if is_mps { Share::mps(amount) } else { Share::slot(amount) })
            }),
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
                            Demand::Instance(_) => prop_assert!(false, "the pool has no instances"),
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
