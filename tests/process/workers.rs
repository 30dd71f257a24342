//! Several workers on one daemon: slots, GPU sets, names.

use serde_json::json;

use crate::harness::{Daemon, Draft, Place, Server, audit, eventually_some};

/// A program that notes its beginning and its end, and prints what it sees of the GPUs, once as many have begun as are to
/// meet.
fn observer(place: &Place, number: usize, meeting: usize) -> String {
    format!(
        "import os, time\n\
         def note(what): os.write(os.open({log:?}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), (what + '\\n').encode())\n\
         note('begin {number}')\n\
         for name in ('CUDA_VISIBLE_DEVICES', 'NVIDIA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER', 'CLEARML_WORKER_ID'):\n\
         \x20   print('SEES', name, os.environ.get(name), flush=True)\n\
         patience = time.monotonic() + 60\n\
         while open({log:?}).read().count('begin') < {meeting} and time.monotonic() < patience: time.sleep(0.01)\n\
         note('end {number}')\n",
        log = place.path("observed"),
    )
}

fn greatest_overlap(lines: &[String]) -> usize {
    let mut running = 0usize;
    lines.iter().fold(0, |greatest, line| {
        if line.starts_with("begin") {
            running += 1;
        } else {
            running -= 1;
        }
        greatest.max(running)
    })
}

#[test]
fn two_gpu_sets_run_two_tasks_at_a_time_and_each_sees_its_own() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let tasks: Vec<String> = (0..6)
        .map(|number| Draft::script(&format!("task {number}"), &observer(&place, number, 2)).enqueue(&api))
        .collect();
    let daemon = Daemon::start(&place, &server, &["--gpus", "0,1", "--gpus", "2,3"]);
    let status = daemon.status(&place);
    let ids: Vec<&str> = status.workers.iter().map(|worker| worker.id.as_str()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids[0].ends_with(":gpu0,1") && ids[1].ends_with(":gpu2,3"), "{ids:?}");

    let mut seen = std::collections::BTreeSet::new();
    for task in &tasks {
        let ended = api.ended_as(task, "completed");
        let worker = ended["last_worker"].as_str().unwrap().to_owned();
        let set = if worker == ids[0] { "0,1" } else { "2,3" };
        assert_eq!(
            api.console_lines(task, "SEES"),
            [
                format!("SEES CUDA_VISIBLE_DEVICES {set}"),
                format!("SEES NVIDIA_VISIBLE_DEVICES {set}"),
                "SEES CUDA_DEVICE_ORDER PCI_BUS_ID".to_owned(),
                format!("SEES CLEARML_WORKER_ID {worker}"),
            ],
            "task {task} on {worker}"
        );
        seen.insert(worker);
    }
    assert_eq!(seen.len(), 2, "both workers took tasks: {seen:?}");
    let observed = place.lines("observed");
    assert_eq!(observed.len(), 12, "{observed:?}");
    assert_eq!(greatest_overlap(&observed), 2, "two at a time, not more: {observed:?}");
    audit(&place);
}

#[test]
fn every_worker_is_registered_under_its_own_name_with_its_stats() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut daemon =
        Daemon::start_with(&place, &server, &["--cpu-only", "--workers", "3"], &[("CLEARML_WORKER_NAME", "testbox")]);
    let listed = |api: &crate::harness::Api| {
        let mut ids: Vec<String> = api.call("workers.get_all", json!({ "last_seen": 60 }))["workers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|worker| worker["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let ids = eventually_some("three workers", || Some(listed(&api)).filter(|ids| ids.len() == 3));
    assert_eq!(ids, ["testbox:cpu:0", "testbox:cpu:1", "testbox:cpu:2"]);
    let workers = api.call("workers.get_all", json!({ "last_seen": 60 }));
    for worker in workers["workers"].as_array().unwrap() {
        assert_eq!(worker["queues"][0]["name"], "default", "{worker:#}");
    }
    // A daemon that leaves for good takes its workers with it.
    assert!(Daemon::command(&place, &server, &["--drain"]).status().unwrap().success());
    assert_eq!(daemon.wait().code(), Some(0));
    eventually_some("no workers", || listed(&api).is_empty().then_some(()));
    audit(&place);
}

#[test]
fn cpu_workers_hide_every_gpu_from_their_tasks() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let task = Draft::script("cpu", &observer(&place, 0, 1)).enqueue(&api);
    api.ended_as(&task, "completed");
    let lines = api.console_lines(&task, "SEES NVIDIA_VISIBLE_DEVICES");
    assert_eq!(lines, ["SEES NVIDIA_VISIBLE_DEVICES none"]);
    audit(&place);
}

#[test]
fn queues_are_served_in_order_of_priority() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    api.call("queues.create", json!({ "name": "urgent" }));
    let mut tasks = Vec::new();
    for (number, queue) in ["default", "default", "urgent", "urgent"].into_iter().enumerate() {
        let task = Draft::script(queue, &observer(&place, number, 1)).create(&api);
        api.enqueue(&task, queue);
        tasks.push(task);
    }
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1", "--queue", "urgent", "default"]);
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    let begun: Vec<String> = place.lines("observed").into_iter().filter(|line| line.starts_with("begin")).collect();
    assert_eq!(begun, ["begin 2", "begin 3", "begin 0", "begin 1"]);
    audit(&place);
}
