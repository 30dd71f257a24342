//! Child processes and what became of them.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::wait::within;

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The exit code, -1 for a signal.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Fails the test unless the program succeeded; gives what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "{self:#?}");
        self.stdout
    }
}

/// Running to an end, with a limit.
pub(crate) trait ProcessExt {
    /// Runs to the end; kills, and fails the test, after `limit`.
    fn finish_within(&mut self, limit: Duration) -> Finished;
}

impl ProcessExt for Command {
    #[track_caller]
    fn finish_within(&mut self, limit: Duration) -> Finished {
        let shown = format!("{self:?}");
        let mut child = self
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let reading = |mut pipe: Box<dyn std::io::Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = pipe.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let (stdout, stderr) = (reading(Box::new(stdout)), reading(Box::new(stderr)));
        let status = wait_for(&mut child, limit);
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let Some(status) = status else {
            panic!("{shown} did not end within {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        };
        Finished { status, stdout, stderr }
    }
}

fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        within(limit, "end of a process", || child.try_wait().unwrap().ok_or_else(|| "still running".to_owned()))
    }));
    ended.ok()
}

/// Sends SIGKILL. A process that is gone already is fine.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// The processes whose environment has `NAME=VALUE`.
pub(crate) fn running_with(name: &str, value: &Path) -> Vec<i32> {
    let wanted = format!("{name}={}", value.display());
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes()))
        })
        .filter(|pid| is_alive(*pid))
        .collect()
}
