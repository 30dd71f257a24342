//! `hostler status --explain`.

use serde_json::{Value, json};

use super::{begun, create, explain, property};
use crate::harness::{Daemon, Gate, Place, Server, audit, eventually};

#[track_caller]
fn says(place: &Place, of: &str, parts: &[&str]) {
    let (code, text, errors) = explain(place, of, &[]);
    assert_eq!(code, 0, "{errors}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[track_caller]
fn refuses(place: &Place, of: &str, part: &str) {
    let (code, text, errors) = explain(place, of, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(errors.contains(part), "{part:?} is not in {errors}");
}

#[test]
fn what_a_task_waits_for_is_said() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    for queue in ["dual", "single", "nothing"] {
        api.call("queues.create", json!({ "name": queue }));
    }
    let arguments =
        ["--simulate", "2xH100", "--dynamic-gpus", "--queue", "dual=2", "single=1", "nothing=0.5"].as_slice();
    let _daemon = Daemon::start(&place, &server, arguments);
    let enqueue = |name: &str, queue: &str, more: Value| {
        let task = create(&place, &api, name, Some(&gate), more);
        api.enqueue(&task, queue);
        task
    };
    let runs = enqueue("first", "single", Value::Null);
    eventually("the first runs", || begun(&place).len() == 1);
    let waits = enqueue("large", "dual", Value::Null);
    let behind = enqueue("small", "single", Value::Null);
    let last = enqueue("last", "single", property("2"));
    let nowhere = create(&place, &api, "nowhere", None, Value::Null);

    eventually("the large one was judged", || explain(&place, &waits, &[]).1.contains("waits for GPU 0,1"));
    eventually("the small one was judged", || explain(&place, "small", &[]).1.contains("every GPU is kept"));
    says(&place, "first", &["does not wait: running as ", ":gpu", " with GPU "]);
    let kept = ["queue dual: 1 waiting, 0 running here, 2 GPU(s) for each", "wants 2 GPU(s), says its queue"];
    says(&place, "dual", &[kept.as_slice(), &["first (", "free, kept for it"]].concat());
    says(&place, &behind, &["queue single: 2 waiting, 1 running here", "before it: task ", " of dual, which wants 2"]);
    says(&place, &last, &["wants 2 GPU(s), says its user property hostler_gpus", "waits behind 1 of its queue"]);
    says(&place, "nothing", &["queue nothing: 0 waiting", "nothing waits"]);
    refuses(
        &place,
        "no-such-thing",
        "nothing that waits or runs here is called no-such-thing; the queues of this daemon are dual, single, nothing",
    );
    refuses(&place, &nowhere, "(nowhere) is created, and waits in no queue of this daemon");

    let (_, text, _) = explain(&place, "dual", &["--json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["task"]["id"], waits.as_str());
    assert_eq!(document["standing"]["state"], "waits_for_cards", "{document:#}");
    let cards = document["standing"]["cards"].as_array().unwrap();
    let holders: Vec<&Value> = cards.iter().filter_map(|card| card["held_by"].get(0)).collect();
    assert_eq!(holders.len(), 1, "one of the two cards is free: {document:#}");
    assert_eq!(holders[0]["id"], runs.as_str());
    gate.open();
    for task in [&runs, &waits, &behind, &last] {
        api.ended_as(task, "completed");
    }
    audit(&place);
}

#[test]
fn what_a_task_of_pinned_workers_waits_for_is_said() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let daemon = Daemon::start(&place, &server, &["--simulate", "2xH100", "--gpus", "1"]);
    let tasks: Vec<String> =
        ["first", "second", "third"].map(|name| create(&place, &api, name, Some(&gate), Value::Null)).into();
    for task in &tasks {
        api.enqueue(task, "default");
    }
    eventually("the first runs", || begun(&place).len() == 1);
    says(&place, "second", &["waits for a worker; every one of its queue is busy", ":gpu1: first ("]);
    says(&place, "default", &["queue default: 2 waiting, 1 running here", "task second ("]);
    says(&place, "third", &["waits behind 1 of its queue, the next of which is second ("]);
    let mut drain = place.hostler();
    let mut drain = drain.args(["daemon", "--drain", "--state-dir"]).arg(place.path("state")).spawn().unwrap();
    eventually("the daemon drains", || explain(&place, "second", &[]).1.contains("takes nothing new"));
    gate.open();
    api.ended_as(&tasks[0], "completed");
    assert!(drain.wait().unwrap().success());
    drop(daemon);
    audit(&place);
}
