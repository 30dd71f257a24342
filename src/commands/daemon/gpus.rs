//! Which workers a command line asks for, and which cards they get.

use std::collections::{BTreeMap, BTreeSet};

use drivers::nvml::{GpuProbe as _, NvmlProbe};
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

use crate::cli::DaemonArgs;
use crate::config::{Config, Environment};
use crate::exit::{Exit, Problem};

/// What `--gpus` without a list means to `hostler up`.
pub(in super::super) const EACH: &str = "each";

/// What a worker has of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Everything; nothing is set or hidden.
    Whole,
    /// No GPU.
    Cpu,
    /// All GPUs, whatever they are.
    AllGpus(Vec<GpuCard>),
    /// These GPUs.
    Gpus {
        /// As typed; part of the worker's id, and what the task sees.
        text: String,
        cards: Vec<GpuCard>,
    },
}

impl Share {
    /// The cards to lease.
    pub(super) fn cards(&self) -> Vec<GpuCard> {
        match self {
            Self::Whole | Self::Cpu => Vec::new(),
            Self::AllGpus(cards) | Self::Gpus { cards, .. } => cards.clone(),
        }
    }

    /// What tasks must see, and what they must not inherit.
    pub(super) fn environment(&self) -> (BTreeMap<String, String>, Vec<String>) {
        let mut set = BTreeMap::from([("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned())]);
        let mut see = |text: &str| {
            for variable in ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"] {
                set.insert(variable.to_owned(), text.to_owned());
            }
        };
        let mut removed = Vec::new();
        match self {
            Self::Whole => {}
            Self::Cpu => see("none"),
            Self::Gpus { text, .. } => see(text),
            Self::AllGpus(_) => {
                set.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), "all".to_owned());
                removed.push("CUDA_VISIBLE_DEVICES".to_owned());
            }
        }
        (set, removed)
    }
}

/// The workers that are asked for, in order.
pub(super) fn plan(args: &DaemonArgs, config: &Config) -> anyhow::Result<Vec<Share>> {
    let count = usize::from(args.workers.unwrap_or(1));
    if args.cpu_only {
        return Ok(vec![Share::Cpu; count]);
    }
    let lists = match (args.gpus.is_empty(), visible_devices(&config.environment)) {
        (false, _) => args.gpus.clone(),
        (true, Some(list)) if count == 1 || is_none(&list) => vec![list],
        (true, _) => return Ok(vec![Share::Whole; count]),
    };
    if lists.iter().all(|list| is_none(list)) {
        return Ok(vec![Share::Cpu; count.max(lists.len())]);
    }
    let cards = inventory(config)?;
    shares(&lists, cards.as_deref())
}

/// What the environment restricts us to, as the stock agent understands it.
fn visible_devices(environment: &Environment) -> Option<String> {
    environment.first(&["NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"]).map(str::to_owned)
}

fn is_none(list: &str) -> bool {
    matches!(list.trim().to_ascii_lowercase().as_str(), "none" | "void" | "-1")
}

/// The machine's cards; `None`, with a warning, where no driver can be asked.
fn inventory(config: &Config) -> anyhow::Result<Option<Vec<GpuCard>>> {
    match NvmlProbe::load(config.hostler.gpu_library.clone()) {
        Ok(probe) => Ok(Some(probe.inventory()?)),
        Err(error) => {
            if config.hostler.gpu_library.is_some() {
                return Err(Problem::with(Exit::Config, format!("agent.hostler.gpu_library: {error}")));
            }
            tracing::warn!(%error, "the GPUs are taken as they are given, nobody can tell whether they exist");
            Ok(None)
        }
    }
}

fn shares(lists: &[String], cards: Option<&[GpuCard]>) -> anyhow::Result<Vec<Share>> {
    if let [list] = lists
        && list == EACH
    {
        let cards = cards.unwrap_or_default();
        if cards.is_empty() {
            return Err(Problem::usage("there is no GPU that could be asked; name the GPUs, for example --gpus 0,1"));
        }
        return Ok(cards
            .iter()
            .map(|card| Share::Gpus { text: card.index.to_string(), cards: vec![card.clone()] })
            .collect());
    }
    let mut taken: BTreeSet<GpuId> = BTreeSet::new();
    let mut shares = Vec::new();
    for list in lists {
        let share = share(list, cards)?;
        for card in share.cards() {
            if !taken.insert(card.id.clone()) {
                return Err(Problem::usage(format!("GPU {} is given twice: a card belongs to one worker", card.index)));
            }
        }
        shares.push(share);
    }
    if shares.len() > 1 && shares.iter().any(|share| matches!(share, Share::AllGpus(_))) {
        return Err(Problem::usage("--gpus all leaves no card for another worker"));
    }
    Ok(shares)
}

fn share(list: &str, cards: Option<&[GpuCard]>) -> anyhow::Result<Share> {
    if list.trim() == "all" {
        return Ok(Share::AllGpus(cards.unwrap_or_default().to_vec()));
    }
    let mut found = Vec::new();
    for name in names(list)? {
        let card = match cards {
            Some(cards) => known(&name, cards)?,
            None => unasked(&name, found.len()),
        };
        found.push((name, card));
    }
    let text = found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    Ok(Share::Gpus { text, cards: found.into_iter().map(|(_, card)| card).collect() })
}

/// `0,2-3` is `0`, `2`, `3`.
fn names(list: &str) -> anyhow::Result<Vec<String>> {
    let wrong = |why: &str| Problem::usage(format!("--gpus {list:?}: {why}; write indexes or UUIDs, for example 0,1"));
    let mut names = Vec::new();
    for part in list.split(',').map(str::trim) {
        if part.is_empty() {
            return Err(wrong("an empty entry"));
        }
        if part.contains(':') || part.starts_with("MIG-") {
            return Err(wrong("parts of a card (MIG) cannot be given yet"));
        }
        match part.split_once('-').map(|(first, last)| (first.parse::<u32>(), last.parse::<u32>())) {
            Some((Ok(first), Ok(last))) if first <= last && last - first < 1024 => {
                names.extend((first..=last).map(|index| index.to_string()));
            }
            Some((Ok(_), Ok(_))) => return Err(wrong("a range must go upwards")),
            Some(_) if part.starts_with("GPU-") => names.push(part.to_owned()),
            None if part.parse::<u32>().is_ok() => names.push(part.to_owned()),
            Some(_) | None => return Err(wrong("an entry that is no GPU")),
        }
    }
    Ok(names)
}

fn known(name: &str, cards: &[GpuCard]) -> anyhow::Result<GpuCard> {
    let is_meant = |card: &&GpuCard| card.id.as_str() == name || card.index.to_string() == name;
    cards.iter().find(is_meant).cloned().ok_or_else(|| {
        let list: Vec<String> =
            cards.iter().map(|card| format!("{} ({}, {})", card.index, card.name, card.id)).collect();
        let there = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        Problem::usage(format!("there is no GPU {name} on this machine, there are: {there}"))
    })
}

/// A card of which only the name is known.
fn unasked(name: &str, position: usize) -> GpuCard {
    let index = name.parse().ok();
    let id = if index.is_some() { format!("index:{name}") } else { name.to_owned() };
    let position = u32::try_from(position).unwrap_or(0);
    GpuCard { id: GpuId::from(id), index: index.unwrap_or(position), name: String::new(), memory_bytes: 0 }
}

#[cfg(test)]
#[path = "gpus_tests.rs"]
mod tests;
