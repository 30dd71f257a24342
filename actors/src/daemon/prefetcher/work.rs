//! One preparation: a process of its own, and its folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drivers::container;
use drivers::process::{self, Signal};
use protocols::ids::{AttemptId, ProcessId, WorkerId};
use protocols::order::{ContainerOrder, ExecutorOrder, ORDER_VERSION, PREFETCHED_FILE, Prefetched, decode, encode};
use protocols::task::TaskSpec;
use tracing::{debug, warn};

use crate::daemon::attempt::AttemptDir;
use crate::daemon::settings::DaemonSettings;
use crate::kit::blocking;

/// How long one that was told to stop may take.
const GRACE: Duration = Duration::from_secs(5);

/// No pull has this number, so nothing of an attempt is found by the mark that it is part of.
pub(in crate::daemon) const NO_PULL: u64 = 0;

/// What a task needs that is prepared.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) spec: TaskSpec,
    pub(super) container: Option<ContainerOrder>,
}

/// Has image, code and environment of a task brought here, unless `stop` returns before.
pub(super) async fn prepare(settings: &DaemonSettings, needs: Needs, stop: impl Future<Output = ()>) -> Prefetched {
    // Another daemon of this machine may prepare the same task.
    let number = AttemptId(std::process::id());
    let directory = AttemptDir::new(&settings.prefetch_dir(), &needs.spec.id, NO_PULL, number);
    let mut order = order(settings, needs.spec, number, &directory);
    order.container = needs.container;
    let process = match start(settings, order, directory.clone()).await {
        Ok(process) => process,
        Err(why) => return Prefetched::Failed(why),
    };
    let word = wait(process, &directory, stop).await;
    let engine = engine(settings);
    blocking(move || {
        // One that could say how it went has seen to its containers.
        let is_over = directory.path().join(PREFETCHED_FILE).exists();
        clear_away(directory.mark(), directory.path());
        if !is_over {
            remove_containers(engine);
        }
    })
    .await;
    word
}

/// Socket of the engine, and by whom its containers of preparations are.
type Owned = Option<(PathBuf, PathBuf)>;

fn engine(settings: &DaemonSettings) -> Owned {
    settings.containers.as_ref().map(|host| (host.socket.clone(), settings.prefetch_dir()))
}

/// Those that were left where a preparation was killed.
fn remove_containers(engine: Owned) {
    let Some((socket, owner)) = engine else { return };
    match container::remove_leftovers(&socket, &owner, &|_| false) {
        Ok(0) => {}
        Ok(count) => debug!(count, "containers of a preparation are removed"),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "containers of a preparation cannot be looked after");
        }
    }
}

/// Waits for the end of such a process, which is told to stop when `stop` returns; how it went.
pub(in crate::daemon) async fn wait(
    process: ProcessId,
    directory: &AttemptDir,
    stop: impl Future<Output = ()>,
) -> Prefetched {
    let without_word = tokio::select! {
        () = process::exited(process) => Prefetched::Failed("it was killed".to_owned()),
        () = stop => {
            if let Err(error) = process::signal(process, Signal::TERM) {
                debug!(%error, "is not told to stop");
            }
            let _ = tokio::time::timeout(GRACE, process::exited(process)).await;
            Prefetched::Stopped
        }
    };
    let file = directory.path().join(PREFETCHED_FILE);
    blocking(move || std::fs::read(file).ok().and_then(|bytes| decode(&bytes).ok())).await.unwrap_or(without_word)
}

/// Ends and removes what an earlier daemon has left.
pub(super) async fn clear(settings: &DaemonSettings) {
    let (folder, engine) = (settings.prefetch_dir(), engine(settings));
    blocking(move || {
        clear_all_away(&folder);
        remove_containers(engine);
    })
    .await;
}

/// Starts the process. `Err` says why it cannot be done.
async fn start(
    settings: &DaemonSettings,
    mut order: ExecutorOrder,
    directory: AttemptDir,
) -> Result<ProcessId, String> {
    let secrets = encode(&order.take_secrets());
    let program = settings.program.clone();
    blocking(move || {
        directory.write_order(&order).map_err(|error| format!("the order is not written: {error}"))?;
        let arguments: [OsString; 5] = [
            "executor".into(),
            "--attempt-dir".into(),
            directory.path().into(),
            "--prefetch-for".into(),
            std::process::id().to_string().into(),
        ];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let (program, arguments) = process::giving_way(&program, arguments, &path);
        let log = directory.executor_log();
        process::spawn_executor(&program, arguments, directory.mark(), &secrets, &log)
            .map_err(|error| error.to_string())
    })
    .await
}

/// What an attempt would be told, as far as code and environment depend on it.
pub(in crate::daemon) fn order(
    settings: &DaemonSettings,
    spec: TaskSpec,
    number: AttemptId,
    directory: &AttemptDir,
) -> ExecutorOrder {
    ExecutorOrder {
        version: ORDER_VERSION,
        task: spec,
        attempt: number,
        pull: NO_PULL,
        token: String::new(),
        worker: settings.workers.first().map_or_else(|| WorkerId::new(""), |worker| worker.id.clone()),
        socket: settings.executor_socket(),
        attempt_dir: directory.path().to_owned(),
        cache_dir: settings.cache_dir.clone(),
        environment: BTreeMap::new(),
        removed_environment: Vec::new(),
        git: settings.git.clone(),
        python: settings.python.clone(),
        container: None,
        cpus: Vec::new(),
        stop_grace_ms: 0,
    }
}

/// [`clear_away`] for everything that earlier processes left in a folder.
pub(in crate::daemon) fn clear_all_away(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        clear_away(&entry.file_name().to_string_lossy(), &entry.path());
    }
}

/// Ends what still carries the mark, and removes its folder.
fn clear_away(mark: &str, folder: &Path) {
    if !process::fence(mark).is_clear() {
        warn!(mark, "processes of a preparation cannot be killed");
    }
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %folder.display(), %error, "cannot remove the folder of a preparation");
        }
        Ok(()) | Err(_) => {}
    }
}
