//! What the stock agent can do only with a server that has runtime properties: working hours that are overruled, a
//! limit of services, dynamic GPUs.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::json;

use crate::harness::{Draft, Gate, Place, Server, StockAgent, eventually};

/// The tasks here need nothing but an interpreter.
const PLAIN: [(&str, &str); 2] = [("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1"), ("TZ", "UTC")];

#[test]
fn working_hours_hold_until_they_are_overruled() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let task = Draft::script("forced", "print('line 0')\n").enqueue(&api);
    let in_three_days = Timestamp::from_second(Timestamp::now().as_second() + 3 * 86_400).unwrap();
    let other_day = ZonedDateTime::new(in_three_days, TimeZone::UTC).strftime("%a").to_string().to_uppercase();
    let hours = format!("9-17 {other_day}");
    let arguments = ["--cpu-only", "--queue", "default", "--uptime", &hours];
    let _agent = StockAgent::start(&place, &server, &arguments, &PLAIN);
    let worker = StockAgent::worker(&api);
    assert_eq!(api.status(&task), "queued", "it is not the agent's hour");
    let force = json!([{ "key": "force", "value": "on", "expiry": 3600 }]);
    api.call("workers.set_runtime_properties", json!({ "worker": worker, "runtime_properties": force }));
    api.ended_as(&task, "completed");
    assert_eq!(api.console_lines(&task, "line"), ["line 0"]);
}

#[test]
fn the_limit_of_services_holds() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let program = format!("print('line 0', flush=True)\n{}\n", gate.python());
    let first = Draft::script("first", &program).enqueue(&api);
    let second = Draft::script("second", &program).enqueue(&api);
    // The agent counts itself.
    let arguments = ["--services-mode", "2", "--queue", "default"];
    let _agent = StockAgent::start(&place, &server, &arguments, &PLAIN);
    eventually("the first service runs", || !api.console_lines(&first, "line").is_empty());
    eventually("the agent counts", || place.read("logs/stock.log").contains("Reached max number of services 2"));
    assert_eq!((api.status(&first), api.status(&second)), ("in_progress".to_owned(), "queued".to_owned()));
    let worker = api.task(&first)["last_worker"].as_str().unwrap().split(":service:").next().unwrap().to_owned();
    assert_eq!(StockAgent::property(&api, &worker, "max_num_instances").as_deref(), Some("2"));
    gate.open();
    for task in [first, second] {
        api.ended_as(&task, "completed");
    }
}

#[test]
fn dynamic_gpus_are_given_out_one_by_one() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let card = "__import__('os').environ['CUDA_VISIBLE_DEVICES']";
    let program = format!("print('line', {card}, flush=True)\n{}\n", gate.python());
    let tasks = ["first", "second", "third"].map(|name| Draft::script(name, &program).enqueue(&api));
    let arguments = ["--dynamic-gpus", "--gpus", "0-1", "--queue", "default=1"];
    let _agent = StockAgent::start(&place, &server, &arguments, &PLAIN);
    let [first, second, third] = &tasks;
    for (task, line) in [(first, "line 0"), (second, "line 1")] {
        eventually("a task has a card", || api.console_lines(task, "line") == [line]);
    }
    eventually("both cards are taken", || place.read("logs/stock.log").contains("All GPUs allocated"));
    assert_eq!(api.status(third), "queued");
    let name = api.task(first)["last_worker"].as_str().unwrap().split(':').next().unwrap().to_owned();
    let left = StockAgent::property(&api, &format!("{name}:dgpu0-1"), "available_gpus");
    assert_eq!(left.as_deref(), Some(""), "no card is left");
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
}
