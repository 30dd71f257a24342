//! `hostler daemon --services-mode`: many long-lived tasks at once, each a worker of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Api, Daemon, Draft, Gate, Place, ProcessExt as _, Server, StockAgent, audit, eventually, eventually_some,
    slow_package,
};

const NAME: (&str, &str) = ("CLEARML_WORKER_NAME", "testbox");

/// The workers that the server lists, and what each of them does.
fn workers(api: &Api) -> BTreeMap<String, Option<String>> {
    let found = api.call("workers.get_all", json!({ "last_seen": 600 }));
    let of =
        |worker: &Value| (worker["id"].as_str().unwrap().to_owned(), worker["task"]["id"].as_str().map(str::to_owned));
    found["workers"].as_array().unwrap().iter().map(of).collect()
}

/// The daemon, which is idle, and its services.
fn with_services<'a>(tasks: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, Option<String>> {
    let service = |task: &String| (format!("testbox:cpu:0:service:{task}"), Some(task.clone()));
    let daemon = ("testbox:cpu:0".to_owned(), None);
    tasks.into_iter().map(service).chain([daemon]).collect()
}

/// A service: says what it sees, then waits.
fn service(gate: &Gate) -> String {
    format!(
        "import os\n\
         for name in ('CLEARML_WORKER_ID', 'CLEARML_AGENT_SERVICE_TASK', 'NVIDIA_VISIBLE_DEVICES'):\n\
         \x20   print('SEES', name, os.environ.get(name), flush=True)\n\
         {}\n\
         print('DONE', flush=True)\n",
        gate.python()
    )
}

fn runs(api: &Api, task: &str) {
    eventually("a service that runs", || api.console_lines(task, "SEES").len() == 3);
}

#[test]
fn every_service_is_a_worker_of_its_own_and_none_waits_for_the_installation_of_another() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let (mut gate, mut build) = (Gate::shut(&place.path("gate")), Gate::shut(&place.path("build")));
    let slow = Draft::script("slow", "print('DONE', flush=True)").requirements(&slow_package(&place, &build));
    let slow = slow.enqueue(&api);
    let mut daemon = Daemon::start_with(&place, &server, &["--services-mode", "--queue", "default"], &[NAME]);
    eventually("an installation that takes its time", || !place.lines("building").is_empty());
    let draft = Draft::script("service", &service(&gate));
    let services = [(); 3].map(|()| draft.enqueue(&api));
    for task in &services {
        runs(&api, task);
        let seen = api.console_lines(task, "SEES");
        let expected = [
            format!("SEES CLEARML_WORKER_ID testbox:cpu:0:service:{task}"),
            "SEES CLEARML_AGENT_SERVICE_TASK 1".to_owned(),
            "SEES NVIDIA_VISIBLE_DEVICES none".to_owned(),
        ];
        assert_eq!(seen, expected);
    }
    assert_eq!(api.status(&slow), "in_progress");
    assert!(api.console_lines(&slow, "DONE").is_empty(), "its installation goes on");
    let all = with_services(services.iter().chain([&slow]));
    eventually("four workers and their daemon", || workers(&api) == all);
    // Which serves the queue: a service does not.
    let queue = api.queue("default");
    for worker in api.call("workers.get_all", json!({}))["workers"].as_array().unwrap() {
        let queues: Vec<&str> =
            worker["queues"].as_array().unwrap().iter().filter_map(|it| it["id"].as_str()).collect();
        let expected = if worker["id"] == "testbox:cpu:0" { vec![queue.as_str()] } else { Vec::new() };
        assert_eq!(queues, expected, "{worker}");
    }
    let status = daemon.status(&place);
    assert_eq!(status.workers.len(), 5);
    assert_eq!(status.services.map(|services| (services.running, services.limit)), Some((4, None)));

    // The abort of one is the end of its worker, and nothing to the others.
    api.call("tasks.stop", json!({ "task": services[0] }));
    api.ended_as(&services[0], "stopped");
    let left = with_services(services[1..].iter().chain([&slow]));
    eventually("one worker less", || workers(&api) == left);
    // A service that was stopped is started again under the same name.
    api.enqueue(&services[0], "default");
    eventually("it is back", || workers(&api) == all);

    build.open();
    api.ended_as(&slow, "completed");
    gate.open();
    for task in &services {
        api.ended_as(task, "completed");
    }
    eventually("the daemon alone", || workers(&api) == with_services([]));
    assert_eq!(StockAgent::property(&api, "testbox:cpu:0", "max_num_instances").as_deref(), Some("-1"));
    assert!(Daemon::command(&place, &server, &["--drain"]).status().unwrap().success());
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(workers(&api).is_empty());
    audit(&place);
}

#[test]
fn the_limit_of_services_holds_through_the_death_of_their_daemon() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let draft = Draft::script("service", &service(&gate));
    let tasks = [(); 5].map(|()| draft.enqueue(&api));
    let arguments = ["--services-mode", "3"];
    let mut daemon = Daemon::start_with(&place, &server, &arguments, &[NAME]);
    tasks[..3].iter().for_each(|task| runs(&api, task));
    eventually("three services", || workers(&api) == with_services(&tasks[..3]));
    let explained = explained(&place);
    assert_eq!(
        (&explained["standing"]["state"], &explained["standing"]["limit"]),
        (&json!("waits_for_service"), &json!(3))
    );
    assert_eq!(explained["standing"]["workers"].as_array().unwrap().len(), 3, "{explained:#}");
    let pids = tasks[..3].iter().map(|task| daemon.executor_of(task)).collect::<Vec<_>>();

    daemon.kill();
    daemon = Daemon::start_with(&place, &server, &arguments, &[NAME]);
    let limit = eventually_some("services that are taken over", || {
        let status = daemon.status(&place);
        let attached = status.tasks.iter().filter(|task| task.attached).count();
        (attached == 3).then_some(status.services)
    });
    assert_eq!(limit.map(|services| (services.running, services.limit)), Some((3, Some(3))));
    assert_eq!(tasks[..3].iter().map(|task| daemon.executor_of(task)).collect::<Vec<_>>(), pids, "the same processes");
    // A worker that was registered again says a moment later what it runs.
    eventually("the same workers", || workers(&api) == with_services(&tasks[..3]));
    assert_eq!(StockAgent::property(&api, "testbox:cpu:0", "max_num_instances").as_deref(), Some("3"));

    // One ends, one comes.
    api.call("tasks.stop", json!({ "task": tasks[1] }));
    api.ended_as(&tasks[1], "stopped");
    runs(&api, &tasks[3]);
    assert_eq!(api.status(&tasks[4]), "queued");
    gate.open();
    for task in [&tasks[0], &tasks[2], &tasks[3], &tasks[4]] {
        api.ended_as(task, "completed");
        assert_eq!(api.console_lines(task, "DONE").len(), 1);
    }
    eventually("the daemon alone", || workers(&api) == with_services([]));
    audit(&place);
}

/// An operator who changes his mind: what runs keeps its name on the server, and leaves it with its end.
#[test]
fn services_stay_workers_under_a_daemon_that_has_no_services_mode() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let draft = Draft::script("service", &service(&gate));
    let tasks = [(); 2].map(|()| draft.enqueue(&api));
    let mut daemon = Daemon::start_with(&place, &server, &["--services-mode"], &[NAME]);
    tasks.iter().for_each(|task| runs(&api, task));
    eventually("two services", || workers(&api) == with_services(&tasks));
    daemon.kill();
    // The server forgets them: only who reports is known to it.
    for worker in workers(&api).keys() {
        api.call("workers.unregister", json!({ "worker": worker }));
    }
    assert!(workers(&api).is_empty());
    daemon = Daemon::start_with(&place, &server, &["--cpu-only"], &[NAME]);
    eventually("they are known again", || workers(&api) == with_services(&tasks));
    assert_eq!(daemon.status(&place).services, None);
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    eventually("the daemon alone", || workers(&api) == with_services([]));
    audit(&place);
}

#[test]
fn stop_ends_the_services_and_their_workers() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let gate = Gate::shut(&place.path("gate"));
    let draft = Draft::script("service", &service(&gate));
    let tasks = [(); 3].map(|()| draft.enqueue(&api));
    let mut daemon = Daemon::start_with(&place, &server, &["--services-mode", "-1"], &[NAME]);
    tasks.iter().for_each(|task| runs(&api, task));
    assert!(Daemon::command(&place, &server, &["--stop"]).status().unwrap().success());
    assert_eq!(daemon.wait().code(), Some(0));
    tasks.iter().for_each(|task| assert_eq!(api.status(task), "stopped"));
    assert!(workers(&api).is_empty(), "{:?}", workers(&api));
    audit(&place);
}

#[test]
fn what_does_not_go_with_services_is_said() {
    let place = Place::new();
    let server = Server::start(&place);
    for (arguments, part) in [
        (&["--services-mode", "--gpus", "0"] as &[&str], "'--gpus <LIST>'"),
        (&["--services-mode", "2", "--dynamic-gpus"], "'--dynamic-gpus'"),
        (&["--services-mode", "2", "--workers", "3"], "'--workers <N>'"),
        (&["--services-mode", "0"], "1 or more"),
        (&["--services-mode", "-2"], "1 or more"),
        (&["--services-mode", "many"], "1 or more"),
    ] {
        let done = Daemon::command(&place, &server, arguments).finish_within(Duration::from_secs(30));
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(part) && done.stderr.contains("--services-mode"), "{}", done.stderr);
    }
}

/// What keeps the next task of the queue `default`.
fn explained(place: &Place) -> Value {
    let mut command = place.hostler();
    command.args(["status", "--json", "--explain", "default", "--state-dir"]).arg(place.path("state"));
    serde_json::from_str(&command.finish_within(Duration::from_secs(30)).ok()).unwrap()
}
