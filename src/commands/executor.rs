//! `hostler executor`: hidden, started by the daemon.

use actors::executor::{self, ExecutorExit, ImageEntry, ImageWish};

use crate::cli::{EntryPointArg, ExecutorArgs};
use crate::exit::{Exit, Problem};

pub(super) fn run(args: &ExecutorArgs) -> anyhow::Result<Exit> {
    let warm = args.warm.as_deref().zip(args.for_daemon);
    let exit = match (args.prefetch_for, args.build_for.zip(args.into.as_deref()), warm) {
        (Some(daemon), _, _) => executor::prefetch(&args.attempt_dir, daemon),
        (None, Some((starter, into)), _) => executor::build(&args.attempt_dir, starter, into, image(args)),
        (None, None, Some((key, daemon))) => executor::keep_warm(&args.attempt_dir, key, daemon),
        (None, None, None) => executor::run(&args.attempt_dir),
    };
    match exit {
        ExecutorExit::Reported | ExecutorExit::Unreported | ExecutorExit::FolderGone => Ok(Exit::Success),
        ExecutorExit::Refused { why } => {
            tracing::info!(why, "the daemon does not want this attempt");
            Ok(Exit::Success)
        }
        ExecutorExit::NotStarted { message } => Err(Problem::with(Exit::Unavailable, message)),
        ExecutorExit::Broken => Err(Problem::with(Exit::Internal, "the executor is broken; its task was ended")),
    }
}

/// The image that a build is to make.
fn image(args: &ExecutorArgs) -> Option<ImageWish> {
    let entry = match args.entry_point {
        None => ImageEntry::Nothing,
        Some(EntryPointArg::ReuseTask) => ImageEntry::Task,
        Some(EntryPointArg::CloneTask) => ImageEntry::Copy,
    };
    args.image.clone().map(|name| ImageWish { name, entry })
}
