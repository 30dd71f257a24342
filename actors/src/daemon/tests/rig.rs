//! A daemon in a thread of its own, and executors that a test plays.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers::clearml::FakeServer;
use drivers::ipc::{FrameReader, FrameWriter};
use protocols::control::{ControlAnswer, ControlRequest, DaemonStatus};
use protocols::failure::Phase;
use protocols::ids::{QueueId, WorkerId};
use protocols::ipc::{DaemonFrame, ExecutorFact, ExecutorFrame, PROTOCOL_VERSION};
use protocols::journal::Recovered;
use protocols::order::{
    CONSOLE_FILE, EnvironmentReport, ExecutorOrder, ExecutorRecord, ORDER_FILE, ORDER_VERSION, Progress, RECORD_FILE,
    decode, encode,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::panics::{MakePanic, PanicTarget};
use crate::daemon::run::run_observed;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::{DaemonError, DaemonExit, DaemonSettings, OneTask, WorkerSettings, control_socket};

/// No step of a test takes longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A machine with a fake server beside it.
pub(super) struct Rig {
    pub(super) server: FakeServer,
    pub(super) queue: QueueId,
    pub(super) folder: tempfile::TempDir,
    workers: usize,
    /// One task instead of the queue.
    pub(super) only: Option<OneTask>,
}

impl Rig {
    pub(super) fn new(server: FakeServer, workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = server.add_queue("q1", "default");
        // What is spawned as the executor only waits: the test plays its part.
        let program = folder.path().join("program");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { server, queue, folder, workers, only: None }
    }

    fn settings(&self) -> DaemonSettings {
        let worker = |index| WorkerSettings {
            id: WorkerId::new(format!("host:cpu:{index}")),
            queues: vec![self.queue.clone()],
            queue_names: vec!["default".to_owned()],
            gpus: Vec::new(),
            environment: BTreeMap::new(),
            removed_environment: Vec::new(),
        };
        DaemonSettings {
            state_dir: self.state_dir(),
            cache_dir: self.folder.path().join("cache"),
            program: self.folder.path().join("program"),
            server_url: "fake://server".to_owned(),
            workers: (0..self.workers).map(worker).collect(),
            services: None,
            dynamic: None,
            only: self.only.clone(),
            mps: Default::default(),
            order_fairness: false,
            polling_interval: Duration::from_millis(50),
            status_report_interval: Duration::from_secs(30),
            stop_grace: Duration::from_secs(1),
            task_environment: BTreeMap::new(),
            enable_task_env: false,
            git: Default::default(),
            python: Default::default(),
            suppress_carriage_return: true,
            under_service_manager: true,
            gpu_library: None,
            gpus: Default::default(),
            gpu_cpus: BTreeMap::new(),
            metrics_listen: None,
            warm_containers: 0,
            prefetch: false,
            journal: Default::default(),
            containers: None,
        }
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn start(&self) -> Daemon {
        let (settings, server) = (self.settings(), self.server.clone());
        let (seen, supervisor) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            run_observed(settings, server, |supervisor| seen.send(supervisor.clone()).unwrap())
        });
        let supervisor = supervisor.recv().expect("the daemon starts");
        Daemon { thread: Some(thread), state_dir: self.state_dir(), supervisor }
    }

    /// The orders that executors were started on, and nobody has played yet.
    pub(super) async fn orders(&self, count: usize) -> Vec<ExecutorOrder> {
        let attempts = self.state_dir().join("attempts");
        eventually("orders", || {
            let entries = std::fs::read_dir(&attempts).ok()?;
            let orders: Vec<ExecutorOrder> = entries
                .filter_map(|entry| decode(&std::fs::read(entry.ok()?.path().join(ORDER_FILE)).ok()?).ok())
                .collect();
            (orders.len() >= count).then_some(orders)
        })
        .await
    }

    pub(super) async fn order(&self) -> ExecutorOrder {
        self.orders(1).await.remove(0)
    }

    /// What the journal says, once no daemon has it any more.
    pub(super) fn audit(&self) -> Recovered {
        let store = drivers::journal::Journal::open(&self.state_dir().join("journal.db")).unwrap();
        Recovered::fold(&store.load().unwrap()).unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.state_dir().join("attempts")).into_iter().flatten().flatten() {
            drivers::process::fence(&entry.file_name().to_string_lossy());
        }
    }
}

/// A running daemon.
pub(super) struct Daemon {
    thread: Option<JoinHandle<Result<DaemonExit, DaemonError>>>,
    state_dir: PathBuf,
    supervisor: actix::Addr<Supervisor>,
}

impl Daemon {
    pub(super) async fn status(&self) -> Option<DaemonStatus> {
        match ask(&self.state_dir, &ControlRequest::Status).await? {
            ControlAnswer::Status(status) => Some(*status),
            ControlAnswer::Explanation(_) | ControlAnswer::Accepted | ControlAnswer::Refused { .. } => None,
        }
    }

    pub(super) async fn panic(&self, target: PanicTarget) {
        // A daemon that has ended already cannot be asked; the test sees that by itself.
        let _ = self.supervisor.send(MakePanic(target)).await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(super) async fn ended(mut self) -> DaemonExit {
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap()
    }

    pub(super) async fn leave(self, how: ControlRequest) -> DaemonExit {
        let asked = Instant::now();
        while ask(&self.state_dir, &how).await.is_none() {
            assert!(asked.elapsed() < DEADLINE, "no control socket");
            tokio::task::yield_now().await;
        }
        self.ended().await
    }
}

async fn ask(state_dir: &Path, request: &ControlRequest) -> Option<ControlAnswer> {
    let mut stream = tokio::net::UnixStream::connect(control_socket(state_dir)).await.ok()?;
    let mut line = serde_json::to_string(request).unwrap();
    line.push('\n');
    stream.write_all(line.as_bytes()).await.ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await.ok()?;
    serde_json::from_str(&answer).ok()
}

/// Polls until there is an answer, or the deadline has passed.
pub(super) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    let mut interval = tokio::time::interval(Duration::from_millis(5));
    loop {
        interval.tick().await;
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: not in time");
    }
}

/// Writes down how far an executor is, as the executor itself would: one that this process plays.
pub(super) fn write_record(order: &ExecutorOrder, progress: Progress) {
    let record = ExecutorRecord {
        version: ORDER_VERSION,
        task: order.task.id.clone(),
        attempt: order.attempt,
        executor: drivers::process::this_process(),
        phase: Phase::Running,
        progress,
    };
    std::fs::write(order.attempt_dir.join(RECORD_FILE), encode(&record)).unwrap();
}

/// Kills what was started as the executor. Its order is there a moment before it.
pub(super) async fn kill_executor(order: &ExecutorOrder) {
    let kill = || (drivers::process::fence(&order.mark()).killed > 0).then_some(());
    eventually("its executor is killed", kill).await;
}

/// An executor played by a test.
pub(super) struct Player {
    pub(super) order: ExecutorOrder,
    reader: FrameReader<DaemonFrame>,
    writer: FrameWriter<ExecutorFrame>,
    facts: u64,
}

impl Player {
    /// Dials until the daemon is there, and is welcome.
    pub(super) async fn attach(order: ExecutorOrder) -> Self {
        let begun = Instant::now();
        loop {
            if let Ok((reader, writer)) = drivers::ipc::dial(&order.socket).await {
                let mut player = Self { order: order.clone(), reader, writer, facts: 0 };
                player.hello().await;
                if let Ok(Some(DaemonFrame::Welcome { .. })) = player.reader.next().await {
                    return player;
                }
            }
            assert!(begun.elapsed() < DEADLINE, "not welcome");
            tokio::task::yield_now().await;
        }
    }

    async fn hello(&mut self) {
        let hello = ExecutorFrame::Hello {
            protocol: PROTOCOL_VERSION,
            task: self.order.task.id.clone(),
            pull: self.order.pull,
            attempt: self.order.attempt,
            token: self.order.token.clone(),
            process: drivers::process::this_process(),
        };
        let _ = self.writer.send(&hello).await;
    }

    /// Tells a fact and waits until it is durable.
    pub(super) async fn tell(&mut self, fact: ExecutorFact) {
        self.facts += 1;
        let number = self.facts;
        self.writer.send(&ExecutorFrame::Fact { number, fact }).await.unwrap();
        loop {
            match self.next().await {
                DaemonFrame::Acknowledged { number: acknowledged } if acknowledged == number => return,
                DaemonFrame::Stop { .. } => {}
                other @ (DaemonFrame::Acknowledged { .. }
                | DaemonFrame::Welcome { .. }
                | DaemonFrame::Refused { .. }) => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn next(&mut self) -> DaemonFrame {
        tokio::time::timeout(DEADLINE, self.reader.next()).await.expect("in time").unwrap().expect("a frame")
    }

    pub(super) async fn prepare(&mut self) {
        self.tell(ExecutorFact::EnvironmentReady(EnvironmentReport::default())).await;
        write_record(&self.order, Progress::Running(Default::default(), drivers::process::this_process()));
        self.tell(ExecutorFact::UserStarted).await;
    }

    pub(super) fn print(&self, text: &str) {
        use std::io::Write as _;
        let path = self.order.attempt_dir.join(CONSOLE_FILE);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) async fn console(&mut self, length: u64) {
        self.writer.send(&ExecutorFrame::Console { length, at_ms: 0 }).await.unwrap();
    }
}
