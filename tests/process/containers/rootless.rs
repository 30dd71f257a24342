//! An agent that is nobody special, and Podman without root: root of a container is the agent's user, everybody else in
//! it a number that no user of this machine has.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{DEAF, Engine, Farm, POLITE};
use crate::harness::{Draft, Gate, User, audit, eventually, is_alive, lines_with};

/// Everything below a folder that is not a user's.
pub(super) fn of_others(folder: &Path, user: User) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // What is gone is nobody's.
        let Ok(metadata) = entry.metadata() else { continue };
        let path = entry.path();
        if (metadata.uid(), metadata.gid()) != (user.uid, user.gid) {
            found.push(path.clone());
        }
        if metadata.is_dir() {
            found.extend(of_others(&path, user));
        }
    }
    found
}

/// A farm whose daemon is told nothing but what every session of a user knows.
pub(super) fn farm(engine: &Engine, arguments: &[&str]) -> (Farm, PathBuf) {
    let socket = Path::new(engine.address.trim_start_matches("unix://"));
    let session = socket.ancestors().nth(2).unwrap().to_owned();
    let environment = [("XDG_RUNTIME_DIR", session.to_str().unwrap()), ("CONTAINER_HOST", "")];
    (Farm::start_with(engine, arguments, &environment), session)
}

/// Nothing is left of its tasks, and nothing that is there is anybody else's.
pub(super) fn is_left_clean(farm: &Farm, session: &Path) {
    farm.is_clean();
    let attempts = || std::fs::read_dir(farm.place.path("state/attempts")).into_iter().flatten().count();
    eventually("no attempt's folder", || attempts() == 0);
    let user = farm.engine.user.unwrap();
    for folder in ["state", "home"] {
        assert_eq!(of_others(&farm.place.path(folder), user), Vec::<PathBuf>::new(), "files of others");
    }
    let memory = session.join(format!("hostler-{}", user.uid));
    let marks = || std::fs::read_dir(&memory).into_iter().flatten().count();
    eventually("an empty folder in memory", || marks() == 0);
    audit(&farm.place);
}

#[test]
fn a_task_runs_as_root_that_is_none_and_what_it_writes_is_its_users() {
    let Some(engine) = Engine::rootless() else { return };
    let user = engine.user.unwrap();
    let (farm, session) = farm(&engine, &["--workers", "1"]);
    let program = "import os, six\n\
        print('uid', os.getuid(), 'really', open('/proc/self/uid_map').read().split()[1])\n\
        print('six', six.__version__)\n\
        open('result.txt', 'w').write('kept')\n\
        os.makedirs(os.path.expanduser('~/.clearml/cache/mine'), exist_ok=True)\n";
    let draft = Draft::script("packages", program).requirements("six==1.16.0");
    let container = json!({ "image": "hostler-test/python", "setup_shell_script": "echo set up" });
    let task = farm.enqueue(&draft, container.clone());
    farm.api.ended_as(&task, "completed");
    let console = farm.api.console(&task);
    assert!(console.contains(&format!("uid 0 really {}", user.uid)), "{console}");
    assert!(console.contains("set up") && console.contains("six 1.16.0"), "{console}");
    let again = farm.enqueue(&draft, container);
    farm.api.ended_as(&again, "completed");
    assert!(farm.api.console(&again).contains("reused"), "{}", farm.api.console(&again));
    is_left_clean(&farm, &session);
}

#[test]
fn a_user_of_the_image_may_write_and_leaves_nothing_that_its_agent_cannot_remove() {
    let Some(engine) = Engine::rootless() else { return };
    let (farm, session) = farm(&engine, &["--workers", "1"]);
    let program = "import os\nos.makedirs('deep/er')\nopen('deep/er/mine', 'w').write('x')\nos.chmod('deep', 0o700)\n\
        print('uid', os.getuid(), os.environ['HOME'])\nimport six\nprint('six', six.__version__)\n";
    let draft = Draft::script("user", program).requirements("six==1.16.0");
    let task = farm.enqueue(&draft, json!({ "image": "hostler-test/user" }));
    farm.api.ended_as(&task, "completed");
    let console = farm.api.console(&task);
    assert!(console.contains("uid 1234 /home/me") && console.contains("six 1.16.0"), "{console}");
    is_left_clean(&farm, &session);
}

#[test]
fn an_abort_is_heard_and_otherwise_enforced() {
    let Some(engine) = Engine::rootless() else { return };
    let (farm, session) = farm(&engine, &["--workers", "2"]);
    let tasks = [POLITE, DEAF].map(|program| Draft::script("abort", program).enqueue(&farm.api));
    for task in &tasks {
        eventually("a task that is ready", || farm.api.console(task).lines().any(|line| line == "ready"));
    }
    tasks.iter().for_each(|task| drop(farm.api.call("tasks.stop", json!({ "task": task }))));
    tasks.iter().for_each(|task| drop(farm.api.ended_as(task, "stopped")));
    assert!(farm.api.console(&tasks[0]).contains("last words"), "{}", farm.api.console(&tasks[0]));
    is_left_clean(&farm, &session);
}

#[test]
fn containers_outlive_their_daemon_and_nothing_is_lost() {
    let Some(engine) = Engine::rootless() else { return };
    let arguments = ["--workers", "3"];
    let (mut farm, session) = farm(&engine, &arguments);
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let program = format!(
        "for number in range(200):\n    print('early', number, flush=True)\n{}\nfor number in range(200):\n    \
         print('late', number, flush=True)\nraise SystemExit(5)\n",
        gate.python()
    );
    let container =
        json!({ "image": "hostler-test/python", "arguments": format!("-v {0}:{0}", farm.place.path("").display()) });
    let draft = Draft::script("outlives", &program);
    let tasks: Vec<String> = (0..3).map(|_| farm.enqueue(&draft, container.clone())).collect();
    for task in &tasks {
        eventually("a task at its gate", || farm.api.console_lines(task, "early").len() == 200);
    }
    farm.daemon.kill();
    // One executor dies with its daemon: its container is to be removed, by whom it no longer belongs to.
    let victim = farm.daemon.executor_of(&tasks[2]).pid;
    crate::harness::kill(victim);
    eventually("the end of an executor", || !is_alive(victim));
    gate.open();
    farm.again_with(&arguments, &[("XDG_RUNTIME_DIR", session.to_str().unwrap())]);
    for task in &tasks[..2] {
        let ended = farm.api.ended_as(task, "failed");
        assert_eq!(ended["status_reason"], "worker execution exit code 5");
        assert_eq!(farm.api.console_lines(task, "early"), lines_with("early", 200));
        assert_eq!(farm.api.console_lines(task, "late"), lines_with("late", 200));
    }
    let ended = farm.api.ended_as(&tasks[2], "failed");
    assert!(ended["status_reason"].as_str().unwrap().contains("infrastructure"), "{ended}");
    is_left_clean(&farm, &session);
}
