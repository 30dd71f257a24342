//! `hostler daemon`.

mod cards;
mod containers;
mod detach;
mod gpus;
mod leave;
mod mps;
mod names;
mod one;
mod queues;
mod selection;
mod settings;
mod slots;

use std::path::{Path, PathBuf};

use actors::daemon::{DaemonError, DaemonExit, DynamicGpus, DynamicMig, MpsProgram};
use protocols::clearml::queues::QueueSummary;
use protocols::control::ControlRequest;
use protocols::gpu::{Demand, GpuCard};
use protocols::ids::QueueId;

pub(super) use self::gpus::EACH;
use self::gpus::Plan;
pub(super) use self::one::{earlier_worker, one_task};
pub(super) use self::settings::settings;
use super::context::Context;
use super::{api, control, lifeline, private_file, simulation};
use crate::cli::DaemonArgs;
use crate::config::{Config, Server};
use crate::exit::{Exit, Problem};

/// In the state directory: held as long as a daemon works there.
pub(super) const LOCK_FILE: &str = "daemon.lock";

/// In the state directory: which MIG instances are ours.
pub(super) const MIG_FILE: &str = "mig.mpk";

pub(super) fn run(context: &Context, mut args: DaemonArgs) -> anyhow::Result<Exit> {
    refuse_password(args.git_pass.as_deref())?;
    // Services have no cards.
    args.cpu_only |= args.services_mode.is_some();
    let mut config = context.config()?;
    config.agent.git.user = args.git_user.take().or(config.agent.git.user);
    let state_dir = config.state_dir(args.state_dir.clone())?;
    if args.stop || args.drain {
        let request = if args.stop { ControlRequest::Stop } else { ControlRequest::Drain };
        return leave::ask(context, &state_dir, &request);
    }
    let server = config.server()?;
    let state_dir = private_file::directory(&state_dir)?;
    if args.detached {
        return detach::spawn(context, &state_dir);
    }
    if args.own_session {
        // Fails where we lead a process group already, which serves as well.
        let _ = drivers::process::become_session_leader();
    }
    // Before anything is written there: the files of a daemon that runs are not ours.
    let _lock = private_file::lock(&state_dir.join(LOCK_FILE))?.ok_or_else(|| in_use(&state_dir))?;
    if let Some(machine) = &args.simulate {
        config.hostler.gpu_library = Some(simulation::install(&state_dir, machine)?);
        tracing::warn!(machine, "the GPUs are simulated: tasks see no card");
    }
    serve(context, args, &config, &server, state_dir)
}

/// A password for git does not belong on a command line.
pub(super) fn refuse_password(password: Option<&str>) -> anyhow::Result<()> {
    match password {
        None => Ok(()),
        Some(_) => Err(Problem::usage(
            "a password on a command line is seen by everybody on this machine: \
             set CLEARML_AGENT_GIT_PASS, or agent.git_pass in clearml.conf",
        )),
    }
}

fn in_use(state_dir: &Path) -> anyhow::Error {
    let pid = control::status(state_dir).map(|status| format!(" (pid {})", status.pid)).unwrap_or_default();
    let directory = state_dir.display();
    Problem::with(Exit::Unavailable, format!("another daemon{pid} already uses the state directory {directory}"))
}

fn serve(
    context: &Context,
    mut args: DaemonArgs,
    config: &Config,
    server: &Server,
    state_dir: PathBuf,
) -> anyhow::Result<Exit> {
    let mig_record = state_dir.join(MIG_FILE);
    let Plan { shares, pool, mig, cpus } = gpus::plan(&args, config, &mig_record)?;
    let name = config.agent.worker_name.clone().unwrap_or_else(api::host_name);
    // On the server, too, everybody sees that these workers have no real cards.
    let marked = |name: String| if args.simulate.is_some() { format!("{name}-simulated") } else { name };
    let (name, id) = (marked(name), config.agent.worker_id.clone().map(marked));
    let library = config.hostler.gpu_library.clone();
    let mig = mig.map(|division| DynamicMig { library, record: mig_record, division });
    let mps = mps::program(config, args.simulate.is_some())?;
    let has_mps = mps != MpsProgram::Missing;
    let mut dynamic = pool.map(|pool| DynamicGpus { name: name.clone(), pool, demands: Vec::new(), mig, has_mps });
    let demands = dynamic.as_ref().map(|dynamic| queues::demands(&args, dynamic)).transpose()?.unwrap_or_default();
    mps::check_place(&demands, &state_dir)?;
    if !demands.is_empty() {
        args.queue = demands.iter().map(|(name, _)| name.clone()).collect();
    }
    let slots = slots::take(&state_dir, server, &name, id.as_deref(), &shares)?;
    let mig_cards = dynamic.iter().flat_map(|dynamic| &dynamic.mig).flat_map(|mig| &mig.division.cards);
    let mig_cards: Vec<GpuCard> = mig_cards.map(|card| card.card.clone()).collect();
    let _cards = cards::take(&shares, &mig_cards, args.simulate.is_some())?;
    let queues = queues::resolve(&args, server, &state_dir)?;
    if let Some(dynamic) = &mut dynamic {
        dynamic.demands = of_queues(&queues, demands)?;
    }
    let workers = slots.workers(shares, &queues);
    let mut settings = settings::settings(context, &args, config, server, &state_dir, workers, dynamic)?;
    settings.gpu_cpus = cpus;
    settings.mps = mps;
    if args.lifeline {
        lifeline::run_when_lost(move || leave::detach(&state_dir))?;
    }
    // A client of its own: connections do not survive the runtime in which the queues were looked up.
    let exit = actors::daemon::run(settings, api::client(server)?).map_err(explain)?;
    match exit {
        DaemonExit::Detached | DaemonExit::Stopped | DaemonExit::Drained => Ok(Exit::Success),
        DaemonExit::NothingToRun(why) => Err(Problem::refused(why)),
        DaemonExit::Failed(why) => {
            Err(Problem::with(Exit::Internal, format!("the daemon cannot go on, its tasks do: {why}")))
        }
    }
}

/// Queues are found in the order in which they were named, each once.
fn of_queues(queues: &[QueueSummary], demands: Vec<(String, Demand)>) -> anyhow::Result<Vec<(QueueId, Demand)>> {
    if queues.len() != demands.len() {
        return Err(Problem::usage("one queue is given twice, by its name and by its id"));
    }
    Ok(queues.iter().zip(demands).map(|(queue, (_, demand))| (queue.id.clone(), demand)).collect())
}

/// What a person is told, with its exit code.
pub(super) fn explain(error: DaemonError) -> anyhow::Error {
    use drivers::journal::JournalError;
    let exit = match &error {
        DaemonError::Journal(JournalError::Locked { .. }) | DaemonError::Metrics { .. } => Exit::Unavailable,
        DaemonError::Journal(_)
        | DaemonError::StateDir { .. }
        | DaemonError::Socket(_)
        | DaemonError::Contradiction { .. } => Exit::Config,
        DaemonError::Runtime(_) => Exit::Internal,
        // It knows its own code.
        DaemonError::Server(_) => return error.into(),
    };
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    let message = error.to_string();
    let message = if message.contains(source.trim_start_matches(": ")) { message } else { message + &source };
    Problem::with(exit, message)
}
