//! A daemon for one task.

use std::path::Path;

use actors::daemon::{DaemonSettings, OneTask};
use protocols::ids::WorkerId;

use super::cards::{self, Cards};
use super::gpus;
use super::settings;
use super::slots::{self, Slots};
use crate::cli::DaemonArgs;
use crate::commands::api;
use crate::commands::context::Context;
use crate::config::{Config, Server};

/// What such a daemon works with. The names and cards that it holds are its own as long as this lives.
pub(in crate::commands) struct OneWorker {
    pub(in crate::commands) settings: DaemonSettings,
    _slots: Slots,
    _cards: Cards,
}

/// The worker of the process that began to run the task here.
pub(in crate::commands) fn earlier_worker(state_dir: &Path) -> Option<WorkerId> {
    slots::before(state_dir).into_iter().next()
}

/// Settings of a daemon that runs one task. Its worker is named after this process, as the stock agent does it, or as the
/// process before it that began to run the task.
pub(in crate::commands) fn one_task(
    context: &Context,
    args: &DaemonArgs,
    config: &Config,
    server: &Server,
    state_dir: &Path,
    only: OneTask,
) -> anyhow::Result<OneWorker> {
    let plan = gpus::plan(args, config, &state_dir.join(super::MIG_FILE))?;
    let name = config.agent.worker_name.clone().unwrap_or_else(api::host_name);
    let before = earlier_worker(state_dir).map(|worker| worker.to_string());
    let id = before.unwrap_or_else(|| format!("{name}:{}", std::process::id()));
    let slots = slots::take(state_dir, server, &name, Some(&id), &plan.shares)?;
    let cards = cards::take(&plan.shares, &[], false)?;
    let workers = slots.workers(plan.shares, &[]);
    let mut settings = settings::settings(context, args, config, server, state_dir, workers, None)?;
    settings.gpu_cpus = plan.cpus;
    settings.prefetch = false;
    settings.metrics_listen = None;
    // There is no queue that a task could go back to.
    settings.gpus.requeues = 0;
    settings.only = Some(only);
    Ok(OneWorker { settings, _slots: slots, _cards: cards })
}
