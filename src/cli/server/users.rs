//! `server user`.

use clap::Subcommand;

/// Subcommands of `server user`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// All users
    #[command(after_help = "\
Examples:
  hostler server user list
  hostler server user list --data-dir /srv/hostler --json")]
    List,
}
