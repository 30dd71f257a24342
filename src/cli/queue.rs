//! `queue` and `worker`.

use clap::{Args, Subcommand};

/// Subcommands of `queue`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// All queues, with what waits in them and who serves them
    List,
    /// Make a queue
    Create {
        /// Its name, at least three characters
        name: String,
    },
    /// What waits in a queue, next first
    Show {
        /// Name or id
        queue: String,
    },
    /// Move a waiting task within its queue
    #[command(after_help = "\
Examples:
  hostler queue move default train-resnet --to-front
  hostler queue move default 0f3c9a7e5b1d4c62a8e7f6d5c4b3a291 --down 2")]
    Move {
        /// Name or id of the queue
        queue: String,
        /// Name or id of the task
        task: String,
        #[command(flatten)]
        target: MoveTarget,
    },
}

/// Where to move a task.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct MoveTarget {
    /// Make it the next
    #[arg(long)]
    pub(crate) to_front: bool,
    /// Make it the last
    #[arg(long)]
    pub(crate) to_back: bool,
    /// Let it pass N others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) up: Option<u32>,
    /// Let N others pass
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) down: Option<u32>,
}

/// Subcommands of `worker`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// The workers that the server heard of lately, on all machines
    List,
}
