//! `hostler explain`: what would be done for a task, before there is one.

mod container;
mod git;

use super::context::Context;
use crate::cli::ExplainCommand;
use crate::exit::Exit;

pub(super) fn run(context: &Context, command: ExplainCommand) -> anyhow::Result<Exit> {
    match command {
        ExplainCommand::Git(args) => git::run(context, &args),
        ExplainCommand::Container(args) => container::run(context, &args),
    }
}
