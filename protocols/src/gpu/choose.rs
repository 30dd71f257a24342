//! Which of the free cards a task gets: near to each other, and so that those that stay free stay near to each other.

use super::pool::Pool;

/// More sets than that are not all looked at: then the set grows card by card from each beginning.
const MOST_SETS: u64 = 4096;

/// From more cards than that no set is grown: those come first that are the least connected.
const MOST_BEGINNINGS: usize = 64;

/// The best `count` of the `free` positions, ascending; `None` where there are fewer.
pub(super) fn choose(pool: &Pool, free: &[usize], count: usize) -> Option<Vec<usize>> {
    if free.len() <= count {
        return (free.len() == count).then(|| free.to_vec());
    }
    let connections = Connections::new(pool, free);
    let mut best: Option<(Score, Vec<usize>)> = None;
    let mut consider = |set: Vec<usize>| {
        let score = connections.score(&set);
        // Of equals the first stays: the one with the smallest indexes.
        if best.as_ref().is_none_or(|(known, _)| score > *known) {
            best = Some((score, set));
        }
    };
    if sets(free.len() as u64, count as u64) <= MOST_SETS {
        each_set(free, count, &mut Vec::new(), &mut consider);
    } else {
        for beginning in connections.beginnings(free) {
            consider(grown(pool, free, beginning, count));
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
    broken: std::cmp::Reverse<u64>,
}

/// How near each card is to all the free ones together, by position.
struct Connections<'a> {
    pool: &'a Pool,
    to_free: Vec<u64>,
}

impl<'a> Connections<'a> {
    fn new(pool: &'a Pool, free: &[usize]) -> Self {
        let mut to_free = vec![0; pool.cards().len()];
        for one in free {
            to_free[*one] = free.iter().filter(|other| *other != one).map(|other| pool.nearness(*one, *other)).sum();
        }
        Self { pool, to_free }
    }

    fn score(&self, set: &[usize]) -> Score {
        let pairs = set.iter().enumerate().flat_map(|(at, one)| set[at + 1..].iter().map(move |other| (*one, *other)));
        let within: u64 = pairs.map(|(one, other)| self.pool.nearness(one, other)).sum();
        let all: u64 = set.iter().map(|card| self.to_free[*card]).sum();
        // Each pair within the set is in the sums of both its cards.
        Score { within, broken: std::cmp::Reverse(all - 2 * within) }
    }

    fn beginnings(&self, free: &[usize]) -> Vec<usize> {
        let mut beginnings = free.to_vec();
        beginnings.sort_by_key(|card| (self.to_free[*card], *card));
        beginnings.truncate(MOST_BEGINNINGS);
        beginnings
    }
}

/// How many sets of `count` there are, or anything above [`MOST_SETS`].
fn sets(of: u64, count: u64) -> u64 {
    let count = count.min(of - count);
    (0..count).try_fold(1u64, |sets, step| Some(sets.checked_mul(of - step)? / (step + 1))).unwrap_or(u64::MAX)
}

fn each_set(free: &[usize], count: usize, begun: &mut Vec<usize>, consider: &mut impl FnMut(Vec<usize>)) {
    if count == 0 {
        consider(begun.clone());
        return;
    }
    for (position, card) in free.iter().enumerate().take(free.len() + 1 - count) {
        begun.push(*card);
        each_set(&free[position + 1..], count - 1, begun, consider);
        begun.pop();
    }
}

/// A set that begins with a card and takes the nearest to all that it has, again and again.
fn grown(pool: &Pool, free: &[usize], beginning: usize, count: usize) -> Vec<usize> {
    let mut set = vec![beginning];
    let mut rest: Vec<(usize, u64)> =
        free.iter().filter(|card| **card != beginning).map(|card| (*card, pool.nearness(beginning, *card))).collect();
    while set.len() < count {
        let nearest = rest.iter().enumerate().max_by_key(|(position, (_, near))| (*near, std::cmp::Reverse(*position)));
        let Some((position, _)) = nearest else { break };
        let (card, _) = rest.remove(position);
        for (other, near) in &mut rest {
            *near += pool.nearness(card, *other);
        }
        set.push(card);
    }
    set.sort_unstable();
    set
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

    proptest! {
        /// On a machine whose cards come in islands, growing finds what looking at every set finds.
        #[test]
        fn growing_is_as_good_on_islands(free in proptest::collection::btree_set(0usize..8, 1..8), count in 1usize..4) {
            let free: Vec<usize> = free.into_iter().collect();
            prop_assume!(count <= free.len());
            let pool = pool(8, |one, other| if one / 4 == other / 4 { Nearness::NODE } else { Nearness::SYSTEM });
            let connections = Connections::new(&pool, &free);
            let best = choose(&pool, &free, count).map(|set| connections.score(&set).within);
            let grown = free.iter().map(|card| connections.score(&grown(&pool, &free, *card, count)).within).max();
            prop_assert_eq!(best, grown);
        }
    }
}
