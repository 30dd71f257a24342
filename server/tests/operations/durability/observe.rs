//! What is in the server: read back, in the form in which a client knows it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::load::Worker;
use super::model::{Model, Operation, Task};
use crate::chance::Rng;
use crate::client::Client;

/// More than anything here has of anything.
const ALL: i64 = 10_000;

/// Reads everything that a client owns; also learns the ids of its tasks.
pub(crate) async fn observe(client: &Client, worker: &mut Worker) -> Model {
    let names = json!(format!("^{}-", worker.prefix));
    let mut model = Model::default();
    let request =
        json!({"name": names, "only_fields": ["id", "name", "status", "hyperparams"], "page_size": 500, "page": 0});
    let found = client.call("tasks.get_all", request).await;
    let mut names_by_id: HashMap<String, String> = HashMap::new();
    for task in found["tasks"].as_array().unwrap() {
        let (id, name) = (text(&task["id"]), text(&task["name"]));
        let parameter = |name: &str| task["hyperparams"]["Args"][name]["value"].as_str()?.parse().ok();
        let seen = Task {
            status: text(&task["status"]),
            // One without the other is half an edit, and is seen as such.
            parameters: match (parameter("one"), parameter("other")) {
                (None, None) => None,
                (one, other) => Some((one.unwrap_or(0), other.unwrap_or(0))),
            },
            lines: events(client, &id, "log").await.iter().map(|event| text(&event["msg"])).collect(),
            points: points(&events(client, &id, "training_stats_scalar").await),
        };
        assert!(model.tasks.insert(name.clone(), seen).is_none(), "task {name} is there twice");
        worker.ids.insert(name.clone(), id.clone());
        names_by_id.insert(id, name);
    }
    for (number, queue) in worker.queues.iter().enumerate() {
        let found = client.call("queues.get_by_id", json!({"queue": queue})).await;
        let entries = found["queue"]["entries"].as_array().cloned().unwrap_or_default();
        model.queues[number] = entries.iter().map(|entry| names_by_id[&text(&entry["task"])].clone()).collect();
    }
    let request = json!({"name": names, "only_fields": ["id", "name", "uri"], "page_size": 500, "page": 0});
    let found = client.call("models.get_all", request).await;
    for one in found["models"].as_array().unwrap() {
        let is_new = model.models.insert(text(&one["name"]), text(&one["uri"])).is_none();
        assert!(is_new, "model {} is there twice", one["name"]);
    }
    model.files = files(client, worker).await;
    model
}

async fn events(client: &Client, task: &str, event_type: &str) -> Vec<Value> {
    let request = json!({"task": task, "event_type": event_type, "batch_size": ALL});
    let page = client.call("events.get_task_events", request).await;
    let events = page["events"].as_array().unwrap().clone();
    assert_eq!(page["total"], events.len(), "all events of {task} are in one page");
    events
}

fn points(events: &[Value]) -> BTreeSet<i64> {
    let points = events.iter().map(|event| {
        let iter = event["iter"].as_i64().unwrap();
        assert_eq!(event["value"].as_f64(), Some(iter as f64), "the value of a point is its iteration");
        iter
    });
    points.collect()
}

/// The files that are known, each with the seed of its content; one that fits no seed is a half file.
async fn files(client: &Client, worker: &Worker) -> BTreeMap<String, (u64, usize)> {
    let mut wanted: BTreeMap<&String, Vec<(u64, usize)>> = BTreeMap::new();
    for (path, content) in &worker.model.files {
        wanted.entry(path).or_default().push(*content);
    }
    if let Some(Operation::Upload { path, seed, length }) = &worker.unanswered {
        wanted.entry(path).or_default().push((*seed, *length));
    }
    let mut found = BTreeMap::new();
    for (path, contents) in wanted {
        let Some(bytes) = client.download(path).await else { continue };
        let content = contents.into_iter().find(|(seed, length)| Rng::content(*seed, *length) == bytes);
        found.insert(path.clone(), content.unwrap_or_else(|| panic!("{path} is half a file of {} bytes", bytes.len())));
    }
    found
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
