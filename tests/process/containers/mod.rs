//! Tasks in containers of their own: real engines, images that `scripts/containers` makes.

mod arguments;
mod channels;
pub(crate) mod conda;
mod crash;
mod engine;
mod failures;
mod from_git;
mod gpus;
mod images;
pub(crate) mod interpreters;
mod life;
mod own_engine;
mod ownership;
mod prefetch;
mod rootless;
mod services;
mod ssh;
mod told;
mod warm;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::harness::{Api, Daemon, Draft, PATIENCE, Place, Server, User, eventually, within};

/// Seconds between SIGTERM and SIGKILL: short for who does not listen, and enough on a busy machine for who does.
const SHORT_GRACE: (&str, &str) = ("CLEARML_AGENT__AGENT__HOSTLER__STOP_GRACE", "4");

/// The driver of a daemon that has GPUs; other daemons are started without.
const GPU_LIBRARY: &str = "CLEARML_AGENT__AGENT__HOSTLER__GPU_LIBRARY";

/// A program that has last words when it is told to end.
const POLITE: &str = "import signal, sys, time\n\
    def bye(*_):\n    print('last words', flush=True)\n    sys.exit(0)\n\
    signal.signal(signal.SIGTERM, bye)\nprint('ready', flush=True)\ntime.sleep(600)\n";
/// One that does not hear it, and has a process in a session of its own.
const DEAF: &str = "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    subprocess.Popen(['sleep', '600'], start_new_session=True)\nprint('ready', flush=True)\ntime.sleep(600)\n";

/// A container engine that runs here.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// The flag of `hostler daemon` for it.
    pub(crate) flag: &'static str,
    /// The variable by which its socket is found.
    pub(crate) variable: &'static str,
    /// `unix://..`
    pub(crate) address: String,
    /// Whose it is, where it is not who tests: the engine of an unprivileged user.
    pub(crate) user: Option<User>,
}

impl Engine {
    /// All that run here; says so where there is none.
    pub(crate) fn all() -> Vec<Self> {
        let named =
            [("--docker", "DOCKER_HOST", "HOSTLER_TEST_DOCKER"), ("--podman", "CONTAINER_HOST", "HOSTLER_TEST_PODMAN")];
        let found: Vec<Self> = named
            .into_iter()
            .filter_map(|(flag, variable, test)| {
                Some(Self { flag, variable, address: std::env::var(test).ok()?, user: None })
            })
            .collect();
        if found.is_empty() {
            eprintln!("skipped: no container engine: eval what `scripts/containers start` prints");
        }
        found
    }

    /// Docker, where it runs here.
    pub(crate) fn docker() -> Option<Self> {
        Self::all().into_iter().find(|engine| engine.flag == "--docker")
    }

    /// Podman without root, where it runs here; says so where it does not.
    pub(crate) fn rootless() -> Option<Self> {
        let given = |name: &str| std::env::var(name).ok();
        let Some((address, user)) = given("HOSTLER_TEST_ROOTLESS").zip(given("HOSTLER_TEST_ROOTLESS_USER")) else {
            eprintln!("skipped: no rootless Podman: eval what `scripts/containers start` prints");
            return None;
        };
        let (uid, gid) = user.split_once(':').unwrap();
        let user = User { uid: uid.parse().unwrap(), gid: gid.parse().unwrap() };
        Some(Self { flag: "--podman", variable: "CONTAINER_HOST", address, user: Some(user) })
    }

    /// Docker of root, for the user of [`Self::rootless`] as one of the group whose socket it is.
    fn of_group() -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let (docker, user) = (Self::docker()?, Self::rootless()?.user?);
        let socket = std::fs::metadata(docker.address.trim_start_matches("unix://")).unwrap();
        if socket.gid() == 0 || socket.mode() & 0o060 != 0o060 {
            eprintln!("skipped: the socket of Docker belongs to no group that a user could be in");
            return None;
        }
        Some(Self { user: Some(User { gid: socket.gid(), ..user }), ..docker })
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(["--host", &self.address]).args(arguments).output().unwrap()
    }

    /// What the client says, which must not fail.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Gets the image of most tests from another engine.
    fn take_image(&self, from: &Self) {
        let mut save = Command::new("docker")
            .args(["--host", &from.address, "save", "hostler-test/python"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let load = Command::new("docker")
            .args(["--host", &self.address, "load"])
            .stdin(save.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(save.wait().unwrap().success() && load.status.success(), "{load:?}");
    }

    /// The containers of a place's attempts.
    fn containers(&self, place: &Place) -> Vec<String> {
        self.owned(&place.path("state/attempts"))
    }

    /// The containers in which environments of tasks that wait are built.
    fn containers_ahead(&self, place: &Place) -> Vec<String> {
        self.owned(&place.path("state/prefetch"))
    }

    fn owned(&self, by: &Path) -> Vec<String> {
        let label = format!("label=hostler.attempts={}", by.display());
        // An engine may refuse to list what is removed at that moment.
        let listed = within(PATIENCE, "a list of containers", || {
            let output = self.call(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(why) }
        });
        listed.lines().map(str::to_owned).collect()
    }

    /// The container of a task.
    fn container_of(&self, place: &Place, task: &str) -> Option<Value> {
        self.containers(place).into_iter().find_map(|id| {
            let output = self.call(&["inspect", &id]);
            let inspected: Value = serde_json::from_slice(&output.stdout).ok()?;
            let labels = &inspected[0]["Config"]["Labels"];
            let is_its = labels["hostler.attempt"].as_str()?.starts_with(task) && labels["hostler.role"] == "task";
            is_its.then(|| inspected[0].clone())
        })
    }
}

/// A server and a daemon that runs tasks in containers of one engine.
struct Farm {
    engine: Engine,
    place: Place,
    server: Server,
    api: Api,
    daemon: Daemon,
}

impl Farm {
    fn start(engine: &Engine, arguments: &[&str]) -> Self {
        Self::start_with(engine, arguments, &[])
    }

    fn start_with(engine: &Engine, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::in_place(engine.user.map_or_else(Place::new, Place::of), engine, arguments, environment)
    }

    fn in_place(place: Place, engine: &Engine, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let server = Server::start(&place);
        let api = server.api();
        let daemon = Self::daemon(engine, &place, &server, arguments, environment);
        Self { engine: engine.clone(), place, server, api, daemon }
    }

    fn daemon(engine: &Engine, place: &Place, server: &Server, arguments: &[&str], more: &[(&str, &str)]) -> Daemon {
        let has_gpus = more.iter().any(|(name, _)| *name == GPU_LIBRARY);
        let workers = [engine.flag, "hostler-test/python"];
        let cpu_only = (!has_gpus).then_some("--cpu-only");
        let all: Vec<&str> = cpu_only.into_iter().chain(workers).chain(arguments.iter().copied()).collect();
        let mut environment = vec![SHORT_GRACE, (engine.variable, engine.address.as_str())];
        environment.extend(more);
        Daemon::start_with(place, server, &all, &environment)
    }

    /// A daemon on the state of the one before.
    fn again(&mut self, arguments: &[&str]) {
        self.again_with(arguments, &[]);
    }

    /// As [`Self::again`], with further variables.
    fn again_with(&mut self, arguments: &[&str], more: &[(&str, &str)]) {
        self.daemon = Self::daemon(&self.engine, &self.place, &self.server, arguments, more);
    }

    /// A task with a container; its id.
    fn enqueue(&self, draft: &Draft, container: Value) -> String {
        let task = draft.create(&self.api);
        self.api.call("tasks.edit", json!({ "task": task, "container": container }));
        self.api.enqueue(&task, "default");
        task
    }

    /// Waits for the end of a task that must fail; the reason, which the console has too.
    fn failure(&self, task: &str) -> String {
        let ended = self.api.ended_as(task, "failed");
        let reason = ended["status_reason"].as_str().unwrap().to_owned();
        assert!(self.api.console(task).contains(&reason), "{}", self.api.console(task));
        reason
    }

    /// Nothing is left: no container, no folder in memory, no process.
    fn is_clean(&self) {
        eventually("no container is left", || self.engine.containers(&self.place).is_empty());
        assert_eq!(self.engine.containers_ahead(&self.place), Vec::<String>::new(), "of preparations");
        let marks: Vec<String> = std::fs::read_dir("/dev/shm")
            .into_iter()
            .flatten()
            .filter_map(|entry| std::fs::read_dir(entry.ok()?.path()).ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let attempts = std::fs::read_dir(self.place.path("state/attempts")).unwrap();
        for attempt in attempts.flatten() {
            let name = attempt.file_name().into_string().unwrap();
            assert!(!marks.contains(&name), "{name} has a folder in memory after its end");
        }
    }
}

impl Drop for Farm {
    /// A test that failed leaves no container to the next one.
    fn drop(&mut self) {
        self.daemon.kill();
        let ahead = self.engine.containers_ahead(&self.place);
        for id in self.engine.containers(&self.place).into_iter().chain(ahead) {
            self.engine.call(&["rm", "--force", "--volumes", &id]);
        }
    }
}

/// A name that no other test uses.
fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
