//! MIG instances that are made and destroyed as tasks demand.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{begun, create, explain, held, notes, property};
use crate::harness::{Daemon, Gate, Place, ProcessExt as _, Server, audit, eventually};

/// Every function of the library that making, destroying or finding an instance needs.
const CALLS: [&str; 17] = [
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetGpuInstanceProfileInfoV",
    "nvmlDeviceGetGpuInstancePossiblePlacements_v2",
    "nvmlDeviceGetGpuInstances",
    "nvmlGpuInstanceGetInfo",
    "nvmlDeviceCreateGpuInstanceWithPlacement",
    "nvmlGpuInstanceGetComputeInstanceProfileInfo",
    "nvmlGpuInstanceCreateComputeInstance",
    "nvmlGpuInstanceGetComputeInstances",
    "nvmlComputeInstanceDestroy",
    "nvmlGpuInstanceDestroy",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
];

/// A machine that a test can change.
fn machine(place: &Place, scenario: &str) -> String {
    let (new, path) = (place.path("machine.new"), place.path("machine"));
    std::fs::write(&new, scenario).unwrap();
    std::fs::rename(new, &path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The instances of a card, by their names, as `hostler gpus` shows them.
fn instances(place: &Place, card: usize) -> Vec<String> {
    let mut command = place.hostler();
    command.args(["gpus", "--json", "--state-dir"]).arg(place.path("state"));
    let shown = command.finish_within(std::time::Duration::from_secs(30)).ok();
    let document: Value = serde_json::from_str(&shown).unwrap();
    let instances = document["cards"][card]["instances"].as_array().unwrap().clone();
    // `NVIDIA H100 80GB HBM3 MIG 1g.10gb (simulated)`
    let name = |instance: &Value| {
        let words: Vec<&str> = instance["name"].as_str().unwrap().split(' ').collect();
        words[words.len() - 2].to_owned()
    };
    instances.iter().map(name).collect()
}

#[test]
fn instances_are_made_for_those_who_wait_through_a_crash() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    // Card 1 has an instance that somebody else made, card 2 is whole.
    let machine = machine(&place, "cards 3 H100\nmig 0\ninstance 1 3g.40gb 4\n");
    for queue in ["large", "big", "small", "whole"] {
        api.call("queues.create", json!({ "name": queue }));
    }
    let base = ["--simulate", &machine, "--dynamic-gpus", "--mig", "dynamic", "--queue"];
    let queues = ["large=7g.80gb@mig", "big=3g.40gb@mig", "small=1g.10gb@mig", "whole=1"];
    let arguments = [base.as_slice(), &queues].concat();
    let mut daemon = Daemon::start(&place, &server, &arguments);
    let enqueue = |name: &str, queue: &str| {
        let task = create(&place, &api, name, Some(&gate), Value::Null);
        api.enqueue(&task, queue);
        task
    };
    let mut tasks: Vec<(String, &str)> = ["big-0", "big-1", "small-0", "small-1", "whole-0"]
        .map(|name| (enqueue(name, name.split('-').next().unwrap()), name))
        .into();
    eventually("an instance, or a card, for each", || begun(&place).len() == 5);
    let seen = |name: &str| notes(&place).into_iter().find(|note| note.name == name).unwrap().cards;
    let distinct: BTreeSet<Vec<String>> = tasks.iter().map(|(_, name)| seen(name)).collect();
    assert_eq!(distinct.len(), 5);
    assert!(seen("whole-0")[0].starts_with("GPU-") && seen("small-0")[0].starts_with("MIG-"));
    let count = |name: &str| (0..2).flat_map(|card| instances(&place, card)).filter(|known| known == name).count();
    assert_eq!((count("3g.40gb"), count("1g.10gb")), (2, 2), "what was there was given before more was made");

    // What would be made for whom is said before anybody asks for it.
    let explained = |demand: &str| {
        let mut command = place.hostler();
        command.args(["gpus", "--explain", demand, "--state-dir"]).arg(place.path("state"));
        command.finish_within(std::time::Duration::from_secs(60)).ok()
    };
    let small = explained("1g.10gb@mig");
    assert!(small.starts_with("1g.10gb@mig: is made on GPU ") && small.contains(", at memory slice "), "{small}");
    let large = explained("7g.80gb@mig");
    assert_eq!(large.trim(), "7g.80gb@mig: is made on GPU 0 when enough of what runs there has ended");

    // A card is kept for the large one, and a small one behind it goes to the other.
    let large = enqueue("large-0", "large");
    eventually("the large one was judged", || {
        explain(&place, &large, &[]).1.contains("waits for a MIG instance that is made for it on GPU 0, when enough")
    });
    let held_by = |daemon: &Daemon| -> Vec<_> { tasks.iter().map(|(task, _)| held(daemon, &place, task)).collect() };
    let before = held_by(&daemon);
    assert!(before.iter().all(Option::is_some));
    daemon.kill();
    let daemon = Daemon::start(&place, &server, &arguments);
    assert_eq!(held_by(&daemon), before, "a daemon that was killed knows every lease");
    gate.open();
    tasks.push((large, "large-0"));
    for (task, _) in &tasks {
        api.ended_as(task, "completed");
    }
    assert_eq!(instances(&place, 0), ["7g.80gb"], "what was idle and ours made room");
    assert!(instances(&place, 1).contains(&"3g.40gb".to_owned()), "what somebody else made stays");
    audit(&place);
}

#[test]
fn whatever_call_fails_no_task_is_lost() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    api.call("queues.create", json!({ "name": "instances" }));
    let well = "cards 1 H100\nmig 0\n";
    let path = machine(&place, well);
    let arguments = ["--simulate", &path, "--dynamic-gpus", "--mig", "dynamic", "--queue", "instances=1g.10gb@mig"];
    let _daemon = Daemon::start(&place, &server, &arguments);
    // One after the other, each of another size than the last: something is destroyed and something is made.
    for (number, call) in CALLS.iter().enumerate() {
        let wanted = if number % 2 == 0 { "7g.80gb@mig" } else { "4g.40gb@mig" };
        machine(&place, &format!("{well}fail 0 {call} UNKNOWN\n"));
        let task = create(&place, &api, &format!("task-{number}"), None, property(wanted));
        api.enqueue(&task, "instances");
        let failed = || {
            let (_, text, _) = explain(&place, &task, &[]);
            // The first of all needs nothing destroyed, and nothing looked at again.
            text.contains(&format!("the last try failed: GPU GPU-51310000-0000-4000-8000-000000000000: {call}"))
                || text.contains("the last try failed: GPU GPU-51310000-0000-4000-8000-000000000000 cannot be asked")
                || text.contains("the driver does not show it")
                || api.status(&task) == "completed"
        };
        eventually(&format!("what a failure of {call} leads to"), failed);
        machine(&place, well);
        api.ended_as(&task, "completed");
        assert_eq!(instances(&place, 0), [wanted.trim_end_matches("@mig")], "after a failure of {call}");
    }
    audit(&place);
}

#[test]
fn what_a_crash_leaves_half_made_or_half_taken_away_is_put_right() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    api.call("queues.create", json!({ "name": "instances" }));
    let well = "cards 1 H100\nmig 0\n";
    let path = machine(&place, well);
    let arguments = ["--simulate", &path, "--dynamic-gpus", "--mig", "dynamic", "--queue", "instances=1g.10gb@mig"];
    // Name, first memory slice, and whether anything can run there, of what the library has made.
    let division = || -> Vec<(String, bool)> {
        let read = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0] == "instance").then(|| (words[2].to_owned(), words[5] == "1"))
        };
        place.lines("state/simulated-driver/division").iter().filter_map(|line| read(line)).collect()
    };
    let mut daemon = Daemon::start(&place, &server, &arguments);

    // Killed when the GPU instance is made, and its compute instance is not.
    machine(&place, &format!("{well}slow 0 nvmlGpuInstanceCreateComputeInstance 600000\n"));
    let small = create(&place, &api, "small", None, Value::Null);
    api.enqueue(&small, "instances");
    eventually("one half is made", || division() == [("1g.10gb".to_owned(), false)]);
    daemon.kill();
    machine(&place, well);
    let mut daemon = Daemon::start(&place, &server, &arguments);
    api.ended_as(&small, "completed");
    assert_eq!(division(), [("1g.10gb".to_owned(), true)], "the half is gone, and a whole one is there");

    // Killed when the compute instance is taken away, and its GPU instance is not.
    machine(&place, &format!("{well}slow 0 nvmlGpuInstanceDestroy 600000\n"));
    let large = create(&place, &api, "large", None, property("7g.80gb@mig"));
    api.enqueue(&large, "instances");
    eventually("one half is taken away", || division() == [("1g.10gb".to_owned(), false)]);
    daemon.kill();
    machine(&place, well);
    let _daemon = Daemon::start(&place, &server, &arguments);
    api.ended_as(&large, "completed");
    assert_eq!(division(), [("7g.80gb".to_owned(), true)]);
    audit(&place);
}

#[test]
fn what_somebody_else_made_is_waited_for() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    api.call("queues.create", json!({ "name": "large" }));
    let path = machine(&place, "cards 1 H100\ninstance 0 1g.10gb 0\n");
    let arguments = ["--simulate", &path, "--dynamic-gpus", "--mig", "dynamic", "--queue", "large=7g.80gb@mig"];
    let _daemon = Daemon::start(&place, &server, &arguments);
    let task = create(&place, &api, "large-0", None, Value::Null);
    api.enqueue(&task, "large");
    eventually("the task was judged", || {
        explain(&place, &task, &[]).1.contains("instances that this daemon did not make are in the way")
    });
    assert_eq!((api.status(&task).as_str(), instances(&place, 0)), ("queued", vec!["1g.10gb".to_owned()]));
    // Whoever made it takes it away.
    machine(&place, "cards 1 H100\nmig 0\n");
    api.ended_as(&task, "completed");
    assert_eq!(instances(&place, 0), ["7g.80gb"]);
    audit(&place);
}

#[test]
fn what_cannot_be_divided_is_said() {
    let place = Place::new();
    let server = Server::start(&place);
    let divided = machine(&place, "cards 1 H100\nmig 0\n");
    for (arguments, expected) in [
        (["--simulate", "2xH100", "--dynamic-gpus", "--mig", "dynamic", "--queue", "q=1"].as_slice(), "in MIG mode"),
        (&["--simulate", &divided, "--dynamic-gpus", "--mig", "dynamic", "--queue", "q=1g.5gb@mig"], "no MIG instance"),
        (&["--simulate", &divided, "--dynamic-gpus", "--mig", "dynamic", "--queue", "q=1"], "there are 0 GPUs"),
        (&["--simulate", "2xH100", "--mig", "dynamic", "--queue", "q"], "--dynamic-gpus"),
    ] {
        let done = Daemon::command(&place, &server, arguments).finish_within(std::time::Duration::from_secs(60));
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{expected:?} is not in {}", done.stderr);
    }
}
