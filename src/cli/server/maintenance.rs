//! `server backup`, `restore`, `check` and `prune`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::units::{Age, ByteSize};

/// Flags of `server backup`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The server may run meanwhile; it is not held up. The backup appears under its name when it is whole and checked, and \
only its owner can read it. Uploaded files are not in it unless --with-files asks for them; the key that signs tokens \
is in no backup.

Examples:
  hostler server backup hostler-monday.db
  hostler server backup --with-files /mnt/backup/hostler-monday
  hostler server backup --force latest.db --data-dir /srv/hostler --json")]
pub(crate) struct BackupArgs {
    /// Where to; a file, or with --with-files a folder
    #[arg(value_name = "FILE")]
    pub(crate) target: PathBuf,
    /// Copy the uploaded files too
    #[arg(long)]
    pub(crate) with_files: bool,
    /// Replace a backup that has this name already
    #[arg(long)]
    pub(crate) force: bool,
}

/// Flags of `server restore`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The server must be stopped. The backup is checked first; the database that was there, and the uploaded files if the \
backup has them, are kept beside with `.before-restore` behind their names.

Examples:
  hostler server restore hostler-monday.db
  hostler server restore /mnt/backup/hostler-monday --data-dir /srv/hostler")]
pub(crate) struct RestoreArgs {
    /// What `hostler server backup` made
    #[arg(value_name = "FILE")]
    pub(crate) backup: PathBuf,
}

/// What `server check` looks at.
pub(super) const CHECK_HELP: &str = "\
Looks at the file itself, at references between rows, at counters and summaries against the rows that they are of, and \
at the uploaded files. The server may run meanwhile. Ends with code 1 when something is wrong.

Examples:
  hostler server check
  hostler server check --data-dir /srv/hostler --json";

/// Flags of `server prune`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without flags: finishes deletions, removes uploads that were broken off, and gives unused space back to the file system. \
The server may run meanwhile, but a database of the first version gives space back only while it is stopped.

Events are console lines, scalars, plots and debug images. Those of published tasks and of tasks that wait or run stay.

Examples:
  hostler server prune --dry-run --events-older-than 90d
  hostler server prune --events-older-than 26w --orphaned-files
  hostler server prune --max-database-size 20G --json")]
pub(crate) struct PruneArgs {
    /// Remove the events of tasks that ended and were not heard of for this long: 12h, 90d, 26w
    #[arg(long, value_name = "AGE")]
    pub(crate) events_older_than: Option<Age>,
    /// Remove the events of those tasks that ended first, until the database is not larger than this
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_database_size: Option<ByteSize>,
    /// Remove uploads of tasks that are gone, if nothing mentions them
    #[arg(long)]
    pub(crate) orphaned_files: bool,
    /// Only tell what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}
