//! Where NVIDIA's program for MPS is.

use std::path::{Path, PathBuf};

use actors::daemon::MpsProgram;
use protocols::gpu::{Demand, MpsFolder};

use crate::config::Config;
use crate::exit::{Exit, Problem};

/// What a daemon of this configuration shares cards out with. With simulated cards nothing is started, unless the
/// configuration names a program.
pub(super) fn program(config: &Config, is_simulated: bool) -> anyhow::Result<MpsProgram> {
    if let Some(path) = &config.hostler.gpus.mps_control {
        if !drivers::command::is_executable(path) {
            let why = format!("agent.hostler.gpu_mps_control: {} is no program", path.display());
            return Err(Problem::with(Exit::Config, why));
        }
        return Ok(MpsProgram::At(path.clone()));
    }
    if is_simulated {
        return Ok(MpsProgram::Rehearsed);
    }
    let path = config.environment.get("PATH").unwrap_or_default();
    let found = std::env::split_paths(path).map(|folder| folder.join(drivers::mps::PROGRAM));
    let found: Option<PathBuf> = found.into_iter().find(|program| drivers::command::is_executable(program));
    Ok(found.map_or(MpsProgram::Missing, MpsProgram::At))
}

/// Refuses queues of MPS shares where the control daemons have no place to work in.
pub(super) fn check_place(demands: &[(String, Demand)], state_dir: &Path) -> anyhow::Result<()> {
    let wants_mps = |(_, demand): &(String, Demand)| matches!(demand, Demand::Share(share) if share.is_mps());
    let folder = MpsFolder::of(&state_dir.join("mps"), &"any".into());
    match demands.iter().find(|demand| wants_mps(demand)) {
        Some((queue, _)) if !folder.is_short_enough() => Err(Problem::usage(format!(
            "--queue {queue}: the sockets of MPS have no place below {}, whose name is too long for the kernel: choose \
             another with --state-dir",
            state_dir.display()
        ))),
        Some(_) | None => Ok(()),
    }
}
