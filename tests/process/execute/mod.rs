//! `hostler execute`: one task, without a daemon.

mod containers;
mod crash;
mod ends;
mod refusals;
mod stops;
mod ways;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Api, Draft, Finished, Place, ProcessExt as _, Server, eventually, within};

/// Seconds between SIGTERM and SIGKILL: short for who does not listen, and enough on a busy machine for who does.
const SHORT_GRACE: (&str, &str) = ("CLEARML_AGENT__AGENT__HOSTLER__STOP_GRACE", "4");
const LIMIT: Duration = Duration::from_secs(120);

/// A server, and a place beside it where tasks are executed.
struct Bench {
    // Dropped before the place, which ends what is left.
    server: Server,
    api: Api,
    place: Place,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let server = Server::start(&place);
        let api = server.api();
        Self { server, api, place }
    }

    /// `hostler execute --id TASK ARGUMENTS..`
    fn command(&self, task: &str, arguments: &[&str]) -> Command {
        let mut command = self.place.hostler();
        command.arg("execute");
        if !arguments.contains(&"--state-dir") {
            command.arg("--state-dir").arg(self.place.path("state"));
        }
        command
            .args(["--cpu-only", "--id", task])
            .args(arguments)
            .env("CLEARML_CONFIG_FILE", self.server.configuration_file())
            .env(SHORT_GRACE.0, SHORT_GRACE.1);
        command
    }

    /// Runs it to its end.
    #[track_caller]
    fn execute(&self, task: &str, arguments: &[&str]) -> Finished {
        self.command(task, arguments).finish_within(LIMIT)
    }

    /// Starts it; what it prints is in the place.
    fn start(&self, task: &str, arguments: &[&str]) -> Running {
        let child = self
            .command(task, arguments)
            .stdin(Stdio::null())
            .stdout(File::create(self.place.path("logs/execute.out")).unwrap())
            .stderr(File::options().create(true).append(true).open(self.place.path("logs/execute.log")).unwrap())
            .spawn()
            .unwrap();
        Running { child }
    }

    fn draft(&self, program: &str) -> String {
        Draft::script("one", program).create(&self.api)
    }

    /// Nothing is left: no state, no process but the server, no worker.
    #[track_caller]
    fn is_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.place.path("state/execute")).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        eventually("only the server is left", || self.place.running().len() == 1);
        let workers = self.api.call("workers.get_all", json!({ "last_seen": 600 }));
        assert_eq!(workers["workers"], json!([]));
    }

    /// How often the console of a task on the server has this line.
    fn count(&self, task: &str, line: &str) -> usize {
        self.api.console(task).lines().filter(|found| *found == line).count()
    }
}

/// `hostler execute` while it runs.
struct Running {
    child: Child,
}

impl Running {
    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code.
    fn code(&mut self) -> i32 {
        let status = within(LIMIT, "end of `hostler execute`", || {
            self.child.try_wait().unwrap().ok_or_else(|| "still running".to_owned())
        });
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
