//! A child process that is this program again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use actors::kit::{RestartDecision, RestartHistory, RestartPolicy};
use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

/// Five ends within a minute are too many.
const POLICY: RestartPolicy = RestartPolicy {
    max: 5,
    within: std::time::Duration::from_secs(60),
    backoff: std::time::Duration::from_millis(200),
};

/// One of the two services. Its standard input stays open as long as we live: at its end it knows that we are gone.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    removed_environment: Vec<String>,
    child: Option<Child>,
    /// The other end of its standard input.
    lifeline: Option<ChildStdin>,
    history: RestartHistory,
}

impl Part {
    /// A part that is not started yet.
    pub(super) fn new(name: &'static str, program: PathBuf) -> Self {
        Self {
            name,
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            removed_environment: Vec::new(),
            child: None,
            lifeline: None,
            history: RestartHistory::default(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Sets the arguments of the next start.
    pub(super) fn set_arguments(&mut self, arguments: Vec<OsString>) {
        self.arguments = arguments;
    }

    /// Sets what it inherits beside our environment, and what of that it does not.
    pub(super) fn set_environment(&mut self, add: Vec<(OsString, OsString)>, remove: Vec<String>) {
        self.environment = add;
        self.removed_environment = remove;
    }

    /// Starts it, in a process group of its own: Ctrl-C is for us alone. Gives its standard output.
    pub(super) fn start(&mut self) -> anyhow::Result<ChildStdout> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        for name in &self.removed_environment {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().with_context(|| format!("cannot start the {}", self.name))?;
        let stdout = child.stdout.take().with_context(|| format!("the {} has no standard output", self.name))?;
        // `Child::wait` would close it.
        self.lifeline = child.stdin.take();
        self.child = Some(child);
        Ok(stdout)
    }

    /// Its process id; 0 while it does not run.
    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }

    /// Waits until it ends. Never, while it does not run.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let Some(child) = &mut self.child else { return std::future::pending().await };
        let status = child.wait().await;
        self.child = None;
        self.lifeline = None;
        status.unwrap_or_default()
    }

    /// Whether, and after what pause, it may be started again.
    pub(super) fn may_restart(&mut self) -> RestartDecision {
        self.history.decide(POLICY, Instant::now())
    }

    /// Sends it a signal, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid())
            && pid > 0
        {
            // It is our child and not reaped yet: the number is still its own.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}
