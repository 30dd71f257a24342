//! What tasks themselves say of the GPUs that they want.

use serde_json::{Value, json};

use super::{arguments, begun, create, explain, held, notes, property};
use crate::harness::{Daemon, Gate, Place, Server, audit, eventually};

#[test]
fn a_task_says_how_many_gpus_it_wants() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    api.call("queues.create", json!({ "name": "single" }));
    let enqueue = |name: &str, more: Value| {
        let task = create(&place, &api, name, None, more);
        api.enqueue(&task, "single");
        task
    };
    // All in one queue: each that is refused must let the next pass.
    let wanted = [
        ("property", property("2"), 2),
        ("elastic", property("1-8"), 4),
        ("container", arguments("--ipc=host --gpus 3"), 3),
        ("both", [property("1"), arguments("--gpus 3")].into_iter().reduce(merged).unwrap(), 1),
        ("all", arguments("--gpus all"), 1),
        ("half", property("0.5"), 1),
    ];
    let refused = [
        ("nonsense", property("two"), "the user property hostler_gpus: `two` is no number of GPUs"),
        ("pinned", arguments("--gpus '\"device=0,1\"'"), "names cards"),
        ("too-many", property("9"), "wants 9 GPUs (says its user property hostler_gpus); this machine gives out 4"),
        ("no-instance", property("1g.10gb@mig"), "this machine gives out 0 of that kind"),
    ];
    let refused = refused.map(|(name, more, why)| (enqueue(name, more), why));
    let granted: Vec<(String, &str, usize)> =
        wanted.into_iter().map(|(name, more, count)| (enqueue(name, more), name, count)).collect();
    let _daemon = Daemon::start(&place, &server, &["--simulate", "4xH100", "--dynamic-gpus", "--queue", "single=1"]);
    for (task, why) in &refused {
        let task = api.ended_as(task, "failed");
        let reason = task["status_reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why) && reason.starts_with("user failure"), "{why:?} is not in {reason}");
    }
    for (task, _, _) in &granted {
        api.ended_as(task, "completed");
    }
    let mut begun = begun(&place);
    let mut expected: Vec<(String, usize)> =
        granted.iter().map(|(_, name, count)| ((*name).to_owned(), *count)).collect();
    // How many an elastic one gets depends on who has ended when it is looked at.
    for counts in [&mut begun, &mut expected] {
        counts.iter_mut().filter(|(name, _)| name == "elastic").for_each(|(_, count)| *count = (*count).clamp(1, 1));
        counts.sort();
    }
    assert_eq!(begun, expected);
    audit(&place);
}

fn merged(mut one: Value, other: Value) -> Value {
    let Value::Object(other) = other else { panic!("{other} is an object") };
    one.as_object_mut().unwrap().extend(other);
    one
}

#[test]
fn what_is_too_large_here_is_left_to_other_workers() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    api.call("queues.create", json!({ "name": "shared" }));
    let register = json!({ "worker": "elsewhere:dgpu0-15", "queues": [api.queue("shared")] });
    api.call("workers.register", register.clone());
    let _daemon = Daemon::start(&place, &server, &["--simulate", "2xH100", "--dynamic-gpus", "--queue", "shared=1"]);
    let task = create(&place, &api, "large", None, property("16"));
    api.enqueue(&task, "shared");
    eventually("the large one was judged", || {
        explain(&place, "large", &[]).1.contains("never starts here: there are 2 GPUs of that kind")
    });
    assert_eq!(api.status(&task), "queued");
    // With the other worker goes the hope.
    api.call("workers.unregister", register);
    let task = api.ended_as(&task, "failed");
    assert!(task["status_reason"].as_str().unwrap().contains("no other worker serves the queue"), "{task:#}");
    audit(&place);
}

#[test]
fn instances_are_leased_by_their_size() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    std::fs::write(
        place.path("machine"),
        "cards 2 H100\ninstance 1 3g.40gb 4\ninstance 1 1g.10gb 0\ninstance 1 1g.10gb 1\n",
    )
    .unwrap();
    let machine = place.path("machine");
    let queues = ["small=1g.10gb@mig", "big=3g.40gb@mig", "whole=1"];
    for queue in ["small", "big", "whole"] {
        api.call("queues.create", json!({ "name": queue }));
    }
    let base = ["--simulate", machine.to_str().unwrap(), "--dynamic-gpus", "--queue"];
    let daemon = Daemon::start(&place, &server, &[base.as_slice(), &queues].concat());
    let enqueue = |name: &str, queue: &str| {
        let task = create(&place, &api, name, Some(&gate), Value::Null);
        api.enqueue(&task, queue);
        task
    };
    let tasks = [
        enqueue("small-0", "small"),
        enqueue("small-1", "small"),
        enqueue("big-0", "big"),
        enqueue("whole-0", "whole"),
        enqueue("small-2", "small"),
    ];
    eventually("every instance and the card are in use", || begun(&place).len() == 4);
    eventually("the third small one waits for an instance", || {
        explain(&place, "small", &[]).1.contains("wants 1g.10gb@mig GPU(s), says its queue\nwaits for GPU 1;")
    });
    let seen = |name: &str| notes(&place).into_iter().find(|note| note.name == name).unwrap().cards;
    for (task, name) in tasks.iter().zip(["small-0", "small-1", "big-0", "whole-0"]) {
        assert_eq!(held(&daemon, &place, task), Some(seen(name)), "{name}");
    }
    assert!(seen("small-0")[0].starts_with("MIG-") && seen("whole-0")[0].starts_with("GPU-"));
    let distinct: std::collections::BTreeSet<Vec<String>> = ["small-0", "small-1", "big-0", "whole-0"].map(seen).into();
    assert_eq!(distinct.len(), 4);
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    audit(&place);
}
