//! How cards are divided by those who ask for it: it outlives the program, as on hardware.
//!
//! What the scenario says of a card's instances holds until a program makes or destroys one; from then on a file of the
//! library's own, beside the scenario, says how that card is divided.

use std::fmt::Write as _;

use crate::code::Code;
use crate::machine::{Card, Instance, Machine};
use crate::model::{Model, Profile};

/// The numbers that the library gives to sizes, by their kinds: to ask about one, and to make one.
const NUMBERS: [(&str, u32, u32); 7] =
    [("1g", 0, 19), ("2g", 1, 14), ("3g", 2, 9), ("4g", 3, 5), ("7g", 4, 0), ("1g+me", 7, 20), ("1g.2x", 9, 15)];

/// One more than the greatest number to ask about a size.
pub(crate) const PROFILES: u32 = 17;

/// The size of a model that is asked about by this number, with the number to make one.
pub(crate) fn profile_to_ask(model: &'static Model, asked: u32) -> Option<(&'static Profile, u32)> {
    let (kind, _, id) = NUMBERS.iter().find(|(_, number, _)| *number == asked)?;
    Some((model.profiles.iter().find(|profile| profile.kind == *kind)?, *id))
}

/// The size of a model that is made by this number.
pub(crate) fn profile_to_make(model: &'static Model, id: u32) -> Option<&'static Profile> {
    let (kind, _, _) = NUMBERS.iter().find(|(_, _, number)| *number == id)?;
    model.profiles.iter().find(|profile| profile.kind == *kind)
}

/// The number to make this size.
pub(crate) fn id_of(profile: &Profile) -> u32 {
    NUMBERS.iter().find(|(kind, _, _)| *kind == profile.kind).map_or(u32::MAX, |(_, _, id)| *id)
}

impl Card {
    /// Whether an instance has a place beside the others.
    pub(crate) fn has_place(&self, profile: &'static Profile, start: u32) -> bool {
        let same = self.instances.iter().filter(|other| std::ptr::eq(other.profile, profile)).count();
        let compute: u32 = self.instances.iter().map(|other| other.profile.compute_slices).sum();
        let end = start + profile.memory_slices;
        let overlaps =
            self.instances.iter().any(|other| start < other.start + other.profile.memory_slices && other.start < end);
        let is_too_much = compute + profile.compute_slices > self.model.compute_slices();
        profile.starts.contains(&start) && !overlaps && same < profile.most && !is_too_much
    }

    /// Makes an instance, without anything that computes in it. Gives its number.
    pub(crate) fn make(&mut self, index: usize, profile: &'static Profile, start: u32) -> Result<u32, Code> {
        if !self.has_mig_mode {
            return Err(Code::NOT_SUPPORTED);
        }
        if !profile.starts.contains(&start) {
            return Err(Code::INVALID_ARGUMENT);
        }
        if !self.has_place(profile, start) {
            return Err(Code::INSUFFICIENT_RESOURCES);
        }
        let is_free = |id: &u32| !self.instances.iter().any(|instance| instance.id == *id);
        let id = (1..).find(is_free).ok_or(Code::INSUFFICIENT_RESOURCES)?;
        let uuid = format!("MIG-51310000-0000-5000-9{index:03x}-{:08x}{start:04x}", id_of(profile));
        self.instances.push(Instance { profile, start, uuid, id, has_compute: false, utilisation_percent: 0 });
        self.is_redivided = true;
        Ok(id)
    }

    /// Takes away an instance that nothing uses any more.
    pub(crate) fn unmake(&mut self, instance: usize) -> Result<(), Code> {
        if self.instances[instance].has_compute || self.is_in_use(instance) {
            return Err(Code::IN_USE);
        }
        self.instances.remove(instance);
        for process in &mut self.processes {
            process.instance = process.instance.map(|other| if other > instance { other - 1 } else { other });
        }
        self.is_redivided = true;
        Ok(())
    }

    /// Whether a process is on an instance.
    pub(crate) fn is_in_use(&self, instance: usize) -> bool {
        self.processes.iter().any(|process| process.instance == Some(instance))
    }
}

/// The divisions that programs have made, to be kept.
pub(crate) fn write(machine: &Machine) -> String {
    let mut text = String::new();
    for (index, card) in machine.cards.iter().enumerate().filter(|(_, card)| card.is_redivided) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "card {index}");
        for Instance { profile, start, uuid, id, has_compute, .. } in &card.instances {
            let _ =
                writeln!(text, "instance {index} {} {start} {id} {} {uuid}", profile.name(), u8::from(*has_compute));
        }
    }
    text
}

/// Divides the cards as they were kept. What the machine has not is left out: another scenario was written since.
pub(crate) fn apply(machine: &mut Machine, text: &str) {
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let card =
            words.get(1).and_then(|word| word.parse::<usize>().ok()).and_then(|card| machine.cards.get_mut(card));
        let Some(card) = card.filter(|card| card.has_mig_mode) else { continue };
        match words.as_slice() {
            ["card", _] => {
                card.instances.clear();
                card.is_redivided = true;
            }
            ["instance", _, name, start, id, has_compute, uuid] => {
                let profile = card.model.profiles.iter().find(|profile| profile.name() == *name);
                if let (Some(profile), Ok(start), Ok(id)) = (profile, start.parse(), id.parse()) {
                    let (uuid, has_compute) = ((*uuid).to_owned(), *has_compute == "1");
                    card.instances.push(Instance { profile, start, uuid, id, has_compute, utilisation_percent: 0 });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn what_programs_made_is_kept_and_the_rest_is_the_scenarios() {
        let text = "cards 2 H100\nmig 0\ninstance 1 1g.10gb 0";
        let mut machine = scenario::read(text).unwrap();
        let profile = profile_to_make(machine.cards[0].model, 9).unwrap();
        assert_eq!(machine.cards[0].make(0, profile, 4), Ok(1));
        assert_eq!(machine.cards[0].make(0, profile, 4), Err(Code::INSUFFICIENT_RESOURCES));
        assert_eq!(machine.cards[0].make(0, profile, 1), Err(Code::INVALID_ARGUMENT));
        let kept = write(&machine);
        let mut again = scenario::read(text).unwrap();
        apply(&mut again, &kept);
        assert_eq!(again.cards[0].instances.len(), 1);
        assert_eq!(again.cards[0].instances[0].uuid, machine.cards[0].instances[0].uuid);
        assert_eq!(again.cards[1].instances.len(), 1);
        again.cards[0].unmake(0).unwrap();
        let mut last = scenario::read(text).unwrap();
        apply(&mut last, &write(&again));
        assert!(last.cards[0].instances.is_empty());
    }

    #[test]
    fn every_size_has_its_numbers() {
        for key in ["A30", "A100-40GB", "A100", "H100", "H200"] {
            let model = Model::named(key).unwrap();
            for profile in model.profiles {
                assert!(std::ptr::eq(profile_to_make(model, id_of(profile)).unwrap(), profile));
            }
            let asked = (0..PROFILES).filter(|number| profile_to_ask(model, *number).is_some()).count();
            assert_eq!(asked, model.profiles.len());
        }
    }
}
