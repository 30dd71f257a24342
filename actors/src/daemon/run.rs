//! Opening everything, then running the actors until the daemon leaves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;
use drivers::clearml::{ClientError, TaskServer};
use drivers::clock::{Clock, SystemClock};
use drivers::container;
use drivers::journal::Journal as Store;
use protocols::clearml::extension::{WAIT_FOR_QUEUES, WAIT_FOR_TASKS};
use protocols::ids::TaskId;
use protocols::journal::Recovered;
use protocols::lifecycle::TaskState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::attempt::remove_leftovers;
use super::exit::{DaemonError, DaemonExit};
use super::gpu::mps_keeper::MpsBefore;
use super::gpu::watcher::QuarantineFile;
use super::long_poll::LongPoll;
use super::settings::{DaemonSettings, control_socket};
use super::supervisor::{LeaveSignal, Prepared, Supervisor};
use crate::kit::{Backoff, tell};

/// Runs a daemon until it leaves. Blocks. The actors live on the calling thread, network and files on a pool.
pub fn run(settings: DaemonSettings, server: impl TaskServer) -> Result<DaemonExit, DaemonError> {
    run_observed(settings, server, |_| {})
}

/// [`run`], with a look at the Supervisor as soon as there is one.
pub(super) fn run_observed(
    settings: DaemonSettings,
    server: impl TaskServer,
    observe: impl FnOnce(&Addr<Supervisor>),
) -> Result<DaemonExit, DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(DaemonError::Runtime)?;
    let mut runtime = Some(runtime);
    let system = System::with_tokio_rt(move || runtime.take().expect("the system asks for its runtime once"));
    let exit = system.block_on(live(settings, Arc::new(server), observe))?;
    Ok(exit)
}

async fn live(
    settings: DaemonSettings,
    server: Arc<dyn TaskServer>,
    observe: impl FnOnce(&Addr<Supervisor>),
) -> Result<DaemonExit, DaemonError> {
    let waits_for_one = settings.only.is_some();
    let prepared = prepare(settings, server).await?;
    let (exit, left) = oneshot::channel();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    // Who waits for one task has a terminal, as a rule, and no more use for the task without it.
    let mut hangups = (waits_for_one && !ignores_hangups())
        .then(|| signal(SignalKind::hangup()))
        .transpose()
        .map_err(DaemonError::Runtime)?;
    let watchdog = super::watchdog::Watchdog::start();
    let supervisor = Supervisor::new(prepared, exit).start();
    observe(&supervisor);
    let signals = supervisor.clone().recipient();
    actix::spawn(async move {
        loop {
            let leave = tokio::select! {
                _ = interrupts.recv() => LeaveSignal::Interrupt,
                _ = terminations.recv() => LeaveSignal::Terminate,
                () = hangup(hangups.as_mut()) => LeaveSignal::Terminate,
            };
            tell(&signals, leave);
        }
    });
    let exit = left.await.unwrap_or_else(|_| DaemonExit::Failed("the Supervisor ended".to_owned()));
    drop(watchdog);
    Ok(exit)
}

async fn hangup(signals: Option<&mut Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored, as `nohup` does it.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Opens the journal, folds it, binds the sockets, and meets the server. Invariant S1: there is no other start path.
async fn prepare(settings: DaemonSettings, server: Arc<dyn TaskServer>) -> Result<Prepared, DaemonError> {
    let directory = settings.state_dir.clone();
    let state_dir = |source| DaemonError::StateDir { path: directory.clone(), source };
    make_private_dir(&settings.state_dir).map_err(state_dir)?;
    make_private_dir(&settings.attempts_dir()).map_err(state_dir)?;
    let journal_file = settings.journal_file();
    let store = Store::open_with(&journal_file, settings.journal)?;
    let entries = store.load()?;
    let recovered =
        Recovered::fold(&entries).map_err(|source| DaemonError::Contradiction { path: journal_file, source })?;
    let open = recovered.runs.iter().filter(|(_, run)| !matches!(run.state, TaskState::Settled(_)));
    let open: Vec<_> = open.map(|(task, run)| (task, run.pull)).collect();
    remove_containers(&settings, &open).await;
    let (attempts, still) = (settings.attempts_dir(), open.iter().map(|(task, pull)| ((*task).clone(), *pull)));
    let still: Vec<(TaskId, u64)> = still.collect();
    let removing = tokio::task::spawn_blocking(move || {
        remove_leftovers(&attempts, still.iter().map(|(task, pull)| (task, *pull)));
    });
    removing.await.expect("removing folders does not panic");
    let executors = drivers::ipc::bind(&settings.executor_socket())?;
    let control = drivers::ipc::bind(&control_socket(&settings.state_dir))?;
    let metrics = match settings.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started_at_ms = clock.now_ms();
    let tasks_wait = recovered.runs.values().any(|run| !matches!(run.state, TaskState::Settled(_)));
    let long_poll = meet(&server, tasks_wait).await?;
    let quarantined = QuarantineFile::of(&settings.state_dir).read();
    let with_mps = recovered.runs.iter().filter(|(_, run)| run.share.is_mps() && run.state.attempt().is_some());
    let mps = MpsBefore {
        records: drivers::mps::records(&settings.mps_root()),
        holders: with_mps.filter_map(|(task, run)| Some((task.clone(), run.gpus.first()?.clone()))).collect(),
    };
    info!(server = %settings.server_url, long_poll = long_poll.is_there(), workers = settings.workers.len(), "ready");
    Ok(Prepared {
        settings: Arc::new(settings),
        server,
        clock,
        store,
        runs: recovered.runs,
        quarantined,
        mps,
        executors: Arc::new(executors),
        control: Arc::new(control),
        metrics,
        long_poll,
        started_at_ms,
    })
}

/// Removes the containers of attempts that are over: whoever should have removed them was killed.
async fn remove_containers(settings: &DaemonSettings, open: &[(&TaskId, u64)]) {
    let Some(socket) = settings.containers.as_ref().map(|containers| containers.socket.clone()) else { return };
    let open: Vec<String> = open.iter().map(|(task, pull)| format!("{task}.{pull}.")).collect();
    let (attempts, warm) = (settings.attempts_dir(), settings.warm_dir());
    let removing = tokio::task::spawn_blocking(move || {
        let is_open = |mark: &str| open.iter().any(|prefix| mark.starts_with(prefix));
        container::WarmShelf::new(warm).clear();
        container::remove_leftovers(&socket, &attempts, &is_open)
    });
    match removing.await.expect("removing containers does not panic") {
        Ok(0) => {}
        Ok(count) => info!(count, "containers that nobody owned are removed"),
        // Tasks will say so, each for itself.
        Err(error) => warn!(error = &error as &dyn std::error::Error, "containers cannot be looked after"),
    }
}

/// Where Prometheus asks. A free port is chosen for port 0, and said.
async fn listen(address: SocketAddr) -> Result<Arc<TcpListener>, DaemonError> {
    let taken = |source| DaemonError::Metrics { address, source };
    let listener = TcpListener::bind(address).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    info!("metrics are at http://{address}/metrics");
    Ok(Arc::new(listener))
}

/// Logs in and finds out what the server can. A server that is away is waited for; one that refuses us ends the
/// daemon, unless tasks of an earlier one are there: these are looked after in any case, and recovery waits for
/// nobody.
async fn meet(server: &Arc<dyn TaskServer>, tasks_wait: bool) -> Result<LongPoll, DaemonError> {
    let long_poll = LongPoll::default();
    match try_to_meet(server.as_ref()).await {
        Ok(found) => long_poll.set(found),
        Err(error) if error.is_transient() || tasks_wait => {
            warn!(%error, "cannot reach the server; will try again until it answers");
            let meeting = keep_meeting(Arc::clone(server), long_poll.clone());
            if tasks_wait {
                actix::spawn(async move {
                    if let Err(error) = meeting.await {
                        tracing::error!(%error, "the server does not let us in");
                    }
                });
            } else {
                meeting.await?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(long_poll)
}

async fn keep_meeting(server: Arc<dyn TaskServer>, long_poll: LongPoll) -> Result<(), ClientError> {
    let mut backoff = Backoff::for_server();
    loop {
        backoff.wait().await;
        match try_to_meet(server.as_ref()).await {
            Ok(found) => {
                info!("the server answers");
                long_poll.set(found);
                return Ok(());
            }
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
    }
}

async fn try_to_meet(server: &dyn TaskServer) -> Result<bool, ClientError> {
    server.login().await?;
    let extensions = server.extensions().await?;
    Ok(extensions.contains_key(WAIT_FOR_QUEUES) && extensions.contains_key(WAIT_FOR_TASKS))
}

fn make_private_dir(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
