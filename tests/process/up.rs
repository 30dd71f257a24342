//! `hostler up`: the one command of a newcomer.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Api, Draft, Place, ProcessExt, audit_state, eventually, kept_ports, kill, login_with, ready_line,
};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Up {
    child: Child,
    ready: Value,
    data_dir: PathBuf,
}

fn command(place: &Place, ports: [&str; 3]) -> Command {
    let mut command = place.hostler();
    let [api, web, files] = ports;
    command
        .args(["up", "--json", "--workers", "1", "--api-port", api, "--web-port", web, "--files-port", files])
        .arg("--data-dir")
        .arg(place.path("state"));
    command
}

impl Up {
    fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// Starts one with further flags.
    pub(crate) fn start_with(place: &Place, flags: &[&str]) -> Self {
        Self::start_on(place, [0, 0, 0], flags)
    }

    fn start_on(place: &Place, ports: [u16; 3], flags: &[&str]) -> Self {
        let out = place.path("logs/up.out");
        let [api, web, files] = ports.map(|port| port.to_string());
        let mut child = command(place, [&api, &web, &files])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::options().create(true).append(true).open(place.path("logs/up.log")).unwrap())
            .spawn()
            .unwrap();
        let ready = ready_line(&mut child, &out);
        Self { child, ready, data_dir: place.path("state") }
    }

    /// What it has said.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// The file for clients.
    pub(crate) fn configuration_file(&self) -> PathBuf {
        self.data_dir.join("clearml.conf")
    }

    fn api(&self) -> Api {
        login_with(self.ready["api_server"].as_str().unwrap(), &self.configuration_file())
    }

    /// Audits the daemon's journal.
    pub(crate) fn audit(&self) {
        audit_state(std::path::Path::new(self.ready["state_dir"].as_str().unwrap()));
    }

    fn terminate(&mut self) -> i32 {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the end of `up`", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_command_gives_a_server_and_an_agent_that_run_a_task() {
    let place = Place::new();
    let mut up = Up::start(&place);
    let mode = std::fs::metadata(up.configuration_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the file holds a secret");
    let api = up.api();
    let task = Draft::script("first", "print('line 0')").enqueue(&api);
    api.ended_as(&task, "completed");
    assert_eq!(api.console_lines(&task, "line"), ["line 0"]);

    assert_eq!(up.terminate(), 0);
    eventually("everything that `up` started is gone", || place.running().is_empty());

    // The second start takes over what the first has left.
    let up = Up::start(&place);
    assert_eq!(up.api().status(&task), "completed");
    up.audit();
}

#[test]
fn a_half_that_dies_is_started_again() {
    let place = Place::new();
    let up = Up::start_on(&place, kept_ports(), &[]);
    let api = up.api();
    let before = Draft::script("before", "print('line 0')").enqueue(&api);
    api.ended_as(&before, "completed");
    for half in ["daemon_pid", "server_pid"] {
        kill(i32::try_from(up.ready[half].as_i64().unwrap()).unwrap());
    }
    let api = up.api();
    let after = Draft::script("after", "print('line 0')").enqueue(&api);
    api.ended_as(&after, "completed");
    up.audit();
}

#[track_caller]
fn check_refused(mut command: Command, code: i32, names: &[&str]) {
    let finished = command.finish_within(LIMIT);
    assert_eq!(finished.code(), code, "{finished:#?}");
    let errors: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("\"error\"")).collect();
    assert_eq!(errors.len(), 1, "one clear error: {finished:#?}");
    for name in names {
        assert!(errors[0].contains(name), "{name:?} in {:?}", errors[0]);
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for position in 0..3 {
        let mut ports = ["0"; 3];
        ports[position] = &port;
        check_refused(command(&place, ports), 75, &[&port]);
    }
    assert_eq!(place.running(), Vec::<i32>::new(), "nothing is left running");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let place = Place::new();
    // Below a file: not even root can write there.
    std::fs::write(place.path("state"), "").unwrap();
    check_refused(command(&place, ["0", "0", "0"]), 78, &["state"]);
}

#[test]
fn a_second_instance_on_the_same_data_is_refused() {
    let place = Place::new();
    let up = Up::start(&place);
    check_refused(command(&place, ["0", "0", "0"]), 75, &[up.data_dir.to_str().unwrap()]);
    let api = up.api();
    let task = Draft::script("undisturbed", "print('line 0')").enqueue(&api);
    api.ended_as(&task, "completed");
}
