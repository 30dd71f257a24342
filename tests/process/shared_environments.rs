//! The store of environments under real tasks: built once, left alone while in use, changed by nobody.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Daemon, Draft, Gate, PATIENCE, Place, ProcessExt as _, Server, audit, eventually, within};

const BUILT: &str = "building an environment";

/// What `hostler env ARGUMENTS --json` prints.
fn env(place: &Place, arguments: &[&str]) -> Value {
    let finished = place.hostler().arg("--json").arg("env").args(arguments).finish_within(Duration::from_secs(60));
    assert!(finished.status.success(), "{}{}", finished.stdout, finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn ten_tasks_with_the_same_new_requirements_build_it_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "10"]);
    let api = server.api();
    let program = "import six, idna\nprint('GOT', six.__version__, idna.__version__)\n";
    let draft = Draft::script("same", program).requirements("six==1.17.0\nidna==3.10\n");
    let tasks: Vec<String> = (0..10).map(|_| draft.enqueue(&api)).collect();
    let consoles: Vec<String> = tasks
        .iter()
        .map(|task| {
            api.ended_as(task, "completed");
            assert_eq!(api.console_lines(task, "GOT"), ["GOT 1.17.0 3.10"]);
            api.console(task)
        })
        .collect();
    let (builders, others): (Vec<_>, Vec<_>) = consoles.iter().partition(|console| console.contains(BUILT));
    assert_eq!(builders.len(), 1, "{consoles:#?}");
    assert!(others.iter().all(|console| console.contains(", reused")), "{others:#?}");

    let eleventh = draft.enqueue(&api);
    api.ended_as(&eleventh, "completed");
    assert!(!api.console(&eleventh).contains(BUILT));
    assert_eq!(env(&place, &["why", &eleventh])["outcome"], "hit");
    let outcomes: Vec<Value> = tasks.iter().map(|task| env(&place, &["why", task])["outcome"].clone()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "built").count(), 1, "{outcomes:?}");

    let other = Draft::script("other", program).requirements("six==1.16.0\nidna==3.10\n").enqueue(&api);
    api.ended_as(&other, "completed");
    let why = env(&place, &["why", &other]);
    assert_eq!(why["outcome"], "built");
    assert_eq!(why["nearest"]["difference"]["here"][0], "requirement: six==1.16.0", "{why:#}");
    // How long it all took is in the log, and as scalars.
    assert!(api.console(&other).contains("prepared: checkout "), "{}", api.console(&other));
    let scalars = api.call("events.get_task_latest_scalar_values", serde_json::json!({"task": other}));
    assert!(scalars.to_string().contains("environment (s)"), "{scalars:#}");
    assert!(api.console(&other).contains("the nearest one has requirement: six==1.17.0"));
    let list = env(&place, &["list"]);
    assert_eq!(list.as_array().unwrap().len(), 2, "{list:#}");
    assert_eq!(list[0]["task"], other.as_str());
    eventually("nobody uses them any more", || {
        env(&place, &["list"]).as_array().unwrap().iter().all(|environment| environment["in_use"] == false)
    });
    assert_eq!(env(&place, &["verify"])["damages"], Value::Array(vec![]));
    audit(&place);
}

#[test]
fn what_is_in_use_is_not_evicted() {
    let place = Place::new();
    let server = Server::start(&place);
    let limits = [("CLEARML_AGENT__AGENT__VENVS_CACHE__MAX_ENTRIES", "2")];
    let _daemon = Daemon::start_with(&place, &server, &["--cpu-only", "--workers", "5"], &limits);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let program = format!("print('UP', flush=True)\n{}\nimport idna\nprint('GOT', idna.__version__)\n", gate.python());
    let versions = ["3.5", "3.6", "3.7", "3.8"];
    let held: Vec<String> = versions
        .iter()
        .map(|version| Draft::script("held", &program).requirements(&format!("idna=={version}")).enqueue(&api))
        .collect();
    for task in &held {
        eventually("it runs", || !api.console_lines(task, "UP").is_empty());
    }
    // Each of these needs room.
    for version in ["3.9", "3.10"] {
        let task = Draft::script("passing", "import idna\nprint('GOT', idna.__version__)\n")
            .requirements(&format!("idna=={version}"))
            .enqueue(&api);
        api.ended_as(&task, "completed");
    }
    // A task has ended a moment before its executor lets go.
    let list = within(PATIENCE, "as many in use as are held", || {
        let list = env(&place, &["list"]);
        let in_use = list.as_array().unwrap().iter().filter(|environment| environment["in_use"] == true).count();
        if in_use == held.len() { Ok(list) } else { Err(format!("{list:#}")) }
    });
    assert!(list.as_array().unwrap().len() <= held.len() + 1, "{list:#}");
    gate.open();
    for (task, version) in held.iter().zip(versions) {
        api.ended_as(task, "completed");
        assert_eq!(api.console_lines(task, "GOT"), [format!("GOT {version}")]);
    }
    eventually("room is made", || {
        env(&place, &["prune", "--keep", "1"]);
        env(&place, &["list"]).as_array().unwrap().len() == 1
    });
    audit(&place);
}

#[test]
fn a_task_installs_for_itself_alone() {
    let place = Place::new();
    let server = Server::start(&place);
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let api = server.api();
    let look = "import importlib, importlib.util as u, six\nprint('GOT', u.find_spec('attr') is not None, \
                importlib.reload(six).__version__)\n";
    let install = "import os, subprocess, sys\n\
                   subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', 'attrs==23.1.0'])\n\
                   os.system('pip install -q six==1.15.0')\n";
    let task = |program: &str| {
        let task = Draft::script("installs", program).requirements("six==1.17.0").enqueue(&api);
        api.ended_as(&task, "completed");
        api.console_lines(&task, "GOT")
    };
    assert_eq!(task(&format!("{install}{look}")), ["GOT True 1.15.0"]);
    assert_eq!(task(look), ["GOT False 1.17.0"]);
    assert_eq!(env(&place, &["verify"])["damages"], Value::Array(vec![]));
    audit(&place);
}
