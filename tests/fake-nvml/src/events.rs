//! What happens to cards while somebody listens: a change of the scenario is an event.

use std::collections::BTreeMap;

use crate::code::Code;
use crate::machine::{Machine, Place};

/// `nvmlEventTypeDoubleBitEccError`.
pub(crate) const DOUBLE_BIT_ECC: u64 = 0x2;
/// `nvmlEventTypeXidCriticalError`.
pub(crate) const XID: u64 = 0x8;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) place: Place,
    pub(crate) kind: u64,
    pub(crate) data: u64,
}

/// Everything that has happened since the library was loaded, and who listens.
#[derive(Debug, Default)]
pub(crate) struct Events {
    happened: Vec<Event>,
    sets: BTreeMap<usize, Set>,
    made: usize,
}

/// An event set of a program.
#[derive(Debug, Default)]
struct Set {
    /// The cards that it listens to, and to which kinds of events.
    cards: BTreeMap<usize, u64>,
    /// The first event that it has not been told.
    next: usize,
}

impl Events {
    /// Compares the machine as it was with the machine as it is.
    pub(crate) fn note(&mut self, before: &Machine, now: &Machine) {
        // A line that was there already is nothing new; the same complaint twice is two lines.
        let mut old = before.xids.clone();
        for xid in &now.xids {
            match old.iter().position(|known| known == xid) {
                Some(known) => {
                    old.swap_remove(known);
                }
                None => self.happened.push(Event { place: xid.place, kind: XID, data: xid.number }),
            }
        }
        for (index, (was, is)) in before.cards.iter().zip(&now.cards).enumerate() {
            if is.ecc.uncorrected > was.ecc.uncorrected {
                let place = Place { card: index, instance: None };
                self.happened.push(Event { place, kind: DOUBLE_BIT_ECC, data: 0 });
            }
        }
    }

    /// A new set: its number, from 1.
    pub(crate) fn create(&mut self) -> usize {
        self.made += 1;
        self.sets.insert(self.made, Set { cards: BTreeMap::new(), next: self.happened.len() });
        self.made
    }

    pub(crate) fn register(&mut self, set: usize, card: usize, kinds: u64) -> Result<(), Code> {
        let set = self.sets.get_mut(&set).ok_or(Code::INVALID_ARGUMENT)?;
        *set.cards.entry(card).or_default() |= kinds;
        Ok(())
    }

    pub(crate) fn free(&mut self, set: usize) -> Result<(), Code> {
        self.sets.remove(&set).map(drop).ok_or(Code::INVALID_ARGUMENT)
    }

    /// The next event for a set; none yet where it is [`Code::TIMEOUT`].
    pub(crate) fn next(&mut self, set: usize, machine: &Machine) -> Result<Event, Code> {
        let set = self.sets.get_mut(&set).ok_or(Code::INVALID_ARGUMENT)?;
        while let Some(event) = self.happened.get(set.next) {
            set.next += 1;
            if set.cards.get(&event.place.card).is_some_and(|kinds| kinds & event.kind != 0) {
                return Ok(*event);
            }
        }
        let is_lost = |card: &usize| machine.cards.get(*card).is_none_or(|card| card.is_lost);
        Err(if set.cards.keys().any(is_lost) { Code::GPU_IS_LOST } else { Code::TIMEOUT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;

    #[test]
    fn a_new_line_is_an_event_for_those_who_listen() {
        let machines = [
            "cards 2 H100\nxid 0 13",
            "cards 2 H100\nxid 0 13\nxid 1 79\nxid 0 13",
            "cards 2 H100\nxid 0 13\nxid 1 79\nxid 0 13\nset 0 ecc_uncorrected=1",
            "cards 2 H100\nlost 0",
        ]
        .map(|text| read(text).unwrap());
        let mut events = Events::default();
        let (all, second) = (events.create(), events.create());
        events.register(all, 0, XID | DOUBLE_BIT_ECC).unwrap();
        events.register(all, 1, XID).unwrap();
        events.register(second, 1, DOUBLE_BIT_ECC).unwrap();
        for (before, now) in machines.iter().zip(&machines[1..]) {
            events.note(before, now);
        }
        let mut told = Vec::new();
        while let Ok(event) = events.next(all, &machines[2]) {
            told.push((event.place.card, event.kind, event.data));
        }
        assert_eq!(told, [(1, XID, 79), (0, XID, 13), (0, DOUBLE_BIT_ECC, 0)]);
        assert_eq!(events.next(second, &machines[3]), Err(Code::TIMEOUT));
        assert_eq!(events.next(all, &machines[3]), Err(Code::GPU_IS_LOST));
        assert_eq!(events.free(all), Ok(()));
        assert_eq!(events.next(all, &machines[3]), Err(Code::INVALID_ARGUMENT));
    }
}
