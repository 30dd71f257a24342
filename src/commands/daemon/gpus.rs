//! Which workers a command line asks for, and which cards they get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use actors::daemon::{Division, look_at_division};
use drivers::nvml::{FoundCard, NvmlProbe};
use protocols::gpu::{GpuCard, Nearness, Pool};
use protocols::ids::GpuId;

use super::selection::{Selected, everything, names, select};
use crate::cli::{DaemonArgs, MigMode};
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
    /// Those of them that are divided on demand, and how they are divided now.
    pub(super) mig: Option<Division>,
    /// The processors near each card, by the card's index.
    pub(super) cpus: BTreeMap<u32, Vec<usize>>,
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
///
/// `mig_record` is where it is written down which MIG instances are ours.
pub(super) fn plan(args: &DaemonArgs, config: &Config, mig_record: &Path) -> anyhow::Result<Plan> {
    let is_simulated = args.simulate.is_some();
    let count = usize::from(args.workers.unwrap_or(1));
    let pinned = |shares| Ok(Plan { shares, pool: None, mig: None, cpus: BTreeMap::new() });
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
    let mut plan = if args.dynamic_gpus {
        let record = (args.mig == MigMode::Dynamic).then_some(mig_record);
        dynamic(&lists, inventory.as_deref(), probe.as_ref(), record)?
    } else {
        pinned(shares(&lists, inventory.as_deref(), is_simulated)?)?
    };
    let divided = plan.mig.iter().flat_map(|division| &division.cards).map(|card| card.card.clone());
    let cards: Vec<GpuCard> = plan.shares.iter().flat_map(Share::cards).chain(divided).collect();
    plan.cpus = probe.as_ref().map(|probe| probe.cpus_near(&cards)).unwrap_or_default();
    Ok(plan)
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

/// The newest CUDA that the driver of this machine serves; `None` where there is no driver.
pub(super) fn driver_cuda(config: &Config) -> Option<String> {
    NvmlProbe::load(config.hostler.gpu_library.clone()).ok()?.report().ok()?.cuda
}

/// Whether the driver of this machine knows any card.
pub(super) fn are_here(config: &Config) -> bool {
    let inventory = NvmlProbe::load(config.hostler.gpu_library.clone()).and_then(|probe| probe.inventory());
    inventory.is_ok_and(|cards| !cards.is_empty())
}

/// One worker for all lists, whose cards are divided among tasks; with a `record` those in MIG mode by hardware, too.
fn dynamic(
    lists: &[String],
    inventory: Option<&[FoundCard]>,
    probe: Option<&NvmlProbe>,
    record: Option<&Path>,
) -> anyhow::Result<Plan> {
    let mig = match (record, inventory, probe) {
        (Some(record), Some(inventory), Some(probe)) => Some(divided(lists, inventory, probe, record)?),
        (Some(_), _, _) => {
            return Err(Problem::usage("--mig dynamic: the NVIDIA driver cannot be asked to divide GPUs here"));
        }
        (None, _, _) => None,
    };
    // Those that were taken away at the start are not there any more.
    let inventory = match (&mig, probe) {
        (Some(_), Some(probe)) => Some(probe.inventory()?),
        (_, _) => inventory.map(<[FoundCard]>::to_vec),
    };
    let inventory = inventory.as_deref();
    let text = lists.join(",");
    let lists = &without_divided(lists, mig.as_ref(), inventory)?;
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
    let mut cards: Vec<GpuCard> = selected.into_iter().map(|selected| selected.card).collect();
    let instances = mig.iter().flat_map(|division| &division.cards).flat_map(|card| &card.instances);
    for device in instances.filter_map(|instance| instance.device.clone()) {
        if !cards.contains(&device) {
            cards.push(device);
        }
    }
    cards.sort_by_key(|card| card.index);
    if cards.is_empty() && mig.is_none() {
        return Err(Problem::usage("there are no GPUs that could be divided among tasks"));
    }
    let pool = match probe {
        Some(probe) => probe.pool(cards.clone()),
        None => Pool::new(cards.clone(), |_, _| Nearness::UNKNOWN),
    };
    Ok(Plan {
        shares: vec![Share::Dynamic { text: text.replace(':', "."), cards }],
        pool: Some(pool),
        mig,
        cpus: BTreeMap::new(),
    })
}

/// The cards of these lists that are in MIG mode, and how they are divided now.
fn divided(lists: &[String], inventory: &[FoundCard], probe: &NvmlProbe, record: &Path) -> anyhow::Result<Division> {
    let is_named = |found: &&FoundCard| {
        let (index, id) = (found.card.index.to_string(), found.card.id.as_str());
        let names =
            |list: &String| names(list).is_ok_and(|names| names.iter().any(|name| *name == index || name == id));
        found.has_mig_mode && lists.iter().any(|list| matches!(list.trim(), "all" | EACH) || names(list))
    };
    let cards: Vec<GpuCard> = inventory.iter().filter(is_named).map(|found| found.card.clone()).collect();
    if cards.is_empty() {
        return Err(Problem::usage(
            "--mig dynamic: none of the GPUs is in MIG mode; an operator turns it on, for example nvidia-smi -i 0 -mig 1",
        ));
    }
    look_at_division(probe, record, &cards)
        .map_err(|why| Problem::with(Exit::Unavailable, format!("--mig dynamic: {why}")))
}

/// What is left to select: the cards that are divided on demand come by themselves.
fn without_divided(
    lists: &[String],
    mig: Option<&Division>,
    inventory: Option<&[FoundCard]>,
) -> anyhow::Result<Vec<String>> {
    let Some(division) = mig else { return Ok(lists.to_vec()) };
    let is_divided = |name: &str| {
        division.cards.iter().any(|card| card.card.index.to_string() == name || card.card.id.as_str() == name)
    };
    let mut left = Vec::new();
    for list in lists {
        let all = || {
            let whole = inventory.unwrap_or_default().iter().filter(|found| !found.has_mig_mode);
            whole.map(|found| found.card.index.to_string()).collect()
        };
        let names: Vec<String> = if matches!(list.trim(), "all" | EACH) { all() } else { names(list)? };
        let rest: Vec<String> = names.into_iter().filter(|name| !is_divided(name)).collect();
        if !rest.is_empty() {
            left.push(rest.join(","));
        }
    }
    Ok(left)
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
