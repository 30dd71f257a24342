//! `server`, and the commands below it.

mod maintenance;
mod users;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::upkeep::UpkeepArgs;
use super::{LimitArgs, ListenArgs};

pub(crate) use maintenance::{BackupArgs, PruneArgs, RestoreArgs};
pub(crate) use users::{CredentialsCommand, PasswordArgs, UserCommand};

/// What `server` is for.
pub(super) const SERVER_ABOUT: &str = "\
Starts the ClearML-compatible server alone, in the foreground. SIGTERM or Ctrl-C end it after the requests in flight.

The first start makes a pair of credentials and writes DATA_DIR/clearml.conf for clients.

The commands below it work on the data directory of a server, whether that runs or not.";

/// Flags of `server`.
#[derive(Clone, Debug, Args)]
#[command(
    subcommand_value_name = "COMMAND",
    after_help = "\
Examples:
  hostler server --data-dir /srv/hostler --listen 0.0.0.0
  hostler server --listen 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --public-name train.example.org
  hostler server --queue default gpu --json
  hostler server user add ada --data-dir /srv/hostler
  hostler server credentials create ada --data-dir /srv/hostler
  hostler server backup monday.db"
)]
pub(crate) struct ServerArgs {
    /// Where the database and the files are kept [default: the XDG state directory, ~/.local/state/hostler]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Queues that are made if they do not exist
    #[arg(long, value_name = "NAME", num_args = 1.., default_values_t = ["default".to_owned()])]
    pub(crate) queue: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) upkeep: UpkeepArgs,
    /// Stop when standard input is closed: whoever started this is gone
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
    #[command(subcommand)]
    pub(crate) command: Option<ServerCommand>,
}

/// What to do with a server's data. Without one of these the server is started.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Look at users, add and remove them
    #[command(subcommand)]
    User(UserCommand),
    /// Look at credentials, make and revoke them
    #[command(subcommand)]
    Credentials(CredentialsCommand),
    /// Copy the database, and if asked the uploaded files, while the server runs
    Backup(BackupArgs),
    /// Put a backup in place of what is there
    Restore(RestoreArgs),
    /// Look for damage, and for counters and references that do not fit
    #[command(after_help = maintenance::CHECK_HELP)]
    Check,
    /// Remove what nobody needs any more
    Prune(PruneArgs),
}
