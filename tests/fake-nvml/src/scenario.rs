//! Reading a scenario: one thing a line, `#` begins a remark.

use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::code::Code;
use crate::machine::{Card, Effect, Fault, Instance, Machine, Place, Process, Xid};
use crate::model::Model;

/// More processors than a machine has.
const MOST_CPUS: usize = 4096;

/// More cards than a machine has.
const MOST_CARDS: usize = 256;

/// The machine that a text describes; or which line is wrong, and why.
pub(crate) fn read(text: &str) -> Result<Machine, String> {
    let mut machine = Machine::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((first, rest)) = words.split_first() {
            apply(&mut machine, first, rest).map_err(|why| format!("line {}: {why}", number + 1))?;
        }
    }
    Ok(machine)
}

fn apply(machine: &mut Machine, first: &str, rest: &[&str]) -> Result<(), String> {
    match (first, rest) {
        ("driver", [version]) => machine.driver = (*version).to_owned(),
        ("cards", [count, model]) => cards(machine, number(count)?, model)?,
        ("card", [model, settings @ ..]) => {
            let index = add(machine, model)?;
            set_all(&mut machine.cards[index], settings)?;
        }
        ("set", [place, settings @ ..]) if place.contains(':') => set_instance(machine, place, settings)?,
        ("set", [card, settings @ ..]) => set_all(find(machine, card)?, settings)?,
        ("link", [one, other]) => link(machine, one, other)?,
        ("mig", [card]) => find(machine, card)?.has_mig_mode = true,
        ("instance", [card, profile, start]) => instance(find(machine, card)?, card, profile, number(start)?)?,
        ("process", [place, pid, memory]) => process(machine, place, number(pid)?, number(memory)?, false)?,
        ("client", [place, pid, memory]) => process(machine, place, number(pid)?, number(memory)?, true)?,
        ("xid", [place, code]) => xid(machine, place, number(code)?)?,
        ("lost", [card]) => find(machine, card)?.is_lost = true,
        ("fail", [card, function, code]) => {
            let code = Code::named(code).ok_or_else(|| format!("no error is called {code}"))?;
            fault(machine, card, function, Effect::Fail(code))?;
        }
        ("once", [card, function, code]) => {
            let code = Code::named(code).ok_or_else(|| format!("no error is called {code}"))?;
            fault(machine, card, function, Effect::FailOnce(code))?;
        }
        ("slow", [card, function, milliseconds]) => {
            let wait = Duration::from_millis(number(milliseconds)?);
            fault(machine, card, function, Effect::Wait(wait))?;
        }
        (first, rest) => return Err(format!("`{first}` with {} words behind it means nothing", rest.len())),
    }
    Ok(())
}

fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

/// `0-3,8`.
fn numbers(list: &str) -> Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(number::<usize>(first)?..=number::<usize>(last)?.min(MOST_CPUS));
    }
    Ok(all)
}

fn add(machine: &mut Machine, model: &str) -> Result<usize, String> {
    let model = Model::named(model).ok_or_else(|| format!("no card is called {model}; known: {}", Model::keys()))?;
    let index = machine.cards.len();
    if index == MOST_CARDS {
        return Err(format!("more than {MOST_CARDS} cards"));
    }
    machine.cards.push(Card::new(model, index));
    Ok(index)
}

/// A usual machine: two NUMA nodes, and NVLinks between all where the model has them.
fn cards(machine: &mut Machine, count: usize, model: &str) -> Result<(), String> {
    let first = machine.cards.len();
    for position in 0..count {
        let index = add(machine, model)?;
        let card = &mut machine.cards[index];
        card.numa = u32::from(count > 1 && position >= count / 2);
        if card.model.has_nvlink {
            machine.links.extend((first..index).map(|other| (other, index)));
        }
    }
    Ok(())
}

fn index(machine: &Machine, word: &str) -> Result<usize, String> {
    let index = number(word)?;
    if index < machine.cards.len() { Ok(index) } else { Err(format!("there is no card {word} above this line")) }
}

fn find<'a>(machine: &'a mut Machine, word: &str) -> Result<&'a mut Card, String> {
    let index = index(machine, word)?;
    Ok(&mut machine.cards[index])
}

fn link(machine: &mut Machine, one: &str, other: &str) -> Result<(), String> {
    let (one, other) = (index(machine, one)?, index(machine, other)?);
    if one == other {
        return Err("a card has no link to itself".to_owned());
    }
    machine.links.insert((one.min(other), one.max(other)));
    Ok(())
}

fn set_all(card: &mut Card, settings: &[&str]) -> Result<(), String> {
    settings.iter().try_for_each(|setting| {
        let (name, value) = setting.split_once('=').ok_or_else(|| format!("`{setting}` is not NAME=VALUE"))?;
        set(card, name, value)
    })
}

fn set(card: &mut Card, name: &str, value: &str) -> Result<(), String> {
    match name {
        "uuid" => value.clone_into(&mut card.uuid),
        "numa" => card.numa = number(value)?,
        "cpus" => card.cpus = numbers(value)?,
        "utilisation" => card.load.utilisation_percent = number(value)?,
        "temperature" => card.load.temperature_celsius = number(value)?,
        "power" => card.load.power_watts = number(value)?,
        "memory" => card.load.memory_mib = number(value)?,
        "ecc_corrected" => card.ecc.corrected = number(value)?,
        "ecc_uncorrected" => card.ecc.uncorrected = number(value)?,
        "remapped_rows" => card.ecc.remapped_rows = number(value)?,
        "remapping_pending" => card.ecc.has_pending_remapping = number::<u8>(value)? != 0,
        "remapping_failed" => card.ecc.has_failed_remapping = number::<u8>(value)? != 0,
        name => return Err(format!("a card has no {name}")),
    }
    Ok(())
}

/// A MIG device at a place that the card's geometry has, and that is free.
fn instance(card: &mut Card, index: &str, profile: &str, start: u32) -> Result<(), String> {
    let model = card.model;
    let known = || model.profiles.iter().map(|profile| profile.name()).collect::<Vec<_>>().join(", ");
    let profile = model
        .profiles
        .iter()
        .find(|known| known.name() == profile)
        .ok_or_else(|| format!("{} has no instance {profile}; it has: {}", model.key, known()))?;
    if !profile.starts.contains(&start) {
        return Err(format!("{} begins at one of the memory slices {:?}", profile.name(), profile.starts));
    }
    if !card.has_place(profile, start) {
        return Err(format!("{} at {start} has no place beside the other instances of card {index}", profile.name()));
    }
    let card_number: usize = number(index)?;
    let uuid = format!("MIG-51310000-0000-5000-8{card_number:03x}-{:012x}", card.instances.len());
    card.has_mig_mode = true;
    let id = card.instances.len() as u32 + 1;
    card.instances.push(Instance { profile, start, uuid, id, has_compute: true, utilisation_percent: 0 });
    Ok(())
}

/// Of an instance its load can be set: `utilisation=97`.
fn set_instance(machine: &mut Machine, place: &str, settings: &[&str]) -> Result<(), String> {
    let Place { card, instance } = find_place(machine, place)?;
    let instance = instance.and_then(|instance| machine.cards[card].instances.get_mut(instance));
    let instance = instance.ok_or_else(|| format!("there is no instance {place} above this line"))?;
    for setting in settings {
        match setting.split_once('=') {
            Some(("utilisation", value)) => instance.utilisation_percent = number(value)?,
            _ => return Err(format!("an instance has utilisation=PERCENT and no `{setting}`")),
        }
    }
    Ok(())
}

/// `3` is a card, `3:0` an instance of it.
fn find_place(machine: &Machine, word: &str) -> Result<Place, String> {
    let (card, instance) = word.split_once(':').map_or((word, None), |(card, instance)| (card, Some(instance)));
    let instance = instance.map(number::<usize>).transpose()?;
    let card = index(machine, card)?;
    if instance.is_some_and(|instance| instance >= machine.cards[card].instances.len()) {
        return Err(format!("there is no instance {word} above this line"));
    }
    Ok(Place { card, instance })
}

fn process(machine: &mut Machine, place: &str, pid: u32, memory_mib: u64, is_mps_client: bool) -> Result<(), String> {
    let Place { card, instance } = find_place(machine, place)?;
    machine.cards[card].processes.push(Process { pid, memory_mib, instance, is_mps_client });
    Ok(())
}

fn xid(machine: &mut Machine, place: &str, number: u64) -> Result<(), String> {
    let place = find_place(machine, place)?;
    machine.xids.push(Xid { place, number });
    Ok(())
}

fn fault(machine: &mut Machine, card: &str, function: &str, effect: Effect) -> Result<(), String> {
    let card = if card == "*" { None } else { Some(index(machine, card)?) };
    machine.faults.push(Fault { card, function: function.to_owned(), effect, is_spent: AtomicBool::new(false) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_numbered_as_they_come() {
        let machine =
            read("cards 4 H100 # a usual machine\ncard L4 numa=1 uuid=GPU-x cpus=1-3,8\n\nlink 0 4\nset 1 power=650")
                .unwrap();
        assert_eq!(machine.cards.len(), 5);
        assert_eq!(machine.cards.iter().map(|card| card.numa).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
        assert!(machine.are_linked(3, 0) && machine.are_linked(4, 0) && !machine.are_linked(4, 1));
        assert_eq!(machine.cards[1].load.power_watts, 650);
        assert_eq!(machine.cards[4].uuid, "GPU-x");
        assert_eq!(machine.cards[4].cpus, [1, 2, 3, 8]);
    }

    #[test]
    fn instances_take_memory_slices() {
        let machine = read("card H100\ninstance 0 3g.40gb 4\ninstance 0 2g.20gb 0\ninstance 0 1g.10gb 2").unwrap();
        let card = &machine.cards[0];
        assert!(card.has_mig_mode);
        assert_eq!(card.memory_mib(Some(0)), 81_559 / 2);
        assert_eq!(card.memory_mib(Some(2)), 81_559 / 8);
    }

    #[test]
    fn memory_in_use_is_that_of_the_place() {
        let text = "card A100\ninstance 0 3g.40gb 0\ninstance 0 3g.40gb 4\nprocess 0:1 7 1000\nset 0 memory=500";
        let card = &read(text).unwrap().cards[0];
        assert_eq!([None, Some(0), Some(1)].map(|place| card.memory_used_mib(place)), [1500, 0, 1000]);
    }

    #[track_caller]
    fn fails(text: &str, expected: &str) {
        let why = read(text).expect_err("it makes no sense");
        assert!(why.contains(expected), "{why}");
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        fails("cards 2 H100\nset 2 power=1", "line 2: there is no card 2");
        fails("card H101", "known: A30, A100-40GB");
        fails("card L4\ninstance 0 1g.10gb 0", "L4 has no instance");
        fails("card H100\ninstance 0 3g.40gb 1", "[0, 4]");
        fails("card H100\ninstance 0 3g.40gb 0\ninstance 0 1g.10gb 3", "no place");
        fails("card H100\ninstance 0 4g.40gb 0\ninstance 0 3g.40gb 4\ninstance 0 1g.10gb 6", "no place");
        fails("card H100\ninstance 0 1g.10gb+me 0\ninstance 0 1g.10gb+me 1", "no place");
        fails("card H100\nprocess 0:0 1 1", "no instance 0:0");
        fails("card H100\nxid 0:0 79", "no instance 0:0");
        fails("card H100\nset 0 colour=1", "no colour");
        fails("card H100\ninstance 0 1g.10gb 0\nset 0:0 power=1", "no `power=1`");
        fails("card H100\nfail 0 nvmlDeviceGetName BROKEN", "no error is called BROKEN");
        fails("card H100\nlink 0 0", "itself");
        fails("cards many H100", "`many` is no number");
        fails("explode", "means nothing");
    }

    /// Every placement that the tables allow is a legal scenario, alone on its card.
    #[test]
    fn every_profile_has_a_place_on_an_empty_card() {
        for key in ["A30", "A100-40GB", "A100", "H100", "H200"] {
            for profile in Model::named(key).unwrap().profiles {
                for start in profile.starts {
                    let text = format!("card {key}\ninstance 0 {} {start}", profile.name());
                    assert!(read(&text).is_ok(), "{text}");
                    assert!(start + profile.memory_slices <= Model::named(key).unwrap().memory_slices());
                }
            }
        }
    }
}
