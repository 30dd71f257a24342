//! `execute`.

use std::path::PathBuf;

use clap::Args;

/// What `execute` is for.
pub(super) const EXECUTE_ABOUT: &str = "\
Runs one task on this machine, without a daemon: takes it (out of its queue, if it waits in one), prepares code and \
environment, runs it, and reports it to the server, as a daemon does it. Its console goes to standard output as well, and \
its exit code is that of the task's program.

Ctrl-C or SIGTERM stop the task, with time to end; a second one ends it now. An abort on the server does the same. After \
a crash of this program the task runs on, and the same command takes it over.

Exit codes: that of the program, 128 and its number for a signal; 254 when the task was stopped; 1 when it could not be \
run, or was lost; otherwise those of every command.";

/// Flags of `execute`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler execute --id 4ee3c8c0c0b64f6f8f0e7d0b7e1a4d52
  hostler execute --id train-resnet --clone --gpus 0        a copy of a task, by its name, on one GPU
  hostler execute --id TASK --docker 'python:3.11 --ipc=host'
  hostler execute --id TASK --require-queue                 for whoever hands out queued tasks")]
pub(crate) struct ExecuteArgs {
    /// The task: its id or its name
    #[arg(long, value_name = "TASK")]
    pub(crate) id: String,
    /// Run a copy, and leave the task itself alone
    #[arg(long)]
    pub(crate) clone: bool,
    /// Only if the task is queued
    #[arg(long, conflicts_with = "clone")]
    pub(crate) require_queue: bool,
    /// Run it in a container: in the image that it names, or in this one, with these arguments of `docker run`
    #[arg(long, value_name = "IMAGE [ARGS]", num_args = 0..)]
    pub(crate) docker: Option<Vec<String>>,
    /// As --docker, with Podman
    #[arg(long, value_name = "IMAGE [ARGS]", num_args = 0..)]
    pub(crate) podman: Option<Vec<String>>,
    /// The GPUs that it sees: `0,1`, `0-3`, UUIDs, `0:1` (MIG), or `all` [default: as the environment says]
    #[arg(long, value_name = "LIST", conflicts_with = "cpu_only")]
    pub(crate) gpus: Option<String>,
    /// It sees no GPU
    #[arg(long)]
    pub(crate) cpu_only: bool,
    /// Write its console into this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Report neither console, heartbeats nor the end: whoever started this does
    #[arg(long)]
    pub(crate) disable_monitoring: bool,
    /// Report everything and look for aborts (always done; for scripts written for the stock agent)
    #[arg(long, conflicts_with = "disable_monitoring")]
    pub(crate) full_monitoring: bool,
    /// Fetch neither code nor packages: what the task needs has to be in the caches
    #[arg(long)]
    pub(crate) standalone_mode: bool,
    /// Code and environment are in this folder already, where `hostler build` put them
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) prebuilt: Option<PathBuf>,
    /// How much the SDK in the task logs
    #[arg(long, value_name = "LEVEL", ignore_case = true,
        value_parser = ["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"])]
    pub(crate) log_level: Option<String>,
    #[command(flatten)]
    pub(crate) common: TaskArgs,
}

/// Flags of every command whose work is one task.
#[derive(Clone, Debug, Args)]
pub(crate) struct TaskArgs {
    /// Where it is kept meanwhile, below the command's name [default: the XDG state directory,
    /// ~/.local/state/hostler/daemon]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where repositories, environments and downloads are cached [default: the XDG cache directory, ~/.cache/hostler]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// User name for git
    #[arg(long, value_name = "NAME")]
    pub(crate) git_user: Option<String>,
    /// Refused: a secret on a command line is seen by everybody
    #[arg(long, value_name = "SECRET", hide = true)]
    pub(crate) git_pass: Option<String>,
}
