//! `hostler gpus`: this machine's GPUs, and who has them.

mod explain;
mod making;
mod view;

use drivers::nvml::NvmlProbe;
use protocols::control::DaemonStatus;
use protocols::gpu::Demand;

use self::view::View;
use super::context::Context;
use super::{control, simulation, up};
use crate::cli::GpusArgs;
use crate::exit::{Exit, Problem};

pub(super) fn run(context: &Context, args: GpusArgs) -> anyhow::Result<Exit> {
    let config = context.config()?;
    let state_dir = config.state_dir(args.state_dir.or_else(|| args.data_dir.map(|dir| dir.join(up::STATE_DIR))))?;
    let demand: Option<Demand> = args
        .explain
        .map(|text| text.parse::<Demand>().map_err(|error| Problem::usage(format!("--explain: {error}"))))
        .transpose()?;
    // Without a daemon there are cards, and nobody has them.
    let daemon = if args.simulate.is_some() { None } else { control::status(&state_dir).ok() };
    let library = match (&args.simulate, &daemon) {
        (Some(machine), _) => Some(simulation::install(&config.cache_dir(None)?, machine)?),
        (None, Some(DaemonStatus { gpu_library: Some(library), .. })) => Some(library.clone()),
        (None, _) => config.hostler.gpu_library,
    };
    let probe = NvmlProbe::load(library).map_err(|error| Problem::with(Exit::Unavailable, with_source(&error)))?;
    let report = probe.report().map_err(|error| Problem::with(Exit::Unavailable, with_source(&error)))?;
    let view = View::new(report, daemon, state_dir.join(super::daemon::MIG_FILE));
    match demand {
        Some(demand) => explain::run(context, &probe, &view, demand)?,
        None => view.print(context)?,
    }
    Ok(Exit::Success)
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
