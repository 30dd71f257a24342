//! How GPUs are looked after: the keys of `agent.hostler` that begin with `gpu_`.

use std::time::Duration;

use clap::ValueEnum as _;

use super::tree::{Tree, TypeError};
use crate::cli::ForeignArg;

/// What is configured; absent is the daemon's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GpuConfig {
    /// Programs on a card that no task started.
    pub(crate) foreign: Option<ForeignArg>,
    /// Time between two looks at the cards.
    pub(crate) watch_interval: Option<Duration>,
    /// How long a card must have been well to come back out of quarantine.
    pub(crate) probation: Option<Duration>,
    /// How often a task that a card has failed goes back to its queue.
    pub(crate) requeues: Option<u32>,
    /// How long a task may exceed its part of a card's memory.
    pub(crate) memory_grace: Option<Duration>,
    /// Whether tasks keep to the processors near their cards.
    pub(crate) cpu_affinity: Option<bool>,
    /// Time between two points of a task's plots of its cards; 0 for none.
    pub(crate) scalars_interval: Option<Duration>,
}

impl GpuConfig {
    pub(super) const KEYS: [&str; 7] = [
        "gpu_cpu_affinity",
        "gpu_foreign",
        "gpu_memory_grace",
        "gpu_probation",
        "gpu_requeues",
        "gpu_scalars_interval",
        "gpu_watch_interval",
    ];

    pub(super) fn read(tree: &Tree) -> Result<Self, TypeError> {
        let wrong = |key: &str, expected, found: String| TypeError {
            key: format!("agent.hostler.{key}"),
            expected,
            found: format!("{found:?}"),
        };
        let text = |key: &str| tree.text(&format!("agent.hostler.{key}"));
        let foreign = text("gpu_foreign")?.map(|text| {
            ForeignArg::from_str(&text, true).map_err(|_| wrong("gpu_foreign", "wait, warn or ignore", text))
        });
        let requeues = text("gpu_requeues")?
            .map(|text| text.trim().parse().map_err(|_| wrong("gpu_requeues", "a number, 0 for never", text)));
        let interval = tree.seconds("agent.hostler.gpu_watch_interval")?;
        if interval.is_some_and(|interval| interval.is_zero()) {
            return Err(wrong("gpu_watch_interval", "a number of seconds above 0", "0".to_owned()));
        }
        Ok(Self {
            foreign: foreign.transpose()?,
            watch_interval: interval,
            probation: tree.seconds("agent.hostler.gpu_probation")?,
            requeues: requeues.transpose()?,
            memory_grace: tree.seconds("agent.hostler.gpu_memory_grace")?,
            scalars_interval: tree.seconds("agent.hostler.gpu_scalars_interval")?,
            cpu_affinity: tree.flag("agent.hostler.gpu_cpu_affinity")?,
        })
    }
}
