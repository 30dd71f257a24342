//! `explain`.

use clap::{Args, Subcommand};

/// Subcommands of `explain`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// How a repository is reached: which rule, which URL, which credential; and whether that works
    #[command(after_help = "\
Nothing secret is printed. Exit code 1 says that the repository cannot be reached so.

Examples:
  hostler explain git git@github.com:me/private.git
  hostler explain git https://git.example.org/team/code --json")]
    Git(ExplainGitArgs),
    /// Which container a task gets: which image, whose arguments, what is left out, and what the engine is asked for
    #[command(after_help = "\
No engine is needed, and nothing is started. Secrets are masked. Exit code 1 says that the arguments cannot be used.

Examples:
  hostler explain container --task-args '--ipc=host -v /data:/data'
  hostler explain container --image python:3.12 --docker debian:12 --shm-size 8g
  hostler explain container --task 4ee3c8c0c0b64f6f8f0e7d0b7e1a4d52 --json")]
    Container(ExplainContainerArgs),
}

/// Arguments of `explain git`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainGitArgs {
    /// The repository, as a task names it
    pub(crate) url: String,
}

/// Arguments of `explain container`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainContainerArgs {
    /// A task of the server, by id or name
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// The image that the task names; empty for none
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// The arguments that the task has, as one text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) task_args: Option<String>,
    /// The default container, as the daemon is given it; goes last
    #[arg(long, value_name = "IMAGE [ARGUMENTS]", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) docker: Vec<String>,
}
