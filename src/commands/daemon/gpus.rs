//! Which workers a command line asks for, and which cards they get.

use std::collections::{BTreeMap, BTreeSet};

use drivers::nvml::{FoundCard, NvmlProbe};
use protocols::gpu::{GpuCard, Nearness, Pool};
use protocols::ids::GpuId;

use super::selection::{Selected, everything, select};
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
        /// As typed; part of the worker's id.
        text: String,
        /// What the task sees.
        visible: String,
        cards: Vec<GpuCard>,
    },
    /// These GPUs are divided among tasks.
    Dynamic {
        /// As typed; part of the worker's id.
        text: String,
        cards: Vec<GpuCard>,
    },
}

/// What the workers are.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shares: Vec<Share>,
    /// The cards of a dynamic worker.
    pub(super) pool: Option<Pool>,
}

impl Share {
    /// The cards to lease.
    pub(super) fn cards(&self) -> Vec<GpuCard> {
        match self {
            Self::Whole | Self::Cpu => Vec::new(),
            Self::AllGpus(cards) | Self::Gpus { cards, .. } | Self::Dynamic { cards, .. } => cards.clone(),
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
            // Tasks of a dynamic worker see the cards of their lease.
            Self::Whole | Self::Dynamic { .. } => {}
            Self::Cpu => see("none"),
            Self::Gpus { visible, .. } => see(visible),
            Self::AllGpus(_) => {
                set.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), "all".to_owned());
                removed.push("CUDA_VISIBLE_DEVICES".to_owned());
            }
        }
        (set, removed)
    }
}

/// The workers that are asked for, in order.
pub(super) fn plan(args: &DaemonArgs, config: &Config) -> anyhow::Result<Plan> {
    let is_simulated = args.simulate.is_some();
    let count = usize::from(args.workers.unwrap_or(1));
    let pinned = |shares| Ok(Plan { shares, pool: None });
    if args.cpu_only {
        return pinned(vec![Share::Cpu; count]);
    }
    let all = || vec!["all".to_owned()];
    let lists = match (args.gpus.is_empty(), visible_devices(&config.environment)) {
        (false, _) => args.gpus.clone(),
        // Whatever the environment says is about other cards.
        (true, _) if is_simulated => all(),
        (true, Some(list)) if count == 1 || is_none(&list) => vec![list],
        (true, _) if args.dynamic_gpus => all(),
        (true, _) => return pinned(vec![Share::Whole; count]),
    };
    if lists.iter().all(|list| is_none(list)) && !args.dynamic_gpus {
        return pinned(vec![Share::Cpu; count.max(lists.len())]);
    }
    let probe = probe(config)?;
    let inventory = probe.as_ref().map(NvmlProbe::inventory).transpose()?;
    if args.dynamic_gpus {
        return dynamic(&lists, inventory.as_deref(), probe.as_ref());
    }
    pinned(shares(&lists, inventory.as_deref(), is_simulated)?)
}

/// What the environment restricts us to, as the stock agent understands it.
fn visible_devices(environment: &Environment) -> Option<String> {
    environment.first(&["NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"]).map(str::to_owned)
}

fn is_none(list: &str) -> bool {
    matches!(list.trim().to_ascii_lowercase().as_str(), "none" | "void" | "-1")
}

/// Whom to ask about cards; `None`, with a warning, where no driver can be asked.
fn probe(config: &Config) -> anyhow::Result<Option<NvmlProbe>> {
    match NvmlProbe::load(config.hostler.gpu_library.clone()) {
        Ok(probe) => Ok(Some(probe)),
        Err(error) => {
            if let Some(library) = &config.hostler.gpu_library {
                return Err(Problem::with(Exit::Config, format!("the GPU library {}: {error}", library.display())));
            }
            tracing::warn!(%error, "the GPUs are taken as they are given, nobody can tell whether they exist");
            Ok(None)
        }
    }
}

/// One worker for all lists, whose cards are divided among tasks.
fn dynamic(lists: &[String], inventory: Option<&[FoundCard]>, probe: Option<&NvmlProbe>) -> anyhow::Result<Plan> {
    let mut selected = Vec::new();
    for list in lists {
        match (list.trim(), inventory) {
            ("all" | EACH, Some(inventory)) => selected.extend(everything(inventory)),
            ("all" | EACH, None) => {
                return Err(Problem::usage(
                    "there is no GPU that could be asked; name the GPUs, for example --gpus 0-7",
                ));
            }
            (list, inventory) => selected.extend(select(list, inventory)?),
        }
    }
    given_once(&selected, &mut BTreeSet::new())?;
    let cards: Vec<GpuCard> = selected.into_iter().map(|selected| selected.card).collect();
    if cards.is_empty() {
        return Err(Problem::usage("there are no GPUs that could be divided among tasks"));
    }
    let pool = match probe {
        Some(probe) => probe.pool(cards.clone()),
        None => Pool::new(cards.clone(), |_, _| Nearness::UNKNOWN),
    };
    Ok(Plan { shares: vec![Share::Dynamic { text: lists.join(",").replace(':', "."), cards }], pool: Some(pool) })
}

fn shares(lists: &[String], inventory: Option<&[FoundCard]>, is_simulated: bool) -> anyhow::Result<Vec<Share>> {
    if let [list] = lists
        && list == EACH
    {
        let all = everything(inventory.unwrap_or_default());
        if all.is_empty() {
            return Err(Problem::usage("there is no GPU that could be asked; name the GPUs, for example --gpus 0,1"));
        }
        return Ok(all.into_iter().map(|selected| gpus(&[selected], is_simulated)).collect());
    }
    let mut taken: BTreeSet<GpuId> = BTreeSet::new();
    let mut shares = Vec::new();
    for list in lists {
        if list.trim() == "all" {
            let all = everything(inventory.unwrap_or_default());
            given_once(&all, &mut taken)?;
            let cards = all.iter().map(|selected| selected.card.clone()).collect();
            shares.push(if is_simulated {
                // The driver of real cards must find none of these.
                Share::Gpus { text: "all".to_owned(), visible: visible(&all, true), cards }
            } else {
                Share::AllGpus(cards)
            });
            continue;
        }
        let selected = select(list, inventory)?;
        given_once(&selected, &mut taken)?;
        shares.push(gpus(&selected, is_simulated));
    }
    if shares.len() > 1 && lists.iter().any(|list| list.trim() == "all") {
        return Err(Problem::usage("--gpus all leaves no card for another worker"));
    }
    Ok(shares)
}

fn given_once(selected: &[Selected], taken: &mut BTreeSet<GpuId>) -> anyhow::Result<()> {
    for Selected { name, card, .. } in selected {
        if !taken.insert(card.id.clone()) {
            return Err(Problem::usage(format!("GPU {name} is given twice: a card belongs to one worker")));
        }
    }
    Ok(())
}

fn gpus(selected: &[Selected], is_simulated: bool) -> Share {
    let text = selected.iter().map(|selected| selected.name.replace(':', ".")).collect::<Vec<_>>().join(",");
    let cards = selected.iter().map(|selected| selected.card.clone()).collect();
    Share::Gpus { text, visible: visible(selected, is_simulated), cards }
}

/// What tasks see: what was typed, as under the stock agent, unless an index would not do.
fn visible(selected: &[Selected], is_simulated: bool) -> String {
    let by_uuid = is_simulated || selected.iter().any(|selected| selected.is_instance);
    let name = |selected: &Selected| if by_uuid { selected.card.visible_as() } else { selected.name.clone() };
    selected.iter().map(name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "gpus_tests.rs"]
mod tests;
