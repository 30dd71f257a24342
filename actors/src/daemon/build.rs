//! Code and environment of a task for a person, built by a process like that of an attempt. No daemon is needed for it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use drivers::{container, process};
use protocols::container::TaskFacts;
use protocols::ids::AttemptId;
use protocols::order::{BUILT_FILE, Built, ENGINE_PATIENCE, Prefetched, decode, encode};
use protocols::task::TaskSpec;
use tokio::signal::unix::{SignalKind, signal};

use super::attempt::AttemptDir;
use super::prefetcher::work::{NO_PULL, clear_all_away, order, wait};
use super::settings::DaemonSettings;
use crate::kit::blocking;

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Somebody stopped it.
    #[error("the build was stopped")]
    Stopped,
    /// It cannot be done.
    #[error("{0}")]
    Failed(String),
    /// The process cannot be started or watched.
    #[error("cannot start the build")]
    Start(#[source] io::Error),
}

/// What is built.
#[derive(Clone, Debug)]
pub enum BuildInto {
    /// A folder.
    Folder(PathBuf),
    /// An image of this name, of the task's own image; the settings say which engine makes it.
    Image {
        /// `NAME[:TAG]`.
        name: String,
        /// `reuse_task` or `clone_task`, where the image is to run the task.
        entry_point: Option<String>,
        /// By which the task's own image is found.
        facts: Box<TaskFacts>,
    },
}

/// Builds code and environment of a task. Blocks. SIGINT, SIGTERM and SIGHUP stop it; nothing of it runs any
/// more when this returns. Its console is where that of an attempt is.
pub fn build(settings: &DaemonSettings, spec: TaskSpec, into: &BuildInto) -> Result<Built, BuildError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(BuildError::Start)?;
    runtime.block_on(build_now(settings, spec, into))
}

async fn build_now(settings: &DaemonSettings, spec: TaskSpec, into: &BuildInto) -> Result<Built, BuildError> {
    // Somebody else may build the same task, with a state directory of their own.
    let number = AttemptId(std::process::id());
    let directory = AttemptDir::new(&settings.attempts_dir(), &spec.id, NO_PULL, number);
    let folder = settings.attempts_dir();
    blocking(move || clear_all_away(&folder)).await;
    let mut order = order(settings, spec, number, &directory);
    let mut wish: Vec<OsString> = Vec::new();
    let folder = match into {
        BuildInto::Folder(folder) => folder.clone(),
        BuildInto::Image { name, entry_point, facts } => {
            let (host, facts) = (settings.containers.clone(), facts.clone());
            let deciding = blocking(move || host.map(|host| host.decide(&facts)));
            let container = deciding.await.transpose().map_err(|failure| BuildError::Failed(failure.message))?;
            order.container = container;
            wish.extend(["--image".into(), name.into()]);
            wish.extend(entry_point.iter().flat_map(|entry| ["--entry-point".into(), entry.into()]));
            // Where the container in which packages are installed has it, too.
            directory.path().join("work/image")
        }
    };
    let engine = order.container.as_ref().map(|container| container.socket.clone());
    let secrets = encode(&order.take_secrets());
    let stop = until_signalled().map_err(BuildError::Start)?;
    let (program, made) = (settings.program.clone(), directory.clone());
    let started = blocking(move || {
        made.write_order(&order)?;
        std::fs::create_dir_all(made.path().join("work"))?;
        let own: [OsString; 7] = [
            "executor".into(),
            "--attempt-dir".into(),
            made.path().into(),
            "--build-for".into(),
            std::process::id().to_string().into(),
            "--into".into(),
            folder.into(),
        ];
        let arguments = own.into_iter().chain(wish);
        process::spawn_executor(&program, arguments, made.mark(), &secrets, &made.executor_log())
            .map_err(io::Error::other)
    });
    let process = started.await.map_err(BuildError::Start)?;
    let word = wait(process, &directory, stop).await;
    blocking(move || {
        if let Some(engine) = engine {
            container::fence(&engine, directory.mark(), ENGINE_PATIENCE);
        }
        process::fence(directory.mark());
        match word {
            Prefetched::Ready => {
                let built = std::fs::read(directory.path().join(BUILT_FILE)).ok();
                let built = built.and_then(|bytes| decode(&bytes).ok());
                built.ok_or_else(|| BuildError::Failed("it cannot be read what was built".to_owned()))
            }
            Prefetched::Failed(why) => Err(BuildError::Failed(why)),
            Prefetched::Stopped => Err(BuildError::Stopped),
        }
    })
    .await
}

/// Returns at the first signal that asks this process to end.
fn until_signalled() -> io::Result<impl Future<Output = ()>> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
            _ = hangups.recv() => {}
        }
    })
}
