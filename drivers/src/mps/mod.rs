//! NVIDIA's MPS: a control daemon for each card that is shared through it, in a private folder.
//!
//! The control daemon starts a server when the first program comes, and the server is what shares the card out. Both carry
//! a mark of their own in their environment, so that what a dead one left behind is found.

mod record;

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use protocols::gpu::{GpuCard, MpsFolder};
use protocols::ids::ProcessId;
use protocols::order::MARK_VARIABLE;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::Instant;
use tracing::{debug, warn};

pub use self::record::{MpsRecord, records};
use crate::process::{Signal, child_id, exited, fence, is_alive, signal};

/// NVIDIA's program: it is the control daemon, and asks it.
pub const PROGRAM: &str = "nvidia-cuda-mps-control";

/// How long a control daemon may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Time between two questions whether it does.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to leave.
const QUIT_WITHIN: Duration = Duration::from_secs(10);
/// The question that NVIDIA's own tools take for a sign of life.
const ARE_YOU_THERE: &str = "get_default_active_thread_percentage";
/// Its own output, in its log's folder.
const OUTPUT_FILE: &str = "output.log";
/// How much of the end of that is told, in bytes.
const MAX_TOLD: usize = 2000;

/// Why a card cannot be shared through MPS.
#[derive(Debug, thiserror::Error)]
pub enum MpsError {
    /// Its folder cannot be made, or written to.
    #[error("cannot use {} for MPS", path.display())]
    Folder {
        /// The folder, or file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It ended instead of serving.
    #[error("{} ended at once ({status}){}", program.display(), said(told))]
    Ended {
        /// The program.
        program: PathBuf,
        /// How.
        status: String,
        /// The end of its output.
        told: String,
    },
    /// It does not answer.
    #[error("{} does not answer within {} s{}", program.display(), START_WITHIN.as_secs(), said(told))]
    Silent {
        /// The program.
        program: PathBuf,
        /// What was heard last.
        told: String,
    },
}

fn said(told: &str) -> String {
    if told.is_empty() { String::new() } else { format!(": {told}") }
}

/// The control daemon of one card, whether it runs or not.
#[derive(Clone, Debug)]
pub struct MpsControl {
    program: PathBuf,
    card: GpuCard,
    folder: MpsFolder,
}

impl MpsControl {
    /// Of a card; all of them work below `root`.
    pub fn new(program: &Path, root: &Path, card: &GpuCard) -> Self {
        Self { program: program.to_owned(), card: card.clone(), folder: MpsFolder::of(root, &card.id) }
    }

    /// Starts it, and waits until it answers. What an earlier one left behind is ended first.
    ///
    /// It goes on when this process ends. Needs a tokio runtime.
    pub async fn start(&self) -> Result<ProcessId, MpsError> {
        self.clear().await;
        let wrong = |path: PathBuf| move |source| MpsError::Folder { path, source };
        for folder in [self.folder.path().to_owned(), self.folder.pipe(), self.folder.log()] {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&folder).map_err(wrong(folder))?;
        }
        let output = self.folder.log().join(OUTPUT_FILE);
        let log = std::fs::File::create(&output).map_err(wrong(output.clone()))?;
        let errors = log.try_clone().map_err(wrong(output))?;
        let start = |source| MpsError::Start { program: self.program.clone(), source };
        let mut child = self
            .command("-f")
            // A signal for the terminal's foreground is not for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(start)?;
        // Read before anybody can reap it: until then the pid cannot be given out again.
        let process = child.id().and_then(|pid| child_id(i32::try_from(pid).ok()?));
        let Some(process) = process else {
            return Err(start(io::Error::other("it was started, but /proc does not show it")));
        };
        let record = MpsRecord { card: self.card.clone(), process };
        record.write(&self.folder).map_err(wrong(self.folder.path().to_owned()))?;
        let answers = tokio::select! {
            ended = child.wait() => {
                let status = ended.map_or_else(|error| error.to_string(), |status| match status.signal() {
                    Some(signal) => format!("signal {signal}"),
                    None => status.to_string(),
                });
                return Err(MpsError::Ended { program: self.program.clone(), status, told: self.told() });
            }
            answers = self.answers_within(START_WITHIN) => answers,
        };
        tokio::spawn(async move {
            // While this process lives it is reaped, so that no zombie stays.
            let status = child.wait().await;
            debug!(pid = process.pid, ?status, "an MPS control daemon ended");
        });
        match answers {
            Ok(()) => Ok(process),
            Err(told) => {
                self.clear().await;
                let told = if told.is_empty() { self.told() } else { told };
                Err(MpsError::Silent { program: self.program.clone(), told })
            }
        }
    }

    /// Whether the one that was started as `process` lives and answers.
    pub async fn is_well(&self, process: ProcessId) -> bool {
        is_alive(process) && self.ask(ARE_YOU_THERE).await.is_ok()
    }

    /// Asks it to leave, makes sure that it does, and that nothing of it is left.
    pub async fn quit(&self, process: ProcessId) {
        if is_alive(process) {
            if let Err(why) = self.ask("quit").await {
                debug!(gpu = %self.card.id, why, "an MPS control daemon does not hear");
                // Whether that worked is seen below.
                let _ = signal(process, Signal::TERM);
            }
            if tokio::time::timeout(QUIT_WITHIN, exited(process)).await.is_err() {
                warn!(gpu = %self.card.id, "an MPS control daemon does not leave: it is killed");
            }
        }
        self.clear().await;
    }

    /// Ends whatever is left of it, and forgets it.
    pub async fn clear(&self) {
        let mark = mark(&self.folder);
        let fenced = tokio::task::spawn_blocking(move || fence(&mark)).await;
        if let Ok(report) = fenced.as_ref().inspect_err(|error| warn!(%error, "cannot look what is left of MPS"))
            && !report.is_clear()
        {
            warn!(gpu = %self.card.id, left = report.left.len(), "processes of MPS cannot be killed");
        }
        MpsRecord::remove(&self.folder);
        // Sockets and pid files of a dead one keep the next from starting.
        let _ = std::fs::remove_dir_all(self.folder.pipe());
    }

    async fn answers_within(&self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ask(ARE_YOU_THERE).await {
                Ok(_) => return Ok(()),
                Err(told) if Instant::now() >= deadline => return Err(told),
                Err(_) => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }

    /// Asks the control daemon. `Err` is what was heard instead of an answer.
    async fn ask(&self, question: &str) -> Result<String, String> {
        let asking = async {
            let mut child = self
                .client()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(format!("{question}\n").as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let output = match tokio::time::timeout(ANSWER_WITHIN, asking).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer".to_owned()),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err([text(&output.stdout), text(&output.stderr)].join(" ").trim().to_owned())
    }

    /// The program, about this card's control daemon.
    fn client(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            // Neither another control daemon nor limits that are not for it, and none of our secrets.
            if ["CUDA_", "CLEARML_", "TRAINS_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .env("CUDA_MPS_PIPE_DIRECTORY", self.folder.pipe())
            .env("CUDA_MPS_LOG_DIRECTORY", self.folder.log())
            .env("CUDA_VISIBLE_DEVICES", self.card.visible_as());
        command
    }

    fn command(&self, argument: &str) -> Command {
        let mut command = self.client();
        command.arg(argument).env(MARK_VARIABLE, mark(&self.folder));
        command
    }

    /// The end of what it printed and logged.
    fn told(&self) -> String {
        let files = [OUTPUT_FILE, "control.log"].map(|name| self.folder.log().join(name));
        let texts = files.iter().filter_map(|file| std::fs::read(file).ok());
        let told = texts.map(|bytes| {
            let end = &bytes[bytes.len().saturating_sub(MAX_TOLD)..];
            String::from_utf8_lossy(end).trim().to_owned()
        });
        told.filter(|told| !told.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// What the control daemon of a folder, and its server, are found by: nothing that an attempt is called.
fn mark(folder: &MpsFolder) -> String {
    let path = std::fs::canonicalize(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
    format!("mps:{}", path.display().to_string().replace('%', "%25").replace('.', "%2e"))
}
