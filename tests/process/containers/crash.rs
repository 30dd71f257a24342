//! Deaths of every part while containers run.

use serde_json::json;

use super::{Engine, Farm};
use crate::harness::{Draft, Gate, audit, eventually, eventually_some, kill, lines_with};

/// Lines before a gate, and lines after it.
fn program(gate: &Gate, count: usize) -> String {
    format!(
        "for number in range({count}):\n    print('early', number, flush=True)\n{}\nfor number in range({count}):\n    \
         print('late', number, flush=True)\nraise SystemExit(5)\n",
        gate.python()
    )
}

fn mount(farm: &Farm) -> serde_json::Value {
    let place = farm.place.path("");
    json!({ "image": "hostler-test/python", "arguments": format!("-v {0}:{0}", place.display()) })
}

#[test]
fn six_containers_outlive_their_daemon_and_nothing_is_lost() {
    for engine in Engine::all() {
        let arguments = ["--workers", "6"];
        let mut farm = Farm::start(&engine, &arguments);
        let mut gate = Gate::shut(&farm.place.path("gate"));
        let draft = Draft::script("outlives", &program(&gate, 200));
        let tasks: Vec<String> = (0..6).map(|_| farm.enqueue(&draft, mount(&farm))).collect();
        for task in &tasks {
            eventually("a task at its gate", || farm.api.console_lines(task, "early").len() == 200);
        }
        // One more where byte code of the environment is still compiled.
        assert!(farm.engine.containers(&farm.place).len() >= 6);
        farm.daemon.kill();
        gate.open();
        farm.again(&arguments);
        for task in &tasks {
            let ended = farm.api.ended_as(task, "failed");
            assert_eq!(ended["status_reason"], "worker execution exit code 5");
            assert_eq!(farm.api.console_lines(task, "early"), lines_with("early", 200));
            assert_eq!(farm.api.console_lines(task, "late"), lines_with("late", 200));
        }
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn a_container_that_is_killed_from_outside_is_an_infrastructure_failure() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let gate = Gate::shut(&farm.place.path("gate"));
        let task = farm.enqueue(&Draft::script("killed", &program(&gate, 1)), mount(&farm));
        eventually("a task at its gate", || farm.api.console_lines(&task, "early").len() == 1);
        let container = eventually_some("its container", || engine.container_of(&farm.place, &task));
        kill(i32::try_from(container["State"]["Pid"].as_i64().unwrap()).unwrap());
        let reason = farm.failure(&task);
        assert!(reason.contains("infrastructure failure while running"), "{reason}");
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn the_container_of_a_dead_executor_is_removed() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let gate = Gate::shut(&farm.place.path("gate"));
        let task = farm.enqueue(&Draft::script("orphan", &program(&gate, 1)), mount(&farm));
        eventually("a task at its gate", || farm.api.console_lines(&task, "early").len() == 1);
        farm.daemon.kill_executors();
        let ended = farm.api.ended_as(&task, "failed");
        assert!(ended["status_reason"].as_str().unwrap().contains("infrastructure"), "{ended}");
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn what_nobody_owns_is_removed_at_the_next_start() {
    let Some(engine) = Engine::docker() else { return };
    let mut farm = Farm::start(&engine, &["--workers", "1"]);
    farm.daemon.kill();
    let label = format!("hostler.attempts={}", farm.place.path("state/attempts").display());
    let labels = ["--label", &label, "--label", "hostler.attempt=gone.1.1"];
    let mut arguments = vec!["create"];
    arguments.extend(labels);
    arguments.extend(["hostler-test/python", "/bin/true"]);
    engine.say(&arguments);
    assert_eq!(engine.containers(&farm.place).len(), 1);
    farm.again(&["--workers", "1"]);
    eventually("the removal", || engine.containers(&farm.place).is_empty());
    audit(&farm.place);
}
