//! The commands that look after a server's users, with the server running and stopped.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Finished, Place, ProcessExt, Server};

/// Runs a command below `hostler server` on the data directory of the place.
fn run(place: &Place, line: &[&str]) -> Finished {
    let mut command = place.hostler();
    command.arg("server").args(line).arg("--data-dir").arg(place.path("data"));
    command.finish_within(Duration::from_secs(60))
}

/// What a command prints for programs.
#[track_caller]
fn json(place: &Place, line: &[&str]) -> Value {
    let text = run(place, &[line, &["--json"]].concat()).ok();
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{line:?}: {error}: {text}"))
}

#[test]
fn users_are_listed_while_the_server_runs_and_while_it_does_not() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let running = json(&place, &["user", "list"]);
    assert_eq!(running[0]["name"], "admin");
    server.kill();
    assert_eq!(json(&place, &["user", "list"]), running);
    assert!(run(&place, &["user", "list"]).ok().contains("admin"));
    // The lock is given back.
    server.restart(&place);
    assert_eq!(json(&place, &["user", "list"]), running);
}

#[test]
fn a_directory_without_a_server_is_left_alone() {
    let place = Place::new();
    let finished = run(&place, &["user", "list"]);
    assert_eq!(finished.code(), 78, "{finished:#?}");
    assert!(finished.stderr.contains("no server has been started in"), "{finished:#?}");
    assert!(!place.path("data").exists());
}
