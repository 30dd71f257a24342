//! One file, or folder, per subcommand.

mod api;
mod build;
mod client_file;
mod context;
mod control;
mod daemon;
mod env;
mod execute;
mod executor;
mod explain;
mod gpus;
mod lifeline;
mod lookup;
mod private_file;
mod queue;
mod ready;
mod server;
mod simulation;
mod status;
mod task;
mod task_place;
mod terminal;
mod up;
mod worker;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::logging::{self, Verbosity};

use context::Context;

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    let context = Context::new(cli.global);
    let verbosity = match &cli.command {
        _ if context.global.debug => Verbosity::Debug,
        Command::Server(args) if args.command.is_some() => Verbosity::Quiet,
        Command::Up(_) | Command::Server(_) | Command::Daemon(_) | Command::Execute(_) | Command::Executor(_) => {
            Verbosity::Normal
        }
        Command::Build(_)
        | Command::Status(_)
        | Command::Gpus(_)
        | Command::Explain(_)
        | Command::Env(_)
        | Command::Task(_)
        | Command::Queue(_)
        | Command::Worker(_) => Verbosity::Quiet,
    };
    logging::start(verbosity, context.global.log_format, context.environment.get("HOSTLER_LOG"));
    match cli.command {
        Command::Up(args) => up::run(&context, &args),
        Command::Server(args) => server::run(&context, args),
        Command::Daemon(args) => daemon::run(&context, args),
        Command::Execute(args) => execute::run(&context, args),
        Command::Build(args) => build::run(&context, args),
        Command::Executor(args) => executor::run(&args),
        Command::Status(args) => status::run(&context, args),
        Command::Gpus(args) => gpus::run(&context, args),
        Command::Explain(command) => explain::run(&context, command),
        Command::Env(command) => env::run(&context, command),
        Command::Task(command) => context.wait(task::run(&context, command)),
        Command::Queue(command) => context.wait(queue::run(&context, command)),
        Command::Worker(command) => context.wait(worker::run(&context, command)),
    }
}
