//! The engine itself dies while containers run. An engine of the test's own: the others' go on.

use serde_json::json;

use super::own_engine::OwnEngine;
use super::{Engine, Farm};
use crate::harness::{Draft, Gate, audit, eventually, lines_with};

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
    let Some(mut own) = OwnEngine::start(&shared, &["--live-restore"]) else { return };
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
    let Some(mut own) = OwnEngine::start(&shared, &["--live-restore"]) else { return };
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
    let Some(mut own) = OwnEngine::start(&shared, &[]) else { return };
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
