//! `gpu_patience`: how many others may pass a task before cards are kept for it.

use serde_json::{Value, json};

use super::{begun, create, explain};
use crate::harness::{Daemon, Gate, Place, Server, audit, eventually};

#[test]
fn so_many_pass_a_large_task_and_no_more() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    for queue in ["dual", "single"] {
        api.call("queues.create", json!({ "name": queue }));
    }
    let configuration = place.path("clearml-patience.conf");
    let text = std::fs::read_to_string(server.configuration_file()).unwrap();
    std::fs::write(&configuration, format!("{text}\nagent.hostler.gpu_patience: 1\n")).unwrap();
    let arguments = ["--simulate", "2xH100", "--dynamic-gpus", "--queue", "dual=2", "single=1"];
    let environment = [("CLEARML_CONFIG_FILE", configuration.to_str().unwrap())];
    let daemon = Daemon::start_with(&place, &server, &arguments, &environment);
    daemon.status(&place);
    let mut gates: Vec<Gate> = (0..3).map(|number| Gate::shut(&place.path(&format!("gate-{number}")))).collect();
    let enqueue = |name: &str, queue: &str, gate: &Gate| {
        let task = create(&place, &api, name, Some(gate), Value::Null);
        api.enqueue(&task, queue);
        task
    };
    let names = || begun(&place).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let says = |of: &str, part: &str| eventually(part, || explain(&place, of, &[]).1.contains(part));

    let first = enqueue("first", "single", &gates[0]);
    eventually("the first runs", || names().len() == 1);
    let large = enqueue("large", "dual", &gates[2]);
    says(&large, "keeps no GPU yet: 0 of the 1 others that may pass it have");
    let passes = enqueue("passes", "single", &gates[1]);
    eventually("one passes", || names() == ["first", "passes"]);
    let behind = enqueue("behind", "single", &gates[2]);
    says(&large, "waits for GPU 0,1; starts at the latest when");
    // A card is free now, and kept.
    gates[1].open();
    api.ended_as(&passes, "completed");
    says(&behind, "every GPU is kept for the tasks before it");
    gates[0].open();
    gates[2].open();
    for task in [&first, &large, &behind] {
        api.ended_as(task, "completed");
    }
    assert_eq!(names(), ["first", "passes", "large", "behind"]);
    audit(&place);
}
