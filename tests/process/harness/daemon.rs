//! `hostler daemon` as a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use protocols::control::DaemonStatus;
use protocols::ids::ProcessId;
use protocols::order::{ExecutorRecord, Progress, RECORD_FILE, decode};

use super::process::{ProcessExt, is_alive, kill};
use super::wait::{eventually, within};
use super::{Place, Server};

/// A daemon in a place, with its state in `state`.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    state_dir: PathBuf,
}

impl Daemon {
    /// Starts one and waits until it serves.
    pub(crate) fn start(place: &Place, server: &Server, arguments: &[&str]) -> Self {
        Self::start_with(place, server, arguments, &[]).serving(place)
    }

    /// Starts one with additional environment variables; does not wait.
    pub(crate) fn start_with(place: &Place, server: &Server, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let state_dir = place.path("state");
        let child = Self::command(place, server, arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(place.path("logs/daemon.out")).unwrap())
            .stderr(File::options().create(true).append(true).open(place.path("logs/daemon.log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, state_dir }
    }

    /// The command line of a daemon; it serves the server's default queue unless the arguments name others.
    pub(crate) fn command(place: &Place, server: &Server, arguments: &[&str]) -> Command {
        let mut command = place.hostler();
        command
            .arg("daemon")
            .arg("--foreground")
            .arg("--state-dir")
            .arg(place.path("state"))
            .args(arguments)
            // What is prepared ahead is a matter of when: tests that are not about it see the same every time.
            .args((!arguments.contains(&"--prefetch")).then_some("--no-prefetch"))
            .env("CLEARML_CONFIG_FILE", server.configuration_file());
        command
    }

    fn serving(mut self, place: &Place) -> Self {
        within(Duration::from_secs(60), "a daemon that serves", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}");
            }
            status_of(place).map(|_| ())
        });
        self
    }

    /// What it says of itself.
    pub(crate) fn status(&self, place: &Place) -> DaemonStatus {
        within(Duration::from_secs(30), "the daemon's status", || status_of(place))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL. Its executors live on.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it leaves its tasks running.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        within(Duration::from_secs(60), "end of the daemon", || {
            self.child.try_wait().unwrap().ok_or_else(|| "still running".to_owned())
        })
    }

    /// The largest resident memory that it ever had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The records of the executors that have an attempt's folder.
    pub(crate) fn executors(&self) -> Vec<ExecutorRecord> {
        records(&self.state_dir)
    }

    /// The executor of a task that is alive, once there is one.
    pub(crate) fn executor_of(&self, task: &str) -> ProcessId {
        within(Duration::from_secs(60), "the executor of a task", || {
            self.executors()
                .into_iter()
                .find(|record| record.task.as_str() == task && is_alive(record.executor.pid))
                .map(|record| record.executor)
                .ok_or_else(|| format!("no live executor of {task}"))
        })
    }

    /// SIGKILL to every executor that is alive. The user's processes live on.
    pub(crate) fn kill_executors(&self) {
        for record in self.executors() {
            if !matches!(record.progress, Progress::Ended(..)) {
                kill(record.executor.pid);
                eventually("end of a killed executor", || !is_alive(record.executor.pid));
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn records(state_dir: &Path) -> Vec<ExecutorRecord> {
    let Ok(entries) = std::fs::read_dir(state_dir.join("attempts")) else { return Vec::new() };
    entries
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join(RECORD_FILE)).ok())
        .filter_map(|bytes| decode(&bytes).ok())
        .collect()
}

fn status_of(place: &Place) -> Result<DaemonStatus, String> {
    let done = place
        .hostler()
        .args(["status", "--json", "--state-dir"])
        .arg(place.path("state"))
        .finish_within(Duration::from_secs(30));
    if !done.status.success() {
        return Err(done.stderr);
    }
    serde_json::from_str(&done.stdout).map_err(|error| format!("{error}: {}", done.stdout))
}
