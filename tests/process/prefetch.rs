//! Tasks that wait: their code and environments are there before their turn comes, at nobody's expense.

use std::path::PathBuf;
use std::time::Duration;

use protocols::control::PrefetchStatus;
use serde_json::{Value, json};

use crate::harness::{
    Api, Daemon, Draft, Gate, Place, ProcessExt as _, Server, audit, eventually, eventually_some, is_alive, kill,
    new_repository,
};

const ARGUMENTS: [&str; 4] = ["--cpu-only", "--workers", "1", "--prefetch"];
const BUILT: &str = "building an environment";

/// A server, a daemon with one worker, and a task that holds that worker until the gate opens.
struct Busy {
    daemon: Daemon,
    gate: Gate,
    holder: String,
    api: Api,
    server: Server,
}

impl Busy {
    fn start(place: &Place) -> Self {
        let server = Server::start(place);
        let daemon = Daemon::start(place, &server, &ARGUMENTS);
        let api = server.api();
        let gate = Gate::shut(&place.path("gate"));
        let program = format!("print('UP', flush=True)\n{}\n", gate.python());
        let holder = Draft::script("holder", &program).enqueue(&api);
        eventually("the holder runs", || !api.console_lines(&holder, "UP").is_empty());
        Self { daemon, gate, holder, api, server }
    }

    fn prefetch(&self, place: &Place) -> PrefetchStatus {
        self.daemon.status(place).prefetch.unwrap_or_default()
    }

    fn end(self, place: &Place) {
        self.api.ended_as(&self.holder, "completed");
        eventually("nothing is left to show", || self.prefetch(place) == PrefetchStatus::default());
        let left = std::fs::read_dir(place.path("state/prefetch")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "folders of preparations are left");
        audit(place);
    }
}

/// What `hostler env ARGUMENTS --json` prints.
fn env(place: &Place, arguments: &[&str]) -> Value {
    let finished = place.hostler().arg("--json").arg("env").args(arguments).finish_within(Duration::from_secs(60));
    serde_json::from_str(&finished.ok()).unwrap()
}

fn environments(place: &Place) -> usize {
    env(place, &["list"]).as_array().unwrap().len()
}

/// A package whose build says how nice it is, and then waits at a gate.
struct SlowPackage {
    requirement: String,
    gate: Gate,
    says: PathBuf,
}

impl SlowPackage {
    fn new(place: &Place) -> Self {
        let (gate, says) = (Gate::shut(&place.path("build-gate")), place.path("builds"));
        let program = format!(
            "import os\nwith open({says:?}, 'a') as file:\n    file.write('%d %d\\n' % (os.getpid(), os.nice(0)))\n{}\n\
             from setuptools import setup\nsetup(name='slowly', version='1.0', py_modules=['slowly'])\n",
            gate.python()
        );
        let project = "[build-system]\nrequires = ['setuptools==75.8.0']\nbuild-backend = 'setuptools.build_meta'\n";
        let repository = place.path("slowly");
        let files = [("setup.py", program.as_str()), ("pyproject.toml", project), ("slowly.py", "VERSION = 1\n")];
        let commit = new_repository(&repository, &files);
        Self { requirement: format!("slowly @ git+file://{}@{commit}", repository.display()), gate, says }
    }

    /// Process and niceness of each beginning of the build.
    fn builds(&self) -> Vec<(i32, i32)> {
        let text = std::fs::read_to_string(&self.says).unwrap_or_default();
        let number = |text: &str| text.parse().unwrap();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(pid, nice)| (number(pid), number(nice))).collect()
    }

    fn draft(&self) -> Draft {
        Draft::script("slow", "import slowly\nprint('GOT', slowly.VERSION)\n").requirements(&self.requirement)
    }
}

/// That of this process, which its daemons have too.
pub(crate) fn own_niceness() -> i32 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

/// The process that prepares ahead.
pub(crate) fn preparer(place: &Place) -> Option<i32> {
    place.running().into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(14).any(|word| word == b"--prefetch-for")
    })
}

#[test]
fn what_a_task_needs_is_there_when_its_turn_comes() {
    let place = Place::new();
    let repository = place.path("code");
    let commit = new_repository(&repository, &[("run.py", "import six\nprint('GOT', six.__version__)\n")]);
    let mut busy = Busy::start(&place);
    let url = repository.to_str().unwrap();
    let draft = Draft::repository("waits", url, "run.py").with("version_num", commit.as_str());
    let task = draft.requirements("six==1.17.0").enqueue(&busy.api);
    let wrong = Draft::script("wrong", "").requirements("six==99.99").enqueue(&busy.api);
    eventually("both were looked at", || {
        let prefetch = busy.prefetch(&place);
        prefetch.ready.contains(&task.as_str().into()) && prefetch.failed.contains_key(&wrong.as_str().into())
    });
    // Nobody has claimed them.
    let queue = busy.api.queue("default");
    let entries = busy.api.call("queues.get_by_id", json!({ "queue": queue }))["queue"]["entries"].clone();
    let waiting: Vec<&str> = entries.as_array().unwrap().iter().filter_map(|entry| entry["task"].as_str()).collect();
    assert_eq!(waiting, [task.as_str(), wrong.as_str()]);
    for id in [&task, &wrong] {
        assert_eq!(busy.api.status(id), "queued");
        assert_eq!(busy.api.console(id), "");
    }
    assert_eq!(environments(&place), 2, "that of the holder and one more");
    // The remote is not needed any more either.
    std::fs::rename(&repository, place.path("gone")).unwrap();
    busy.gate.open();
    busy.api.ended_as(&task, "completed");
    assert_eq!(busy.api.console_lines(&task, "GOT"), ["GOT 1.17.0"]);
    let console = busy.api.console(&task);
    assert!(console.contains(", reused") && !console.contains(BUILT), "{console}");
    assert_eq!(env(&place, &["why", &task])["outcome"], "hit");
    let failed = busy.api.ended_as(&wrong, "failed");
    assert!(failed["status_reason"].as_str().unwrap().contains("environment"), "{}", failed["status_reason"]);
    assert_eq!(env(&place, &["verify"])["damages"], Value::Array(vec![]));
    busy.end(&place);
}

#[test]
fn a_task_whose_turn_has_come_waits_for_no_preparation() {
    let place = Place::new();
    let mut slow = SlowPackage::new(&place);
    let mut busy = Busy::start(&place);
    let task = slow.draft().enqueue(&busy.api);
    let (ahead, niceness) = eventually_some("it is built ahead", || slow.builds().first().copied());
    let lowest = (own_niceness() + 19).min(19);
    assert_eq!(niceness, lowest);
    assert_eq!(busy.prefetch(&place).now, Some(task.as_str().into()));
    busy.gate.open();
    // The build that was begun for later is over, though nobody has let it through.
    let (_, niceness) = eventually_some("it is built", || slow.builds().into_iter().find(|build| build.1 != lowest));
    assert_eq!(niceness, own_niceness());
    eventually("what was begun for later is gone", || !is_alive(ahead) && preparer(&place).is_none());
    slow.gate.open();
    busy.api.ended_as(&task, "completed");
    assert_eq!(busy.api.console_lines(&task, "GOT"), ["GOT 1"]);
    assert_eq!(env(&place, &["verify"])["damages"], Value::Array(vec![]));
    busy.end(&place);
}

#[test]
fn a_preparation_that_is_killed_leaves_nothing() {
    let place = Place::new();
    let mut slow = SlowPackage::new(&place);
    let mut busy = Busy::start(&place);
    let task = slow.draft().enqueue(&busy.api);
    let (build, _) = eventually_some("it is built ahead", || slow.builds().first().copied());
    kill(eventually_some("its preparer", || preparer(&place)));
    eventually("the daemon sees it", || busy.prefetch(&place).failed.contains_key(&task.as_str().into()));
    eventually("nothing of it lives", || !is_alive(build));
    assert_eq!(environments(&place), 1, "that of the holder");
    assert_eq!(env(&place, &["verify"])["damages"], Value::Array(vec![]));

    // A daemon that is killed does not leave one behind: the next one begins anew.
    busy.daemon.kill();
    busy.daemon = Daemon::start(&place, &busy.server, &ARGUMENTS);
    let (build, _) = eventually_some("it is built ahead again", || slow.builds().get(1).copied());
    let left = eventually_some("its preparer", || preparer(&place));
    busy.daemon.kill();
    eventually("it ends by itself", || !is_alive(left) && !is_alive(build));
    busy.daemon = Daemon::start(&place, &busy.server, &ARGUMENTS);
    slow.gate.open();
    busy.gate.open();
    busy.api.ended_as(&task, "completed");
    assert_eq!(busy.api.console_lines(&task, "GOT"), ["GOT 1"]);
    assert_eq!(env(&place, &["verify"])["damages"], Value::Array(vec![]));
    busy.end(&place);
}

#[test]
fn a_task_that_was_changed_is_prepared_anew() {
    let place = Place::new();
    let mut busy = Busy::start(&place);
    let draft = |version: &str| {
        Draft::script("waits", "import six\nprint('GOT', six.__version__)\n").requirements(&format!("six=={version}"))
    };
    let task = draft("1.16.0").enqueue(&busy.api);
    let is_ready = |busy: &Busy| busy.prefetch(&place).ready.contains(&task.as_str().into());
    eventually("it is there", || is_ready(&busy));
    // Taken out, changed, put in again.
    busy.api.call("tasks.dequeue", json!({ "task": task }));
    eventually("it is forgotten", || !is_ready(&busy));
    let script = json!({ "binary": "python3", "entry_point": "program.py", "working_dir": ".",
        "diff": "import six\nprint('GOT', six.__version__)\n", "requirements": { "pip": "six==1.15.0" } });
    busy.api.call("tasks.edit", json!({ "task": task, "script": script }));
    busy.api.enqueue(&task, "default");
    eventually("it is there again", || is_ready(&busy));
    assert_eq!(environments(&place), 3, "that of the holder, the one before the change, and the one after it");
    busy.gate.open();
    busy.api.ended_as(&task, "completed");
    assert_eq!(busy.api.console_lines(&task, "GOT"), ["GOT 1.15.0"]);
    assert!(!busy.api.console(&task).contains(BUILT));
    busy.end(&place);
}
