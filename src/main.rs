//! `hostler`: agent and server for ClearML queues in one program. This crate wires the parts together: command line,
//! configuration, one file per subcommand.

mod cli;
mod commands;
mod config;
mod exit;
mod logging;
mod output;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let json_errors = cli.global.json;
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error, json_errors),
    }
}
