//! `hostler server`, and the commands below it.

mod credentials;
mod door;
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

/// Starts a server, or does what is asked for with the data of one.
pub(super) fn run(context: &Context, args: ServerArgs) -> anyhow::Result<Exit> {
    match args.command {
        None => start::start(context, &args),
        Some(command) => context.wait(async {
            let door = Door::open(context, args.data_dir).await?;
            let outcome = match command {
                ServerCommand::User(command) => user::run(context, &door, command).await,
                ServerCommand::Credentials(command) => credentials::run(context, &door, command).await,
            };
            door.close().await;
            outcome
        }),
    }
}
