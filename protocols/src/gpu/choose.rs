//! Which of the free cards a task gets: near to each other, and so that those that stay free stay near to each other.
//!
//! A choice is made among kinds of cards, see [`Twins`]: of each kind so many, those with the smallest indexes.

use std::cmp::Reverse;

use super::pool::{Pool, Twins};

/// More sets than that are not all looked at: then the set grows card by card from each beginning.
const MOST_SETS: usize = 4096;

/// From more kinds of cards than that no set is grown: those come first that are the least connected.
const MOST_BEGINNINGS: usize = 64;

/// The best `count` of the `free` positions, which ascend, ascending; `None` where there are fewer.
pub(super) fn choose(pool: &Pool, free: &[usize], count: usize) -> Option<Vec<usize>> {
    if free.len() <= count {
        return (free.len() == count).then(|| free.to_vec());
    }
    let kinds = Free::new(pool.twins(), free);
    let mut best: Option<(Score, Vec<usize>)> = None;
    let mut consider = |taken: &[(usize, usize)]| {
        let score = kinds.score(taken);
        if best.as_ref().is_some_and(|(known, _)| score < *known) {
            return;
        }
        let set = kinds.set(taken);
        // Of equals the one with the smallest indexes.
        if best.as_ref().is_none_or(|(known, of_known)| score > *known || set < *of_known) {
            best = Some((score, set));
        }
    };
    if sets(kinds.of.len(), count) <= MOST_SETS {
        kinds.each_set(0, count, &mut Vec::new(), &mut consider);
    } else {
        for beginning in kinds.beginnings() {
            consider(&kinds.grown(beginning, count));
        }
    }
    best.map(|(_, set)| set)
}

/// Compared from left to right.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// How near the cards of the set are to each other.
    within: u64,
    /// How near they are to those that stay free: what taking them breaks.
    broken: Reverse<u64>,
}

/// The free cards of a kind.
struct Kind {
    /// Its number among all kinds of the pool.
    number: usize,
    cards: Vec<usize>,
    /// How near one of them is to all the other free ones together.
    to_free: u64,
}

/// The kinds of which some are free.
struct Free<'a> {
    twins: &'a Twins,
    of: Vec<Kind>,
}

impl<'a> Free<'a> {
    fn new(twins: &'a Twins, free: &[usize]) -> Self {
        let mut all: Vec<Vec<usize>> = vec![Vec::new(); twins.count()];
        free.iter().for_each(|card| all[twins.kind(*card)].push(*card));
        let counts: Vec<u64> = all.iter().map(|cards| cards.len() as u64).collect();
        let of = all.into_iter().enumerate().filter(|(_, cards)| !cards.is_empty());
        let of = of.map(|(number, cards)| {
            let row = twins.row(number);
            let sum: u64 = row.iter().zip(&counts).map(|(near, count)| near * count).sum();
            // A card is not near to itself.
            Kind { number, cards, to_free: sum - row[number] }
        });
        Self { twins, of: of.collect() }
    }

    /// Of a set: kinds by their positions here, and how many of each.
    fn score(&self, taken: &[(usize, usize)]) -> Score {
        let (mut within, mut all) = (0, 0);
        for (at, (kind, count)) in taken.iter().enumerate() {
            let (kind, count) = (&self.of[*kind], *count as u64);
            let row = self.twins.row(kind.number);
            within += row[kind.number] * count * (count - 1) / 2;
            let others = taken[at + 1..].iter();
            within += others.map(|(other, of_it)| row[self.of[*other].number] * count * *of_it as u64).sum::<u64>();
            all += kind.to_free * count;
        }
        // Each pair within the set is in the sums of both its cards.
        Score { within, broken: Reverse(all - 2 * within) }
    }

    fn set(&self, taken: &[(usize, usize)]) -> Vec<usize> {
        let mut set: Vec<usize> =
            taken.iter().flat_map(|(kind, count)| self.of[*kind].cards[..*count].iter().copied()).collect();
        set.sort_unstable();
        set
    }

    fn each_set(
        &self,
        from: usize,
        count: usize,
        begun: &mut Vec<(usize, usize)>,
        consider: &mut impl FnMut(&[(usize, usize)]),
    ) {
        if count == 0 {
            return consider(begun);
        }
        for kind in from..self.of.len() {
            for of_it in 1..=count.min(self.of[kind].cards.len()) {
                begun.push((kind, of_it));
                self.each_set(kind + 1, count - of_it, begun, consider);
                begun.pop();
            }
        }
    }

    /// Kinds to begin a set with.
    fn beginnings(&self) -> Vec<usize> {
        let mut beginnings: Vec<usize> = (0..self.of.len()).collect();
        beginnings.sort_by_key(|kind| (self.of[*kind].to_free, self.of[*kind].cards[0]));
        beginnings.truncate(MOST_BEGINNINGS);
        beginnings
    }

    /// A set that begins with a card of a kind and takes the nearest to all that it has, again and again.
    fn grown(&self, beginning: usize, count: usize) -> Vec<(usize, usize)> {
        let mut taken = vec![0; self.of.len()];
        let mut near: Vec<u64> = vec![0; self.of.len()];
        let mut next = beginning;
        for step in 1..=count {
            taken[next] += 1;
            if step == count {
                break;
            }
            let row = self.twins.row(self.of[next].number);
            let mut nearest: Option<(u64, Reverse<usize>, usize)> = None;
            for (at, kind) in self.of.iter().enumerate() {
                near[at] += row[kind.number];
                if let Some(card) = kind.cards.get(taken[at]) {
                    nearest = nearest.max(Some((near[at], Reverse(*card), at)));
                }
            }
            let Some((_, _, found)) = nearest else { break };
            next = found;
        }
        taken.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    }
}

/// At most so many sets of `count` there are of so many kinds, or anything above [`MOST_SETS`].
fn sets(kinds: usize, count: usize) -> usize {
    let all = (0..count).try_fold(1usize, |sets, step| {
        let sets = sets.checked_mul(kinds + step)? / (step + 1);
        (sets <= MOST_SETS).then_some(sets)
    });
    all.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gpu::pool::Nearness;
    use crate::gpu::schedule::tests::pool;

    /// Two nodes of four cards; NVLinks between 0 and 1, 2 and 3, and so on.
    fn pairs(one: u32, other: u32) -> Nearness {
        let node = if one / 4 == other / 4 { Nearness::NODE } else { Nearness::SYSTEM };
        if one / 2 == other / 2 { node.with_nvlink() } else { node }
    }

    #[track_caller]
    fn check(free: &[usize], count: usize, expected: &[usize]) {
        assert_eq!(choose(&pool(8, pairs), free, count).as_deref(), Some(expected));
    }

    #[test]
    fn linked_cards_go_together() {
        check(&[0, 1, 2, 3, 4, 5, 6, 7], 2, &[0, 1]);
        check(&[1, 2, 3, 5], 2, &[2, 3]);
        check(&[1, 3, 4, 6], 2, &[1, 3]);
        check(&[0, 1, 4, 5, 6, 7], 4, &[4, 5, 6, 7]);
    }

    #[test]
    fn one_card_breaks_as_little_as_possible() {
        check(&[0, 1, 2, 4, 5, 6, 7], 1, &[2]);
        check(&[0, 1, 4, 5, 6], 1, &[6]);
    }

    #[test]
    fn too_few_are_none() {
        assert_eq!(choose(&pool(8, pairs), &[0, 1], 3), None);
    }

    /// What looking at every set of cards, one by one, finds.
    fn by_force(pool: &Pool, free: &[usize], count: usize) -> Vec<usize> {
        let near = |one: usize, other: usize| u64::from(pool.between(one, other).as_number());
        let pairs = |set: &[usize]| -> u64 {
            set.iter()
                .enumerate()
                .flat_map(|(at, one)| set[at + 1..].iter().map(move |other| (*one, *other)))
                .map(|(one, other)| near(one, other))
                .sum()
        };
        let broken = |set: &[usize]| -> u64 {
            let stay = free.iter().filter(|card| !set.contains(card));
            stay.map(|card| set.iter().map(|taken| near(*taken, *card)).sum::<u64>()).sum()
        };
        let sets = (0u32..1 << free.len()).filter(|mask| mask.count_ones() as usize == count);
        let sets =
            sets.map(|mask| (0..free.len()).filter(|at| mask >> at & 1 == 1).map(|at| free[at]).collect::<Vec<_>>());
        sets.max_by_key(|set| (pairs(set), Reverse(broken(set)), Reverse(set.clone()))).unwrap()
    }

    proptest! {
        /// On machines of every shape the choice is the best there is, and of equals the first.
        #[test]
        fn nothing_is_better(
            near in proptest::collection::vec(0u32..3, 64),
            free in proptest::collection::btree_set(0usize..8, 1..8),
            count in 1usize..5,
        ) {
            let free: Vec<usize> = free.into_iter().collect();
            prop_assume!(count <= free.len());
            let kinds = [Nearness::SYSTEM, Nearness::NODE, Nearness::SWITCH];
            let pool = pool(8, |one, other| kinds[near[(one.min(other) * 8 + one.max(other)) as usize] as usize]);
            prop_assert_eq!(choose(&pool, &free, count), Some(by_force(&pool, &free, count)));
        }

        /// The same where cards have twins.
        #[test]
        fn nothing_is_better_on_islands(
            sizes in proptest::collection::vec(1u32..4, 4),
            free in proptest::collection::btree_set(0usize..8, 1..8),
            count in 1usize..5,
        ) {
            let free: Vec<usize> = free.into_iter().collect();
            prop_assume!(count <= free.len());
            let island = |card: u32| sizes.iter().scan(0, |end, size| { *end += size; Some(*end) }).take_while(|end| *end <= card).count();
            let pool = pool(8, |one, other| match island(one).abs_diff(island(other)) {
                0 => Nearness::NODE.with_nvlink(),
                1 => Nearness::NODE,
                _ => Nearness::SYSTEM,
            });
            prop_assert_eq!(choose(&pool, &free, count), Some(by_force(&pool, &free, count)));
        }

        /// On a machine whose cards come in islands, growing finds what looking at every set finds.
        #[test]
        fn growing_is_as_good_on_islands(free in proptest::collection::btree_set(0usize..8, 1..8), count in 1usize..4) {
            let free: Vec<usize> = free.into_iter().collect();
            prop_assume!(count <= free.len());
            let pool = pool(8, |one, other| if one / 4 == other / 4 { Nearness::NODE } else { Nearness::SYSTEM });
            let kinds = Free::new(pool.twins(), &free);
            let mut best = 0;
            kinds.each_set(0, count, &mut Vec::new(), &mut |set| best = best.max(kinds.score(set).within));
            let grown = (0..kinds.of.len()).map(|kind| kinds.score(&kinds.grown(kind, count)).within).max();
            prop_assert_eq!(Some(best), grown);
        }
    }
}
