//! `hostler env`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ByteSize;
use super::units::Age;

/// The environments of this machine.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
Examples:
  hostler env list
  hostler env why TASK                     why TASK had to wait for its environment
  hostler env prune --unused-for 30d")]
pub(crate) enum EnvCommand {
    /// List environments, those used last first
    List(StoreArgs),
    /// Show one environment: what it was asked for, what is in it, who used it
    Show {
        /// The environment's id, or how it begins
        environment: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Say whether a task's environment was there, and if not, what was different from the nearest one
    Why {
        /// The task's id, or its name
        task: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Remove environments that are not in use, and what killed builds have left
    #[command(after_help = "\
Environments that a task uses are never removed, nor is the one that was used last. Without flags the limits of the \
configuration hold: agent.venvs_cache.max_entries, max_size_gb and free_space_threshold_gb.")]
    Prune(EnvPruneArgs),
    /// Compare every file of every environment with what was installed
    Verify {
        /// Remove environments that are damaged, unless they are in use; they are built again when they are needed
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Which store.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Root of the caches, as for `hostler daemon`
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Flags of `env prune`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EnvPruneArgs {
    /// Remove what has not been used for so long: 12h, 90d, 26w
    #[arg(long, value_name = "AGE")]
    pub(crate) unused_for: Option<Age>,
    /// Keep no more than this many
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep: Option<usize>,
    /// Keep no more than so many bytes: 500M, 100GiB
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteSize>,
    /// Remove until so many bytes of the disk are free
    #[arg(long, value_name = "SIZE")]
    pub(crate) free: Option<ByteSize>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
