//! The engine itself dies while containers run. An engine of the test's own: the others' go on.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{Engine, Farm};
use crate::harness::{Draft, Gate, audit, eventually, lines_with};

/// A Docker Engine with the image of the tests, for root.
struct OwnEngine {
    child: Child,
    folder: tempfile::TempDir,
    engine: Engine,
    keeps_containers: bool,
}

impl OwnEngine {
    /// `None` where it cannot be started, which is said.
    fn start(shared: &Engine, keeps_containers: bool) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || Command::new("dockerd").arg("--version").output().is_err() {
            eprintln!("skipped: an engine of its own can be started by root only, where dockerd is installed");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hostler-engine-").tempdir().unwrap();
        let address = format!("unix://{}", folder.path().join("docker.sock").display());
        let engine = Engine { address, ..shared.clone() };
        let child = Self::spawn(folder.path(), &engine, keeps_containers);
        let this = Self { child, folder, engine, keeps_containers };
        this.answers();
        let mut save = Command::new("docker")
            .args(["--host", &shared.address, "save", "hostler-test/python"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let load = Command::new("docker")
            .args(["--host", &this.engine.address, "load"])
            .stdin(save.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(save.wait().unwrap().success() && load.status.success(), "{load:?}");
        Some(this)
    }

    fn spawn(folder: &Path, engine: &Engine, keeps_containers: bool) -> Child {
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        // An engine that is to have no bridge removes docker0, whose ever it is.
        let bridge = if Path::new("/sys/class/net/docker0").exists() { "docker0" } else { "none" };
        let mut command = Command::new("dockerd");
        command
            .args(["--host", &engine.address, "--iptables=false", "--ip6tables=false", "--bridge", bridge])
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .args(keeps_containers.then_some("--live-restore"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command.spawn().unwrap()
    }

    fn answers(&self) {
        eventually("an engine that answers", || self.engine.call(&["version"]).status.success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        // A killed engine leaves them, and takes whoever has that pid now for its own child.
        for pid in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(self.folder.path().join(pid));
        }
        self.child = Self::spawn(self.folder.path(), &self.engine, self.keeps_containers);
        self.answers();
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let left = self.engine.call(&["ps", "--all", "--quiet"]);
        for id in String::from_utf8_lossy(&left.stdout).lines() {
            self.engine.call(&["rm", "--force", id]);
        }
        self.end();
        let namespaces = std::fs::read_dir(self.folder.path().join("exec/netns")).into_iter().flatten().flatten();
        // One that was killed has mounted its folder over itself, too, and leaves that.
        for place in namespaces.map(|place| place.path()).chain([self.folder.path().join("data")]) {
            let _ = Command::new("umount").arg("--quiet").arg(place).status();
        }
    }
}

fn at_its_gate(farm: &Farm, gate: &Gate) -> String {
    let program = format!(
        "for number in range(50):\n    print('early', number, flush=True)\n{}\n\
         for number in range(50):\n    print('late', number, flush=True)\nraise SystemExit(6)\n",
        gate.python()
    );
    let arguments = format!("-v {0}:{0}", farm.place.path("").display());
    let container = json!({ "image": "hostler-test/python", "arguments": arguments });
    let task = farm.enqueue(&Draft::script("engine", &program), container);
    eventually("a task at its gate", || farm.api.console_lines(&task, "early").len() == 50);
    task
}

/// `kill -9` of an engine that keeps its containers: the task does not notice.
#[test]
fn a_task_outlives_the_death_of_its_engine() {
    let Some(shared) = Engine::docker() else { return };
    let Some(mut own) = OwnEngine::start(&shared, true) else { return };
    let farm = Farm::start(&own.engine, &["--workers", "1"]);
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let task = at_its_gate(&farm, &gate);
    own.kill();
    own.again();
    gate.open();
    let ended = farm.api.ended_as(&task, "failed");
    assert_eq!(ended["status_reason"], "worker execution exit code 6");
    assert_eq!(farm.api.console_lines(&task, "late"), lines_with("late", 50));
    farm.is_clean();
    audit(&farm.place);
}

/// The engine comes back only after the task has ended: what is left is removed then.
#[test]
fn a_task_that_ends_without_its_engine_is_cleaned_up_after() {
    let Some(shared) = Engine::docker() else { return };
    let Some(mut own) = OwnEngine::start(&shared, true) else { return };
    let farm = Farm::start(&own.engine, &["--workers", "1"]);
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let task = at_its_gate(&farm, &gate);
    own.kill();
    gate.open();
    eventually("the last line of the task", || farm.api.console_lines(&task, "late").len() == 50);
    own.again();
    let ended = farm.api.ended_as(&task, "failed");
    assert_eq!(ended["status_reason"], "worker execution exit code 6");
    farm.is_clean();
    audit(&farm.place);
}

/// An engine that ends its containers with itself.
#[test]
fn an_engine_that_is_restarted_without_live_restore_is_the_reason() {
    let Some(shared) = Engine::docker() else { return };
    let Some(mut own) = OwnEngine::start(&shared, false) else { return };
    let farm = Farm::start(&own.engine, &["--workers", "1"]);
    let gate = Gate::shut(&farm.place.path("gate"));
    let task = at_its_gate(&farm, &gate);
    own.end();
    own.again();
    let ended = farm.api.ended(&task);
    assert!(!farm.api.console(&task).contains("late"), "{ended}");
    assert_eq!(ended["status"], "failed", "{ended}");
    farm.is_clean();
    audit(&farm.place);
}
