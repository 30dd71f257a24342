//! The executor as a process: from the order on disk to its exit code.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::process::{become_session_leader, become_subreaper, keep_to_cpus, kill_descendants, take_input};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::order::{CONSOLE_FILE, ExecutorOrder, ORDER_FILE, ORDER_VERSION, Progress, decode};
use tracing::{debug, error, warn};

use super::console::Console;
use super::executor::Executor;
use super::exit::{ExecutorExit, ExitSlot};
use super::record::{Durability, RecordFile};

/// How long a process that leaves in disorder tries to kill what it started.
pub(super) const LAST_KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Why an executor cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not an order", path.display())]
    Decode {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{} has version {version}, and this executor knows {ORDER_VERSION}", path.display())]
    Version { path: PathBuf, version: u16 },
    #[error("cannot open {}", path.display())]
    Console {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot collect orphaned processes")]
    Subreaper {
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the runtime")]
    Runtime {
        #[source]
        source: std::io::Error,
    },
}

/// Runs the attempt whose order lies in `attempt_dir`, to its end.
///
/// Takes the whole process: it becomes the leader of a session and a subreaper, collects every child, and listens
/// to SIGTERM. Returns when everything that it started is dead.
pub fn run(attempt_dir: &Path) -> ExecutorExit {
    match run_order(attempt_dir) {
        Ok(exit) => exit,
        Err(error) => {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let message = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            error!(%message, "executor not started");
            ExecutorExit::NotStarted { message }
        }
    }
}

fn run_order(attempt_dir: &Path) -> Result<ExecutorExit, StartError> {
    let order = read_order(attempt_dir)?;
    if let Err(error) = become_session_leader() {
        debug!(%error, "not a session leader: this process leads its group already");
    }
    become_subreaper().map_err(|source| StartError::Subreaper { source })?;
    if !order.cpus.is_empty() {
        // Before any other thread is there: all that is started from here on inherits it.
        match keep_to_cpus(&order.cpus) {
            Ok(cpus) => debug!(?cpus, "keeping to the processors near the GPUs"),
            Err(error) => warn!(%error, "cannot keep to the processors near the GPUs"),
        }
    }
    let record = RecordFile::new(&order);
    let (console, obstacle) = open_files(&order, &record)?;
    let exit = ExitSlot::default();
    run_actors(Executor::new(Arc::new(order), record, console, obstacle, exit.clone()))?;
    // After an orderly end there is nothing left; after a panic there may be.
    let (_, left) = kill_descendants(LAST_KILL_PATIENCE);
    if !left.is_empty() {
        error!(?left, "processes are left behind");
    }
    Ok(exit.take())
}

/// Writes the first record and opens the console. Where the disk does not take them the attempt fails, which the
/// daemon is to hear from this process.
fn open_files(order: &ExecutorOrder, record: &RecordFile) -> Result<(Console, Option<TaskFailure>), StartError> {
    let failure =
        |error: &dyn std::error::Error| TaskFailure::new(FailureClass::Infrastructure, Phase::Checkout, error);
    let path = order.attempt_dir.join(CONSOLE_FILE);
    let console = match Console::open(&path) {
        Ok(console) => console,
        Err(source) => {
            let obstacle = failure(&StartError::Console { path: path.clone(), source });
            let console = Console::nowhere().map_err(|source| StartError::Console { path, source })?;
            return Ok((console, Some(obstacle)));
        }
    };
    let first = record.write(record.turn(), Phase::Checkout, Progress::Preparing, Durability::Process);
    Ok((console, first.err().map(|error| failure(&error))))
}

pub(super) fn read_order(attempt_dir: &Path) -> Result<ExecutorOrder, StartError> {
    let path = attempt_dir.join(ORDER_FILE);
    let bytes = std::fs::read(&path).map_err(|source| StartError::Read { path: path.clone(), source })?;
    let mut order: ExecutorOrder =
        decode(&bytes).map_err(|source| StartError::Decode { path: path.clone(), source: source.into() })?;
    if order.version != ORDER_VERSION {
        return Err(StartError::Version { path, version: order.version });
    }
    let input = take_input().map_err(|source| StartError::Read { path: "standard input".into(), source })?;
    if !input.is_empty() {
        let path = PathBuf::from("standard input");
        order.give_secrets(decode(&input).map_err(|source| StartError::Decode { path, source: source.into() })?);
    }
    // User code is started in another directory: from here on the folder has to be absolute.
    order.attempt_dir = std::path::absolute(attempt_dir).map_err(|source| StartError::Read { path, source })?;
    Ok(order)
}

/// One executor per task: one worker thread is enough, and blocking threads end when they are idle.
fn run_actors(executor: Executor) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(8)
        .thread_stack_size(2 * 1024 * 1024)
        .enable_all()
        .build()
        .map_err(|source| StartError::Runtime { source })?;
    let runner = System::with_tokio_rt(move || runtime);
    runner.block_on(async move {
        executor.start();
    });
    runner.run().map_err(|source| StartError::Runtime { source })
}
