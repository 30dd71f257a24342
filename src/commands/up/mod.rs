//! `hostler up`: a server and a daemon as child processes, both kept running.

mod banner;
mod part;
mod run;
mod wishes;

use std::path::Path;

use anyhow::Context as _;

use super::context::Context;
use super::{private_file, server};
use crate::cli::UpArgs;
use crate::exit::{Exit, Problem};

/// Name of the daemon's state directory in the data directory.
pub(super) const STATE_DIR: &str = "daemon";

/// Held as long as `hostler up` works in the data directory.
const LOCK_FILE: &str = "up.lock";

pub(super) fn run(context: &Context, args: &UpArgs) -> anyhow::Result<Exit> {
    let data_dir = server::data_dir(context, args.data_dir.clone())?;
    let _lock = private_file::lock(&data_dir.join(LOCK_FILE))?.ok_or_else(|| in_use(&data_dir))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async { run::Up::new(context, args, data_dir)?.run().await })
}

fn in_use(data_dir: &Path) -> anyhow::Error {
    Problem::with(Exit::Unavailable, format!("another `hostler up` works in the data directory {}", data_dir.display()))
}
