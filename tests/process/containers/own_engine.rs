//! An engine of a test's own: the others' go on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Engine;
use crate::harness::eventually;

/// A Docker Engine with the image of the tests, for root.
pub(super) struct OwnEngine {
    child: Child,
    folder: tempfile::TempDir,
    pub(super) engine: Engine,
    start: Start,
}

/// How it is started.
struct Start {
    program: PathBuf,
    arguments: Vec<String>,
    programs: Option<PathBuf>,
}

impl Start {
    fn spawn(&self, folder: &Path, engine: &Engine) -> Child {
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        // An engine that is to have no bridge removes docker0, whose ever it is.
        let bridge = if Path::new("/sys/class/net/docker0").exists() { "docker0" } else { "none" };
        let mut command = Command::new(&self.program);
        command
            .args(["--host", &engine.address, "--iptables=false", "--ip6tables=false", "--bridge", bridge])
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = self.programs.clone().into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap()).spawn().unwrap()
    }
}

impl OwnEngine {
    /// The one that is installed. `None` where it cannot be started, which is said.
    pub(super) fn start(shared: &Engine, arguments: &[&str]) -> Option<Self> {
        Self::of(Path::new("dockerd"), shared, arguments, None)
    }

    /// One of a program, for which a folder of programs goes before all others.
    pub(super) fn of(program: &Path, shared: &Engine, arguments: &[&str], programs: Option<&Path>) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || Command::new(program).arg("--version").output().is_err() {
            eprintln!("skipped: an engine of its own can be started by root only, where dockerd is installed");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hostler-engine-").tempdir().unwrap();
        let address = format!("unix://{}", folder.path().join("docker.sock").display());
        let engine = Engine { address, ..shared.clone() };
        let start = Start {
            program: program.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            programs: programs.map(Path::to_owned),
        };
        let child = start.spawn(folder.path(), &engine);
        let this = Self { child, folder, engine, start };
        this.answers();
        this.engine.take_image(shared);
        Some(this)
    }

    fn answers(&self) {
        eventually("an engine that answers", || self.engine.call(&["version"]).status.success());
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn again(&mut self) {
        // A killed engine leaves them, and takes whoever has that pid now for its own child.
        for pid in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(self.folder.path().join(pid));
        }
        self.child = self.start.spawn(self.folder.path(), &self.engine);
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
