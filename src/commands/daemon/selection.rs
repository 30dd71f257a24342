//! What a list of GPUs means: `0,1`, `2-5`, UUIDs, and `3:0` for an instance of a divided card.

use drivers::nvml::FoundCard;
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

use crate::exit::Problem;

/// Longer ranges are mistakes.
const LONGEST_RANGE: u32 = 1024;

/// One card or instance of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// As typed.
    pub(super) name: String,
    pub(super) card: GpuCard,
    /// It is a part of a card that is divided.
    pub(super) is_instance: bool,
}

/// The cards and instances of a list. Without an inventory nobody can tell whether they exist.
pub(super) fn select(list: &str, inventory: Option<&[FoundCard]>) -> anyhow::Result<Vec<Selected>> {
    let mut selected = Vec::new();
    for name in names(list)? {
        let is_instance = name.contains(':') || name.starts_with("MIG-");
        let card = match inventory {
            Some(inventory) if is_instance => instance(&name, inventory)?,
            Some(inventory) => card(&name, inventory)?,
            None => unasked(&name, selected.len()),
        };
        selected.push(Selected { name, card, is_instance });
    }
    Ok(selected)
}

/// Everything that can be used: each card, or its instances where it is divided.
pub(super) fn everything(inventory: &[FoundCard]) -> Vec<Selected> {
    let mut all = Vec::new();
    for found in inventory {
        if found.has_mig_mode {
            all.extend(found.instances.iter().enumerate().map(|(position, instance)| Selected {
                name: format!("{}:{position}", found.card.index),
                card: instance.clone(),
                is_instance: true,
            }));
        } else {
            let name = found.card.index.to_string();
            all.push(Selected { name, card: found.card.clone(), is_instance: false });
        }
    }
    all
}

/// `0,2-3` is `0`, `2`, `3`.
pub(super) fn names(list: &str) -> anyhow::Result<Vec<String>> {
    let wrong = |why: &str| Problem::usage(format!("--gpus {list:?}: {why}; write 0,1 or 0-3, UUIDs, or 0:1 for MIG"));
    let is_index = |text: &str| text.parse::<u32>().is_ok();
    let mut names = Vec::new();
    for part in list.split(',').map(str::trim) {
        if part.is_empty() {
            return Err(wrong("an empty entry"));
        }
        if part.starts_with("GPU-") || part.starts_with("MIG-") || is_index(part) {
            names.push(part.to_owned());
            continue;
        }
        if let Some((card, position)) = part.split_once(':') {
            if !is_index(card) || !is_index(position) {
                return Err(wrong("an entry that is no part of a GPU"));
            }
            names.push(part.to_owned());
            continue;
        }
        match part.split_once('-').map(|(first, last)| (first.parse::<u32>(), last.parse::<u32>())) {
            Some((Ok(first), Ok(last))) if first <= last && last - first < LONGEST_RANGE => {
                names.extend((first..=last).map(|index| index.to_string()));
            }
            Some((Ok(_), Ok(_))) => return Err(wrong("a range must go upwards")),
            Some(_) | None => return Err(wrong("an entry that is no GPU")),
        }
    }
    Ok(names)
}

fn card(name: &str, inventory: &[FoundCard]) -> anyhow::Result<GpuCard> {
    let is_meant = |found: &&FoundCard| found.card.id.as_str() == name || found.card.index.to_string() == name;
    let found = inventory.iter().find(is_meant).ok_or_else(|| no_such("GPU", name, inventory.iter().map(describe)))?;
    if found.has_mig_mode {
        return Err(Problem::usage(format!("GPU {name} is in MIG mode: name its instances, {}", parts(found))));
    }
    Ok(found.card.clone())
}

fn instance(name: &str, inventory: &[FoundCard]) -> anyhow::Result<GpuCard> {
    let by_uuid = inventory.iter().flat_map(|found| &found.instances).find(|instance| instance.id.as_str() == name);
    if let Some(instance) = by_uuid {
        return Ok(instance.clone());
    }
    let Some((index, position)) = name.split_once(':') else {
        return Err(no_such("MIG instance", name, inventory.iter().filter(|found| found.has_mig_mode).map(parts)));
    };
    let found = inventory.iter().find(|found| found.card.index.to_string() == index);
    let found = found.ok_or_else(|| no_such("GPU", index, inventory.iter().map(describe)))?;
    let instance = position.parse().ok().and_then(|position: usize| found.instances.get(position));
    instance
        .cloned()
        .ok_or_else(|| Problem::usage(format!("GPU {index} has no MIG instance {position}, it has: {}", parts(found))))
}

fn no_such(what: &str, name: &str, there: impl Iterator<Item = String>) -> anyhow::Error {
    let there: Vec<String> = there.collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Problem::usage(format!("there is no {what} {name} on this machine, there are: {there}"))
}

fn describe(found: &FoundCard) -> String {
    let card = &found.card;
    format!("{} ({}, {})", card.index, card.name, card.id)
}

/// The instances of a card, as one would type them.
fn parts(found: &FoundCard) -> String {
    if found.instances.is_empty() {
        return format!("none on GPU {}", found.card.index);
    }
    let name = |(position, instance): (usize, &GpuCard)| format!("{}:{position} ({})", found.card.index, instance.name);
    found.instances.iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
}

/// A card of which only the name is known.
fn unasked(name: &str, position: usize) -> GpuCard {
    let index = name.split(':').next().and_then(|index| index.parse().ok());
    let id = if index.is_some() { format!("index:{name}") } else { name.to_owned() };
    let position = u32::try_from(position).unwrap_or(0);
    GpuCard { id: GpuId::from(id), index: index.unwrap_or(position), name: String::new(), memory_bytes: 0 }
}
