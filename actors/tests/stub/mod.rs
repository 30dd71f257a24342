//! An attempt on disk, and a daemon that is written by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use drivers::ipc::{FrameReader, FrameWriter, accept, bind};
use drivers::process::spawn_executor;
use protocols::ids::{AttemptId, ProcessId};
use protocols::ipc::{DaemonFrame, ExecutorFact, ExecutorFrame, PROTOCOL_VERSION};
use protocols::lifecycle::StopReason;
use protocols::order::{
    CONSOLE_FILE, ExecutorOrder, ExecutorRecord, GitSettings, ORDER_FILE, ORDER_VERSION, PythonSettings, RECORD_FILE,
    decode, encode,
};
use protocols::task::{CodeSource, Interpreter, TaskSpec};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        let mut again = tokio::time::interval(Duration::from_millis(2));
        loop {
            again.tick().await;
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline, "it did not come about: {caller}");
        }
    }
}

/// One attempt, whose executor is killed with everything below it when the test is over.
pub(crate) struct Attempt {
    folder: TempDir,
    pub(crate) order: ExecutorOrder,
}

impl Attempt {
    /// A literal shell script.
    pub(crate) fn shell(script: &str, change: impl FnOnce(&mut ExecutorOrder)) -> Self {
        Self::script("run.sh", script, change)
    }

    /// A literal script, of a shell unless `change` says otherwise.
    pub(crate) fn script(entry_point: &str, script: &str, change: impl FnOnce(&mut ExecutorOrder)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let attempt_dir = folder.path().join("attempt");
        let cache_dir = folder.path().join("cache");
        std::fs::create_dir(&attempt_dir).unwrap();
        std::fs::create_dir(&cache_dir).unwrap();
        let mut order = ExecutorOrder {
            version: ORDER_VERSION,
            task: TaskSpec {
                id: "task".into(),
                name: "a test".into(),
                code: CodeSource::Script(script.into()),
                working_dir: ".".into(),
                entry_point: entry_point.into(),
                interpreter: Interpreter::Shell("sh".into()),
                pip_requirements: None,
                requirements: BTreeMap::new(),
                environment: Vec::new(),
            },
            attempt: AttemptId::FIRST,
            // The mark must be unique on this machine.
            pull: u64::from(std::process::id()) << 32 | rand::random::<u32>() as u64,
            token: "a secret".into(),
            worker: "host:0".into(),
            socket: folder.path().join("run/daemon.sock"),
            attempt_dir,
            cache_dir,
            environment: BTreeMap::new(),
            removed_environment: Vec::new(),
            git: GitSettings::default(),
            python: PythonSettings::default(),
            container: None,
            cpus: Vec::new(),
            stop_grace_ms: 10_000,
        };
        change(&mut order);
        std::fs::write(order.attempt_dir.join(ORDER_FILE), encode(&order)).unwrap();
        Self { folder, order }
    }

    pub(crate) fn listen(&self) -> UnixListener {
        bind(&self.order.socket).unwrap()
    }

    /// Starts the executor: this test program again, told to be one.
    pub(crate) fn start(&self) -> ProcessId {
        let program = std::env::current_exe().unwrap();
        let folder = self.order.attempt_dir.to_str().unwrap();
        let args = ["--ignored", "--exact", "--nocapture", "executor_process", folder];
        spawn_executor(&program, args, &self.order.mark(), b"", &self.folder.path().join("executor.log")).unwrap()
    }

    pub(crate) fn hello(&self, executor: ProcessId) -> ExecutorFrame {
        ExecutorFrame::Hello {
            protocol: PROTOCOL_VERSION,
            task: self.order.task.id.clone(),
            pull: self.order.pull,
            attempt: self.order.attempt,
            token: self.order.token.clone(),
            process: executor,
        }
    }

    pub(crate) fn code(&self) -> PathBuf {
        self.order.attempt_dir.join("work/code")
    }

    pub(crate) fn console(&self) -> String {
        std::fs::read_to_string(self.order.attempt_dir.join(CONSOLE_FILE)).unwrap()
    }

    pub(crate) fn record(&self) -> ExecutorRecord {
        decode(&std::fs::read(self.order.attempt_dir.join(RECORD_FILE)).unwrap()).unwrap()
    }
}

impl Drop for Attempt {
    #[expect(clippy::print_stderr, reason = "the harness shows it where the test failed")]
    fn drop(&mut self) {
        drivers::process::fence(&self.order.mark());
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("executor.log"));
            eprintln!("executor: {}", log.unwrap_or_default());
        }
    }
}

/// An executor that was welcomed.
pub(crate) struct Connection {
    reader: FrameReader<ExecutorFrame>,
    writer: FrameWriter<DaemonFrame>,
    pub(crate) hello: ExecutorFrame,
    /// The newest length of the console that was told.
    pub(crate) console_length: u64,
}

impl Connection {
    pub(crate) async fn accept(listener: &UnixListener, acknowledged: u64) -> Self {
        let (mut reader, mut writer) = timeout(PATIENCE, accept(listener)).await.expect("it dials").unwrap();
        let hello = reader.next().await.unwrap().expect("it says hello");
        writer.send(&DaemonFrame::Welcome { acknowledged }).await.unwrap();
        Self { reader, writer, hello, console_length: 0 }
    }

    /// Facts up to the first that `is_last` selects, with their numbers.
    pub(crate) async fn facts_until(&mut self, is_last: impl Fn(&ExecutorFact) -> bool) -> Vec<(u64, ExecutorFact)> {
        let mut facts = Vec::new();
        loop {
            let frame = timeout(PATIENCE, self.reader.next()).await.expect("it goes on").unwrap();
            match frame.expect("the connection holds") {
                ExecutorFrame::Hello { .. } => panic!("a second hello"),
                ExecutorFrame::Console { length, .. } => self.console_length = length,
                ExecutorFrame::Fact { number, fact } => {
                    let is_last = is_last(&fact);
                    facts.push((number, fact));
                    if is_last {
                        return facts;
                    }
                }
            }
        }
    }

    pub(crate) async fn facts_until_end(&mut self) -> Vec<(u64, ExecutorFact)> {
        self.facts_until(|fact| matches!(fact, ExecutorFact::Ended(_))).await
    }

    pub(crate) async fn acknowledge(&mut self, number: u64) {
        self.writer.send(&DaemonFrame::Acknowledged { number }).await.unwrap();
    }

    /// As [`Self::acknowledge`], to an executor that may have left.
    pub(crate) async fn acknowledge_if_there(&mut self, number: u64) {
        let _ = self.writer.send(&DaemonFrame::Acknowledged { number }).await;
    }

    pub(crate) async fn stop(&mut self, grace_ms: u64) {
        self.writer.send(&DaemonFrame::Stop { reason: StopReason::UserAbort, grace_ms }).await.unwrap();
    }
}
