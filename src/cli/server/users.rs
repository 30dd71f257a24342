//! `server user` and `server credentials`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Subcommands of `server user`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// All users
    #[command(after_help = "\
Examples:
  hostler server user list
  hostler server user list --data-dir /srv/hostler --json")]
    List,
    /// Add a user
    #[command(after_help = "\
Examples:
  hostler server user add ada
  hostler server user add grace --role admin --password
  pass show hostler/ada | hostler server user add ada --password-stdin

A user without a password enters with credentials: hostler server credentials create ada")]
    Add {
        /// Name, which nobody else has
        name: String,
        /// What the user may do: admin, superuser, user, annotator, guest
        #[arg(long, default_value = "user")]
        role: String,
        /// Electronic mail address
        #[arg(long, default_value = "")]
        email: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change a user's password; what was logged in with the old one is logged out
    #[command(after_help = "\
Examples:
  hostler server user password ada
  hostler server user password ada --password-file ./new-password
  hostler server user password ada --remove")]
    Password {
        /// Name or id
        user: String,
        #[command(flatten)]
        password: PasswordArgs,
        /// Take the password away: the user enters with credentials alone
        #[arg(long, conflicts_with_all = ["password", "password_stdin", "password_file"])]
        remove: bool,
    },
    /// Remove a user with all credentials; tasks and models stay
    #[command(after_help = "\
Examples:
  hostler server user remove ada")]
    Remove {
        /// Name or id
        user: String,
        /// Even the one whose credentials are in DATA_DIR/clearml.conf
        #[arg(long)]
        force: bool,
    },
}

/// Where a password comes from. Never from the command line, which everybody on the machine can see.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PasswordArgs {
    /// Ask for a password
    #[arg(long)]
    pub(crate) password: bool,
    /// Read the password from standard input, up to the end of the line
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Read the password from a file, up to the end of the line
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Subcommands of `server credentials`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Access keys, whose they are, and when they were last used
    #[command(after_help = "\
Examples:
  hostler server credentials list
  hostler server credentials list ada --json")]
    List {
        /// Name or id of a user [default: all]
        user: Option<String>,
    },
    /// Make a pair of access key and secret for a user; the secret is shown once
    #[command(after_help = "\
Examples:
  hostler server credentials create ada
  hostler server credentials create ada --label 'gpu box' --json > ada.json")]
    Create {
        /// Name or id
        user: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// Revoke a pair: it, and every token that was made with it, stop working at once
    #[command(after_help = "\
Examples:
  hostler server credentials revoke 8QZ0R1M2N3P4S5T6V7W8X9Y0Z1A2B3")]
    Revoke {
        /// The access key
        access_key: String,
        /// Even the pair in DATA_DIR/clearml.conf, which this machine's agent uses
        #[arg(long)]
        force: bool,
    },
}
