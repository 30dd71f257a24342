//! The cards that are divided among tasks, and how near they are to each other.

use std::fmt;

use super::{Demand, GpuCard, MigProfile};
use crate::ids::GpuId;

/// More than any neighbourhood on the bus.
const NVLINK: u32 = 16;

/// How near two cards are: more is nearer. Any NVLink counts for more than any neighbourhood on the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nearness(u32);

impl Nearness {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self(0);
    /// The way leads between processors.
    pub const SYSTEM: Self = Self(1);
    /// On one NUMA node.
    pub const NODE: Self = Self(2);
    /// Below one host bridge.
    pub const HOST_BRIDGE: Self = Self(3);
    /// Below some switches.
    pub const SWITCHES: Self = Self(4);
    /// Below one switch.
    pub const SWITCH: Self = Self(5);

    /// The same, to add up.
    #[cfg(test)]
    pub(super) fn as_number(self) -> u32 {
        self.0
    }

    /// The same, with an NVLink besides.
    #[must_use]
    pub fn with_nvlink(self) -> Self {
        Self(self.0 | NVLINK)
    }
}

impl fmt::Display for Nearness {
    /// For people: `NVLink, same NUMA node`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & NVLINK != 0 {
            formatter.write_str("NVLink, ")?;
        }
        formatter.write_str(match Self(self.0 & !NVLINK) {
            Self::SYSTEM => "across NUMA nodes",
            Self::NODE => "same NUMA node",
            Self::HOST_BRIDGE => "same PCIe host bridge",
            Self::SWITCHES => "behind PCIe switches",
            Self::SWITCH => "same PCIe switch",
            _ => "connection unknown",
        })
    }
}

/// Some cards, in the order of their indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    cards: Vec<GpuCard>,
    /// Row by row, symmetrical.
    nearness: Vec<Nearness>,
    /// Which of them are MIG instances, and of what size.
    profiles: Vec<Option<MigProfile>>,
    twins: Twins,
}

/// Cards that are as near to every other card as their twins are, and to each other: which of them somebody gets makes
/// no difference. A large machine has few kinds of cards in this sense, and a choice looks at kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Twins {
    /// The kind of each card, by position.
    kinds: Vec<usize>,
    /// How near cards of two kinds are, row by row; on the diagonal those of one kind to each other.
    nearness: Vec<u64>,
    count: usize,
}

impl Twins {
    fn new(cards: usize, nearness: &[Nearness]) -> Self {
        let near = |one: usize, other: usize| nearness[one * cards + other];
        let are_twins = |one: usize, other: usize| {
            (0..cards).all(|card| card == one || card == other || near(one, card) == near(other, card))
        };
        let mut firsts: Vec<usize> = Vec::new();
        let mut seconds: Vec<Option<usize>> = Vec::new();
        let mut kinds = Vec::with_capacity(cards);
        for card in 0..cards {
            let known = firsts.iter().position(|first| are_twins(*first, card));
            let kind = known.unwrap_or_else(|| {
                firsts.push(card);
                seconds.push(None);
                firsts.len() - 1
            });
            if known.is_some() {
                seconds[kind].get_or_insert(card);
            }
            kinds.push(kind);
        }
        let count = firsts.len();
        let mut between = Vec::with_capacity(count * count);
        for one in 0..count {
            between.extend((0..count).map(|other| match (one == other, seconds[one]) {
                (false, _) => u64::from(near(firsts[one], firsts[other]).0),
                (true, Some(second)) => u64::from(near(firsts[one], second).0),
                (true, None) => 0,
            }));
        }
        Self { kinds, nearness: between, count }
    }

    /// The kind of the card at a position.
    pub(super) fn kind(&self, position: usize) -> usize {
        self.kinds[position]
    }

    /// How many kinds there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How near cards of a kind are to those of each kind.
    pub(super) fn row(&self, kind: usize) -> &[u64] {
        &self.nearness[kind * self.count..][..self.count]
    }
}

impl Pool {
    /// Cards, and what `nearness` says of each pair of them.
    pub fn new(cards: Vec<GpuCard>, nearness: impl Fn(&GpuCard, &GpuCard) -> Nearness) -> Self {
        let mut all = Vec::with_capacity(cards.len() * cards.len());
        for one in &cards {
            all.extend(cards.iter().map(|other| nearness(one, other)));
        }
        let profiles = cards.iter().map(GpuCard::profile).collect();
        let twins = Twins::new(cards.len(), &all);
        Self { cards, nearness: all, profiles, twins }
    }

    /// The cards.
    pub fn cards(&self) -> &[GpuCard] {
        &self.cards
    }

    /// The identity of the card at a position.
    pub(super) fn id(&self, position: usize) -> &GpuId {
        &self.cards[position].id
    }

    /// Whether the card at a position is of the kind that is demanded. MIG instances count as cards only where there is
    /// no whole card.
    pub(super) fn suits(&self, position: usize, demand: &Demand) -> bool {
        match (demand, &self.profiles[position]) {
            (Demand::Instance(wanted), profile) => *profile == Some(*wanted),
            (Demand::Cards { .. } | Demand::Share(_), None) => true,
            (Demand::Cards { .. } | Demand::Share(_), Some(_)) => self.has_only_instances(),
        }
    }

    fn has_only_instances(&self) -> bool {
        self.profiles.iter().all(Option::is_some)
    }

    /// How many cards there are of the kind that is demanded, whoever has them.
    pub fn suitable(&self, demand: &Demand) -> usize {
        (0..self.cards.len()).filter(|position| self.suits(*position, demand)).count()
    }

    /// How near the cards at two positions are.
    pub fn between(&self, one: usize, other: usize) -> Nearness {
        self.nearness[one * self.cards.len() + other]
    }

    pub(super) fn twins(&self) -> &Twins {
        &self.twins
    }
}
