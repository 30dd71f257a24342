//! How GPUs are looked after: the keys of `agent.hostler` that begin with `gpu_`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;

use super::environment::Environment;
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
    /// How many others may pass a task that waits before cards are kept for it.
    pub(crate) patience: Option<u32>,
    /// How long a task may exceed its part of a card's memory.
    pub(crate) memory_grace: Option<Duration>,
    /// Whether tasks keep to the processors near their cards.
    pub(crate) cpu_affinity: Option<bool>,
    /// Time between two points of a task's plots of its cards; 0 for none.
    pub(crate) scalars_interval: Option<Duration>,
    /// NVIDIA's program for MPS, where it is not on the `PATH`.
    pub(crate) mps_control: Option<PathBuf>,
}

impl GpuConfig {
    pub(super) const KEYS: [&str; 9] = [
        "gpu_cpu_affinity",
        "gpu_foreign",
        "gpu_memory_grace",
        "gpu_mps_control",
        "gpu_patience",
        "gpu_probation",
        "gpu_requeues",
        "gpu_scalars_interval",
        "gpu_watch_interval",
    ];

    pub(super) fn read(tree: &Tree, environment: &Environment) -> Result<Self, TypeError> {
        let wrong = |key: &str, expected, found: String| TypeError {
            key: format!("agent.hostler.{key}"),
            expected,
            found: format!("{found:?}"),
        };
        let text = |key: &str| tree.text(&format!("agent.hostler.{key}"));
        let foreign = text("gpu_foreign")?.map(|text| {
            ForeignArg::from_str(&text, true).map_err(|_| wrong("gpu_foreign", "wait, warn or ignore", text))
        });
        let number = |key: &str, expected: &'static str| {
            text(key)?.map(|text| text.trim().parse().map_err(|_| wrong(key, expected, text))).transpose()
        };
        let interval = tree.seconds("agent.hostler.gpu_watch_interval")?;
        if interval.is_some_and(|interval| interval.is_zero()) {
            return Err(wrong("gpu_watch_interval", "a number of seconds above 0", "0".to_owned()));
        }
        Ok(Self {
            foreign: foreign.transpose()?,
            watch_interval: interval,
            probation: tree.seconds("agent.hostler.gpu_probation")?,
            requeues: number("gpu_requeues", "a number, 0 for never")?,
            patience: number("gpu_patience", "a number, 0 for none")?,
            memory_grace: tree.seconds("agent.hostler.gpu_memory_grace")?,
            scalars_interval: tree.seconds("agent.hostler.gpu_scalars_interval")?,
            mps_control: text("gpu_mps_control")?.map(|text| environment.expand_path(&text)),
            cpu_affinity: tree.flag("agent.hostler.gpu_cpu_affinity")?,
        })
    }
}
