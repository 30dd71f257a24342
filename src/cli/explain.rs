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
}

/// Arguments of `explain git`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainGitArgs {
    /// The repository, as a task names it
    pub(crate) url: String,
}
