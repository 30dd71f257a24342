//! Containers that idle until a task steps into them.

use serde_json::{Value, json};

use super::{Engine, Farm};
use crate::harness::{Draft, Gate, audit, eventually, eventually_some};

/// What the console says of a task that has stepped into one.
const USED: &str = "a container that was started before is used";

/// How many containers idle, ready to be taken.
fn idle(farm: &Farm) -> usize {
    idle_kinds(farm).len()
}

/// The kinds of those that idle: image and settings. Their folders are `KIND.PID`.
fn idle_kinds(farm: &Farm) -> Vec<String> {
    let folders = std::fs::read_dir(farm.place.path("state/warm/idle")).into_iter().flatten().flatten();
    let kind = |name: String| name.split_once('.').unwrap().0.to_owned();
    folders.map(|entry| kind(entry.file_name().into_string().unwrap())).collect()
}

/// Runs a task to its end, which is as it is to be; its console.
fn run(farm: &Farm, name: &str, program: &str, container: &Value) -> String {
    let task = farm.enqueue(&Draft::script(name, program), container.clone());
    farm.api.ended_as(&task, "completed");
    farm.api.console(&task)
}

#[test]
fn a_task_steps_into_a_container_that_idles() {
    let program = "import os, sys\n\
                   here = os.getcwd()\n\
                   assert os.path.realpath(here) == here, here\n\
                   open('written', 'w').write(os.environ['CLEARML_TASK_ID'])\n\
                   assert os.path.exists(os.environ['CLEARML_CONFIG_FILE'])\n\
                   print('attempts', os.listdir(os.path.join(here, '../../..')))\n\
                   print('environment', os.environ.get('MINE'), os.getuid())\n";
    for engine in Engine::all() {
        let mut farm = Farm::start(&engine, &["--workers", "1", "--warm-containers", "1"]);
        let mut kinds = Vec::new();
        for (image, user) in [("hostler-test/python", 0), ("hostler-test/user", 1234)] {
            let container = json!({ "image": image, "arguments": "-e MINE=1 --ipc=host" });
            let first = run(&farm, "first", program, &container);
            assert!(!first.contains(USED), "{first}");
            // One of the image before may idle until this one takes its place.
            let its = |farm: &Farm| idle_kinds(farm).into_iter().find(|kind| !kinds.contains(kind));
            eventually("a container that idles", || its(&farm).is_some());
            let kind = its(&farm);
            kinds.extend(kind);
            let second = run(&farm, "second", program, &container);
            assert!(second.contains(USED) && second.contains(&format!("environment 1 {user}")), "{second}");
            // Of all attempts it sees its own alone.
            let seen = second.lines().find(|line| line.starts_with("attempts")).unwrap();
            assert_eq!(seen.matches('\'').count(), 2, "{seen}");
        }
        eventually("another one idles", || idle(&farm) == 1);
        // What is asked for otherwise is another container.
        let other = json!({ "image": "hostler-test/user", "arguments": "-e MINE=2 --ipc=host" });
        let console = run(&farm, "other", program, &other);
        assert!(!console.contains(USED) && console.contains("environment 2 1234"), "{console}");
        farm.daemon.terminate();
        eventually("nothing is left", || farm.engine.containers(&farm.place).is_empty());
        assert!(std::fs::read_dir(farm.place.path("state/attempts")).unwrap().next().is_none());
        audit(&farm.place);
    }
}

#[test]
fn what_was_taken_outlives_the_daemon_and_what_idles_does_not() {
    for engine in Engine::all() {
        let arguments = ["--workers", "1", "--warm-containers", "1"];
        let mut farm = Farm::start(&engine, &arguments);
        let place = farm.place.path("");
        let container = json!({ "image": "hostler-test/python", "arguments": format!("-v {0}:{0}", place.display()) });
        run(&farm, "first", "print('first')", &container);
        eventually("a container that idles", || idle(&farm) == 1);
        let mut gate = Gate::shut(&farm.place.path("gate"));
        let program = format!("print('early', flush=True)\n{}\nprint('late')\nraise SystemExit(5)\n", gate.python());
        let task = farm.enqueue(&Draft::script("outlives", &program), container);
        eventually("the task at its gate", || farm.api.console_lines(&task, "early").len() == 1);
        assert!(farm.api.console(&task).contains(USED));
        eventually("another one idles", || idle(&farm) == 1);
        farm.daemon.kill();
        eventually("nobody keeps it any more", || farm.engine.containers(&farm.place).len() == 1);
        assert_eq!(idle(&farm), 0);
        gate.open();
        farm.again(&arguments);
        assert_eq!(farm.api.ended_as(&task, "failed")["status_reason"], "worker execution exit code 5");
        assert_eq!(farm.api.console_lines(&task, "late"), ["late"]);
        farm.daemon.terminate();
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn the_container_that_a_dead_executor_had_taken_is_removed() {
    for engine in Engine::all() {
        let mut farm = Farm::start(&engine, &["--workers", "1", "--warm-containers", "1"]);
        let place = farm.place.path("");
        let container = json!({ "image": "hostler-test/python", "arguments": format!("-v {0}:{0}", place.display()) });
        run(&farm, "first", "print('first')", &container);
        eventually("a container that idles", || idle(&farm) == 1);
        let gate = Gate::shut(&farm.place.path("gate"));
        let program = format!("print('early', flush=True)\n{}\n", gate.python());
        let task = farm.enqueue(&Draft::script("orphan", &program), container);
        eventually("the task at its gate", || farm.api.console_lines(&task, "early").len() == 1);
        let named = format!("name=hostler.{task}");
        let id = eventually_some("its container", || {
            Some(engine.say(&["ps", "--quiet", "--filter", &named])).filter(|id| !id.is_empty())
        });
        farm.daemon.kill_executors();
        let ended = farm.api.ended_as(&task, "failed");
        assert!(ended["status_reason"].as_str().unwrap().contains("infrastructure"), "{ended}");
        assert!(!engine.call(&["inspect", &id]).status.success(), "it is still there");
        farm.daemon.terminate();
        farm.is_clean();
        audit(&farm.place);
    }
}
