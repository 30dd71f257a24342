//! The command line.

mod build;
mod env;
mod execute;
mod explain;
mod limits;
mod queue;
mod server;
mod service;
mod task;
mod units;
mod upkeep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::logging::LogFormat;

pub(crate) use build::BuildArgs;
pub(crate) use env::{EnvCommand, EnvPruneArgs, StoreArgs};
pub(crate) use execute::ExecuteArgs;
pub(crate) use explain::{ExplainCommand, ExplainContainerArgs, ExplainGitArgs};
pub(crate) use limits::LimitArgs;
pub(crate) use queue::{MoveTarget, QueueCommand, WorkerCommand};
pub(crate) use server::{
    BackupArgs, CredentialsCommand, PasswordArgs, PruneArgs, RestoreArgs, ServerArgs, ServerCommand, UserCommand,
};
pub(crate) use service::{
    DaemonArgs, EntryPointArg, ExecutorArgs, ForeignArg, GpusArgs, ListenArgs, MigMode, StatusArgs, UpArgs,
};
pub(crate) use task::{
    CloneArgs, CreateArgs, ListArgs, LogsArgs, ParameterArg, SetArgs, TaskCommand, TaskEnqueueArgs, TasksArgs,
};
pub(crate) use units::ByteSize;

/// Runs ML tasks from ClearML queues on this machine: agent and server in one program.
#[derive(Debug, Parser)]
#[command(
    name = "hostler",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = "\
Start here:
  hostler up                       a server and an agent on this machine
  hostler task list                what is on the server
  hostler task logs -f TASK        follow a task's console

With a ClearML server that exists already:
  export CLEARML_CONFIG_FILE=~/clearml.conf
  hostler daemon --queue default   take tasks from its queue `default`

Exit codes: 0 done, 1 refused, 2 wrong usage, 70 internal error, 75 try again later, 78 configuration."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Read this configuration file (HOCON) instead of ~/clearml.conf
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config_file: Option<PathBuf>,
    /// Log what happens inside
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(crate) debug: bool,
    /// Print JSON, one document a line
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    pub(crate) log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server and an agent on this machine
    #[command(long_about = service::UP_ABOUT)]
    Up(UpArgs),
    /// Start the ClearML-compatible server alone, or look after its data
    #[command(long_about = server::SERVER_ABOUT)]
    Server(ServerArgs),
    /// Take tasks from queues and run them
    #[command(long_about = service::DAEMON_ABOUT)]
    Daemon(DaemonArgs),
    /// Run one task here, without a daemon
    #[command(long_about = execute::EXECUTE_ABOUT)]
    Execute(ExecuteArgs),
    /// Build code and environment of a task into a folder
    #[command(long_about = build::BUILD_ABOUT)]
    Build(BuildArgs),
    /// Prepare and run one attempt (started by the daemon)
    #[command(hide = true)]
    Executor(ExecutorArgs),
    /// What the daemon of this machine does
    #[command(long_about = service::STATUS_ABOUT)]
    Status(StatusArgs),
    /// This machine's GPUs, and who has them
    #[command(long_about = service::GPUS_ABOUT)]
    Gpus(GpusArgs),
    /// What would be done for a task, and whether it would work
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// This machine's Python environments: what is there, why a task had to wait, making room
    #[command(subcommand)]
    Env(EnvCommand),
    /// Look at tasks, change, start and stop them
    #[command(subcommand)]
    Task(TaskCommand),
    /// Look at queues and reorder them
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at workers
    #[command(subcommand)]
    Worker(WorkerCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(std::iter::once("hostler").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn queues_may_be_listed_or_repeated() {
        for line in ["daemon --queue a b", "daemon --queue a --queue b", "--json daemon --queue a b --foreground"] {
            let Command::Daemon(daemon) = parse(line).command else { panic!("{line} is a daemon") };
            assert_eq!(daemon.queue, ["a", "b"], "{line}");
        }
    }

    #[test]
    fn global_flags_go_anywhere() {
        assert!(parse("task list --json -d").global.json);
        assert!(parse("-d queue show q").global.debug);
    }

    #[test]
    fn a_server_is_started_unless_something_else_is_asked_for() {
        let server = |line: &str| {
            let Command::Server(args) = parse(line).command else { panic!("{line} is a server") };
            args
        };
        assert!(server("server --api-port 0 --data-dir d").command.is_none());
        for line in ["server user list --data-dir d", "server --data-dir d user list", "server user --data-dir d list"]
        {
            let args = server(line);
            assert!(matches!(args.command, Some(ServerCommand::User(UserCommand::List))), "{line}");
            assert_eq!(args.data_dir, Some(PathBuf::from("d")), "{line}");
        }
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        for line in [
            "daemon --gpus 0 --cpu-only",
            "execute",
            "execute --id t --gpus 0 --cpu-only",
            "execute --id t --clone --require-queue",
            "daemon --stop --drain",
            "task create --name n --script x --repo y",
            "task create --name n --repo y",
            "server user add",
            "server --tls-cert c",
            "up --tls-key k",
            "server user add ada --password --password-stdin",
            "server user password ada --remove --password",
            "queue move q t",
            "queue move q t --to-front --up 1",
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("hostler").chain(line.split_whitespace()));
            assert!(parsed.is_err(), "{line}");
        }
    }
}
