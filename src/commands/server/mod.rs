//! `hostler server`, and the commands below it.

mod credentials;
mod door;
mod maintenance;
mod password;
mod start;
mod user;

use std::path::PathBuf;

use super::context::Context;
use super::private_file;
use crate::cli::{ServerArgs, ServerCommand};
use crate::config::ConfigError;
use crate::exit::Exit;
use door::Door;

/// Name of the server's own directory in the data directory.
const SERVER_DIR: &str = "server";

/// The data directory: the flag, or `$XDG_STATE_HOME/hostler`. It is made if it does not exist.
pub(super) fn data_dir(context: &Context, flag: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = flag
        .or_else(|| context.environment.state_home())
        .ok_or(ConfigError::NoDirectory { what: "the server's data", how: "--data-dir" })?;
    private_file::directory(&path)
}

/// The server's own directory, as [`data_dir`] finds it; it is left as it is.
fn server_dir(context: &Context, flag: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let data_dir = flag
        .or_else(|| context.environment.state_home())
        .ok_or(ConfigError::NoDirectory { what: "the server's data", how: "--data-dir" })?;
    Ok(data_dir.join(SERVER_DIR))
}

/// Starts a server, or does what is asked for with the data of one.
pub(super) fn run(context: &Context, mut args: ServerArgs) -> anyhow::Result<Exit> {
    let Some(command) = args.command.take() else { return start::start(context, &args) };
    let data_dir = args.data_dir;
    let directory = || server_dir(context, data_dir.clone());
    match command {
        ServerCommand::User(command) => context.wait(async {
            let door = Door::open(context, data_dir.clone()).await?;
            let outcome = user::run(context, &door, command).await;
            door.close().await;
            outcome
        }),
        ServerCommand::Credentials(command) => context.wait(async {
            let door = Door::open(context, data_dir.clone()).await?;
            let outcome = credentials::run(context, &door, command).await;
            door.close().await;
            outcome
        }),
        ServerCommand::Backup(args) => maintenance::backup(context, &directory()?, &args),
        ServerCommand::Restore(args) => maintenance::restore(context, &directory()?, &args),
        ServerCommand::Check => maintenance::check(context, &directory()?),
        ServerCommand::Prune(args) => maintenance::prune(context, &directory()?, &args),
    }
}
