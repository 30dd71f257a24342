//! The cards of a machine as a table and as a document.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drivers::nvml::{CardReport, GpuProcess, InstanceReport, MachineReport};
use protocols::control::DaemonStatus;
use protocols::failure::Phase;
use protocols::gpu::{GpuCard, Isolation, Share};
use protocols::ids::{GpuId, TaskId};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::context::Context;
use crate::output::Table;

const BYTES_PER_MIB: u64 = 1 << 20;

/// What the driver says, and what the daemon does.
#[derive(Debug)]
pub(super) struct View {
    pub(super) report: MachineReport,
    /// Whether a daemon was asked.
    pub(super) has_daemon: bool,
    /// The cards that the daemon gives out.
    given_out: Vec<GpuId>,
    /// Those of them that it gives to nobody for now, and why.
    out_of_use: BTreeMap<GpuId, String>,
    pub(super) holders: Vec<Holder>,
    /// The cards of which the daemon makes instances on demand.
    pub(super) divided: Vec<GpuCard>,
    /// Where it is written down which of them are its own.
    pub(super) mig_record: PathBuf,
}

/// A task with its GPUs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Holder {
    pub(super) task: TaskId,
    pub(super) name: String,
    pub(super) worker: String,
    #[serde(skip)]
    pub(super) gpus: Vec<GpuId>,
    /// How much of each, in thousandths.
    pub(super) share: Share,
    /// How well it is kept from its neighbours.
    isolation: Option<Isolation>,
}

impl View {
    pub(super) fn new(report: MachineReport, daemon: Option<DaemonStatus>, mig_record: PathBuf) -> Self {
        let has_daemon = daemon.is_some();
        let (workers, tasks, out_of_use, divided) =
            daemon.map(|daemon| (daemon.workers, daemon.tasks, daemon.out_of_use, daemon.divided)).unwrap_or_default();
        let holders = tasks
            .into_iter()
            // The outcome is on its way: everything of it is dead.
            .filter(|task| task.phase != Phase::Reporting && !task.gpus.is_empty())
            .map(|task| Holder {
                task: task.task,
                name: task.name,
                worker: task.worker.to_string(),
                gpus: task.gpus.iter().map(|card| card.id.clone()).collect(),
                share: task.share,
                isolation: Isolation::of(&task.gpus, task.share),
            });
        let given_out = workers.iter().flat_map(|worker| worker.gpus.iter().map(|card| card.id.clone()));
        let given_out = given_out.collect();
        Self { report, has_daemon, given_out, out_of_use, holders: holders.collect(), divided, mig_record }
    }

    /// Whether the daemon gives it to tasks: those of its configuration, and whatever is made on demand.
    pub(super) fn gives_out(&self, gpu: &GpuId) -> bool {
        let is_divided = |card: &&CardReport| self.divided.iter().any(|divided| divided.id == card.card.id);
        let mut made = self.report.cards.iter().filter(is_divided).flat_map(|card| &card.instances);
        self.given_out.contains(gpu) || made.any(|made| made.instance.id == *gpu)
    }

    /// Whether a task could have it now.
    pub(super) fn is_free(&self, gpu: &GpuId) -> bool {
        self.holders_of(gpu).next().is_none() && !self.out_of_use.contains_key(gpu)
    }

    pub(super) fn holders_of<'a>(&'a self, gpu: &'a GpuId) -> impl Iterator<Item = &'a Holder> {
        self.holders.iter().filter(move |holder| holder.gpus.contains(gpu))
    }

    pub(super) fn print(&self, context: &Context) -> anyhow::Result<()> {
        let mut table = Table::new(
            &["GPU", "NAME", "UTIL", "TEMP", "POWER", "MEMORY", "HELD BY", "PROCESSES", "HEALTH"],
            "no GPUs",
        );
        for card in &self.report.cards {
            table.row(self.card_row(card));
            for (position, instance) in card.instances.iter().enumerate() {
                table.row(self.instance_row(card, position, instance));
            }
        }
        for (index, why) in &self.report.unreadable {
            let why = format!("does not answer: {why}");
            let cell = |text: &str| text.to_owned();
            table.row([
                index.to_string(),
                cell("?"),
                cell("-"),
                cell("-"),
                cell("-"),
                cell("-"),
                cell("-"),
                cell("-"),
                why,
            ]);
        }
        context.output.table(&self.document(), &table)
    }

    fn card_row(&self, card: &CardReport) -> [String; 9] {
        let sample = &card.sample;
        let power = match (sample.power_watts, sample.power_limit_watts) {
            (Some(watts), Some(limit)) => format!("{watts:.0}/{limit:.0}W"),
            (watts, _) => figure(watts, "W"),
        };
        let memory = sample
            .memory_used_mb
            .map_or("-".to_owned(), |used| format!("{used:.0}/{}MiB", card.card.memory_bytes / BYTES_PER_MIB));
        let held = if card.mig_mode == Some(true) { "divided (MIG)".to_owned() } else { self.held(&card.card.id) };
        let whole = |process: &&GpuProcess| process.gpu_instance.is_none();
        [
            card.card.index.to_string(),
            card.card.name.clone(),
            figure(sample.utilisation_percent, "%"),
            figure(sample.temperature_celsius, "\u{b0}C"),
            power,
            memory,
            held,
            processes(card.processes.iter().filter(whole)),
            self.health(&card.card.id, Some(card)),
        ]
    }

    fn instance_row(&self, card: &CardReport, position: usize, instance: &InstanceReport) -> [String; 9] {
        let memory = instance.memory_used_bytes.map_or("-".to_owned(), |used| {
            format!("{}/{}MiB", used / BYTES_PER_MIB, instance.instance.memory_bytes / BYTES_PER_MIB)
        });
        let on_it =
            |process: &&GpuProcess| process.gpu_instance.is_some() && process.gpu_instance == instance.gpu_instance;
        let none = || "-".to_owned();
        [
            format!("{}:{position}", card.card.index),
            instance.instance.name.clone(),
            none(),
            none(),
            none(),
            memory,
            self.held(&instance.instance.id),
            processes(card.processes.iter().filter(on_it)),
            self.health(&instance.instance.id, None),
        ]
    }

    /// Why a device gets no task, then what is wrong with the card's memory.
    fn health(&self, gpu: &GpuId, card: Option<&CardReport>) -> String {
        let known = card.map(memory_health);
        match (self.out_of_use.get(gpu), known.as_deref()) {
            (Some(why), None | Some("ok")) => why.clone(),
            (Some(why), Some(wrong)) => format!("{why}; {wrong}"),
            (None, Some(wrong)) => wrong.to_owned(),
            (None, None) => "-".to_owned(),
        }
    }

    /// `train (a1b2..) 0.5 (shared)`, `free`, or `-` where no daemon has the card.
    fn held(&self, gpu: &GpuId) -> String {
        let holders: Vec<String> = self
            .holders_of(gpu)
            .map(|holder| {
                let part = match holder.isolation {
                    Some(Isolation::Slot) => format!(" {} (shared)", holder.share),
                    Some(Isolation::Mps) => format!(" {} (MPS)", holder.share.amount),
                    Some(Isolation::Mig) => " MIG".to_owned(),
                    Some(Isolation::Card) | None => String::new(),
                };
                format!("{} ({}){part}", holder.name, holder.task)
            })
            .collect();
        match (holders.is_empty(), self.gives_out(gpu)) {
            (false, _) => holders.join(", "),
            (true, true) => "free".to_owned(),
            (true, false) => "-".to_owned(),
        }
    }

    fn document(&self) -> Value {
        let mut document = json!(self.report);
        for card in document["cards"].as_array_mut().into_iter().flatten() {
            self.add_holders(card);
            for instance in card["instances"].as_array_mut().into_iter().flatten() {
                self.add_holders(instance);
            }
            for process in card["processes"].as_array_mut().into_iter().flatten() {
                let pid = process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                process["attempt"] = json!(pid.and_then(drivers::process::attempt_of));
            }
        }
        document["daemon"] = json!(self.has_daemon);
        document
    }

    fn add_holders(&self, device: &mut Value) {
        let Some(id) = device["id"].as_str().map(GpuId::from) else { return };
        device["held_by"] = json!(self.holders_of(&id).collect::<Vec<_>>());
        device["given_out"] = json!(self.gives_out(&id));
        device["out_of_use"] = json!(self.out_of_use.get(&id));
    }
}

fn figure(value: Option<f64>, unit: &str) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.0}{unit}"))
}

/// Programs by name and process id, as `gpustat` does; the whole path is in the JSON. Whose are not tasks of ours are
/// called foreign.
fn processes<'a>(processes: impl Iterator<Item = &'a GpuProcess>) -> String {
    let describe = |process: &GpuProcess| {
        let path = process.name.as_deref().unwrap_or("?");
        let name = path.rsplit('/').next().unwrap_or(path);
        let memory = process.memory_bytes.map(|bytes| format!(" {}MiB", bytes / BYTES_PER_MIB)).unwrap_or_default();
        let foreign = if drivers::process::attempt_of(process.pid).is_some() { "" } else { " foreign" };
        format!("{name}/{}{memory}{foreign}", process.pid)
    };
    let all: Vec<String> = processes.map(describe).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// What is wrong with a card's memory, worst first.
fn memory_health(card: &CardReport) -> String {
    let mut wrong = Vec::new();
    if let Some(rows) = card.remapped_rows {
        if rows.has_failed {
            wrong.push("memory rows cannot be replaced".to_owned());
        }
        if rows.is_pending {
            wrong.push("needs a reset to replace memory rows".to_owned());
        }
        if rows.uncorrected > 0 {
            wrong.push(format!("{} memory rows replaced", rows.uncorrected));
        }
    }
    if let Some(errors) = card.uncorrected_ecc_errors.filter(|errors| *errors > 0) {
        wrong.push(format!("{errors} uncorrected ECC errors"));
    }
    if wrong.is_empty() { "ok".to_owned() } else { wrong.join(", ") }
}
