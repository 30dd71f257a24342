//! Pipelines, searches and `clearml-task`: the unmodified SDK makes tasks by itself, our daemon executes them.

use serde_json::json;

use crate::harness::{Daemon, Place, Server, audit, run_scenario};

/// One server and one daemon with a worker for a controller and two for its steps. The scenarios run one after another,
/// so that they share the environments that the daemon has built.
#[track_caller]
fn check(scenarios: &[&[&str]]) {
    let place = Place::new();
    let server = Server::start(&place);
    server.api().call("queues.create", json!({ "name": "services" }));
    let workers = ["--cpu-only", "--workers", "3", "--queue", "default", "services"];
    let _daemon = Daemon::start(&place, &server, &workers);
    for scenario in scenarios {
        let finished = run_scenario(&place, &server, scenario[0], &scenario[1..]);
        let (stdout, stderr) = (&finished.stdout, &finished.stderr);
        assert!(finished.status.success(), "{scenario:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    }
    audit(&place);
}

#[test]
fn from_functions_and_decorators() {
    check(&[&["pipelines", "functions", "all"], &["pipelines", "decorators", "all"]]);
}

#[test]
fn from_tasks_and_on_this_machine() {
    check(&[
        &["pipelines", "tasks", "steps"],
        &["pipelines", "functions", "here"],
        &["pipelines", "decorators", "here"],
    ]);
}

#[test]
fn a_search_of_eight_trials() {
    check(&[&["optimisation"]]);
}

#[test]
fn from_a_command_line() {
    check(&[&["command_line"]]);
}
