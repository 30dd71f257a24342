//! Every endpoint of the list: that it answers, what it refuses, and what the documentation says of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::harness::{Api, start};

/// A line of the list.
struct Endpoint {
    name: &'static str,
    required: Vec<&'static str>,
}

fn endpoints() -> Vec<Endpoint> {
    let lines = include_str!("../../src/http/endpoints.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &'static str| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let required = columns[3].split_whitespace().filter_map(|field| field.strip_prefix('*')).collect();
        Endpoint { name: columns[0], required }
    };
    lines.map(read).collect()
}

/// What `docs/compatibility.md` says of each endpoint.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let (_, chapter) = include_str!("../../../docs/compatibility.md").split_once("\n## Endpoints\n").unwrap();
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let rows = chapter.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let status = rest.split(" |").next()?;
        name.contains('.').then_some((name, status))
    });
    rows.collect()
}

/// Objects to call endpoints with, new for each call.
struct Objects {
    task: String,
    report: String,
    pipelines: [String; 2],
    pipeline_project: String,
    queue: String,
    project: String,
    model: String,
    prepare_id: String,
    user: String,
}

impl Objects {
    async fn make(api: &Api, number: usize) -> Self {
        let id = |data: &Value| data["id"].as_str().unwrap().to_owned();
        let project = id(&api.ok("projects.create", json!({"name": format!("project {number}")})).await);
        let pipeline_project = id(&api.ok("projects.create", json!({"name": format!("pipeline {number}")})).await);
        let run =
            json!({"name": "run", "type": "controller", "system_tags": ["pipeline"], "project": pipeline_project});
        let model = json!({"name": "model", "uri": "file:///m", "project": project, "ready": false});
        let export = json!({"entity_type": "task", "only_fields": ["name"], "field_mappings": [{"field": "name"}]});
        Self {
            task: api.task("task").await,
            report: id(&api.ok("reports.create", json!({"name": "report", "project": project})).await),
            pipelines: [id(&api.ok("tasks.create", run.clone()).await), id(&api.ok("tasks.create", run).await)],
            pipeline_project,
            queue: api.queue(&format!("queue {number}")).await,
            model: id(&api.ok("models.create", model).await),
            prepare_id: api.ok("organization.prepare_download_for_get_all", export).await["prepare_id"]
                .as_str()
                .unwrap()
                .to_owned(),
            user: id(&api.ok("users.get_current_user", json!({})).await["user"]),
            project,
        }
    }

    /// A value that the field takes in the endpoint.
    fn value(&self, endpoint: &str, field: &str) -> Value {
        let service = endpoint.split('.').next().unwrap();
        match (endpoint, field) {
            ("pipelines.start_pipeline", "task") => json!(self.pipelines[0]),
            ("pipelines.delete_runs", "ids") => json!([self.pipelines[0]]),
            ("pipelines.delete_runs", "project") => json!(self.pipeline_project),
            ("users.create", "id") => json!("00000000000000000000000000000001"),
            ("models.create" | "tasks.create" | "tasks.validate" | "projects.create" | "reports.create", "name") => {
                json!("a new name")
            }
            ("users.create" | "auth.create_user", "name") => json!(self.queue),
            ("queues.create", "name") => json!("yet another queue"),
            ("tasks.add_or_update_model", "type") => json!("input"),
            ("tasks.delete_models", "models") => json!([{"name": "m", "type": "input"}]),
            ("tasks.edit_hyper_params" | "tasks.delete_hyper_params", "hyperparams") => {
                json!([{"section": "Args", "name": "a", "value": "1"}])
            }
            ("tasks.edit_configuration", "configuration") => json!([{"name": "c", "value": "v"}]),
            ("tasks.delete_configuration", "configuration") => json!(["c"]),
            ("tasks.delete_artifacts", "artifacts") => json!([{"key": "k"}]),
            ("events.debug_images" | "events.plots", "metrics") => json!([{"task": self.task}]),
            ("events.scalar_metrics_iter_raw", "metric") => json!({"metric": "loss"}),
            ("auth.create_user" | "users.create", "company") => json!("d1bd92a3b039400cbafc60a7a5b1e52b"),
            (_, "ids") => json!([if service == "models" { &self.model } else { &self.task }]),
            (_, "task") => json!(if service == "reports" { &self.report } else { &self.task }),
            (_, "tasks") => json!([self.task]),
            (_, "queue") => json!(self.queue),
            (_, "queues") => json!([self.queue]),
            (_, "project") => json!(self.project),
            (_, "projects") => json!([self.project]),
            (_, "model") => json!(self.model),
            (_, "user") => json!(self.user),
            (_, "prepare_id") => json!(self.prepare_id),
            (_, "type") => json!("training"),
            (_, "uri") => json!("file:///x"),
            (_, "artifacts") => json!([{"key": "k", "type": "t", "uri": "u"}]),
            (_, "requirements") => json!({"pip": ""}),
            (_, "metadata") => json!([{"key": "k", "type": "t", "value": "v"}]),
            (_, "keys") => json!(["k"]),
            (_, "from_date") => json!(1_700_000_000),
            (_, "to_date") => json!(1_700_003_600),
            (_, "interval") => json!(60),
            (_, "timestamp") => json!(1_700_000_000_000_u64),
            (_, "items") => json!([{"key": "cpu_usage", "aggregation": "avg"}]),
            (_, "preferences") => json!({}),
            (_, "runtime_properties") => json!([{"key": "k", "value": "v"}]),
            (_, "entity_type") => json!("task"),
            (_, "only_fields") => json!(["name"]),
            (_, "field_mappings") => json!([{"field": "name", "name": "Name"}]),
            _ => json!("a text"),
        }
    }

    fn minimal(&self, endpoint: &Endpoint) -> Map<String, Value> {
        let mut body: Map<String, Value> =
            endpoint.required.iter().map(|field| ((*field).to_owned(), self.value(endpoint.name, field))).collect();
        let more = match endpoint.name {
            "tasks.move" | "models.move" | "reports.move" => json!({"project_name": "elsewhere"}),
            "events.get_scalar_metric_data" => json!({"task": self.task, "metric": "loss"}),
            "events.add" => json!({"type": "log", "task": self.task, "msg": "x"}),
            "events.add_batch" => json!({"type": "log", "task": self.task, "msg": "x"}),
            "tasks.update_batch" => json!({"task": self.task, "name": "renamed"}),
            "projects.move" => json!({"new_location": "somewhere else"}),
            "projects.merge" => json!({"destination_project": null}),
            "projects.delete" => json!({"force": true}),
            "models.update_for_task" => json!({"uri": "file:///y"}),
            "tasks.completed" | "tasks.stopped" | "tasks.failed" | "tasks.publish" | "tasks.close" | "tasks.stop" => {
                json!({"force": true})
            }
            "hostler.wait_for_queues" | "hostler.wait_for_tasks" => json!({"timeout_seconds": 0}),
            "tasks.get_by_id_ex" | "models.get_by_id_ex" => json!({"id": [self.task]}),
            _ => json!({}),
        };
        body.extend(more.as_object().unwrap().clone());
        body
    }
}

/// Endpoints whose smallest good call needs more than objects: what they answer to it instead of 200.
const OTHERWISE: &[(&str, i64, i64)] = &[
    // Gone in newer versions.
    ("models.get_by_task_id", 301, 1),
    ("models.update_for_task", 301, 1),
    // Nothing was ever reported.
    ("workers.get_metric_keys", 400, 1005),
    ("events.clear_scroll", 200, 0),
    // A scroll that never began.
    ("events.next_debug_image_sample", 400, 1104),
    ("events.next_plot_sample", 400, 1104),
    ("queues.remove_task", 400, 703),
    ("queues.move_task_backward", 400, 703),
    ("queues.move_task_forward", 400, 703),
    ("queues.move_task_to_back", 400, 703),
    ("queues.move_task_to_front", 400, 703),
    // No such key, and the last administrator.
    ("auth.edit_credentials", 400, 75),
    ("auth.revoke_credentials", 400, 75),
    ("users.delete", 400, 16),
    // The user was made already, by the call without an id.
    ("users.create", 400, 801),
];

/// Endpoints that know a required field by other means, or need one of several.
const NOT_MISSED: &[(&str, &str)] = &[
    // Made up by the server when it is not given.
    ("users.create", "id"),
    ("users.create", "company"),
];

async fn outcome(api: &Api, endpoint: &str, body: &Map<String, Value>) -> (i64, i64, String) {
    let response = api.send(endpoint, Value::Object(body.clone())).await;
    let status = i64::from(response.status().as_u16());
    let text = response.text().await.unwrap();
    let envelope: Value = serde_json::from_str(&text).unwrap_or_default();
    let meta = &envelope["meta"];
    (status, meta["result_subcode"].as_i64().unwrap_or(0), meta["result_msg"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_endpoint_answers_and_misses_what_is_required() {
    let fixture = start().await;
    let api = &fixture.api;
    let mut wrong = Vec::new();
    for (number, endpoint) in endpoints().iter().enumerate() {
        let documented = documented();
        if !matches!(documented.get(endpoint.name), Some(&"implemented" | &"partial")) {
            continue;
        }
        let body = Objects::make(api, number).await.minimal(endpoint);
        for field in &endpoint.required {
            let mut less = body.clone();
            less.remove(*field);
            let (code, subcode, message) = outcome(api, endpoint.name, &less).await;
            let is_missed = code == 400 && matches!(subcode, 11 | 12) && message.contains(field);
            if !is_missed && !NOT_MISSED.contains(&(endpoint.name, field)) && code != 301 {
                wrong.push(format!("{} without {field}: {code}/{subcode} {message}", endpoint.name));
            }
        }
        let (code, subcode, message) = outcome(api, endpoint.name, &body).await;
        let expected = OTHERWISE.iter().find(|(name, ..)| *name == endpoint.name);
        if (code, subcode) != expected.map_or((200, 0), |(_, code, subcode)| (*code, *subcode)) {
            wrong.push(format!("{} {}: {code}/{subcode} {message}", endpoint.name, Value::Object(body)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_documentation_says_of_every_endpoint_whether_it_is_there() {
    let fixture = start().await;
    let documented = documented();
    let mut wrong = Vec::new();
    for endpoint in endpoints() {
        let mut body = Map::new();
        if endpoint.name.starts_with("hostler.") {
            body.insert("timeout_seconds".to_owned(), json!(0));
        }
        let (code, _, message) = outcome(&fixture.api, endpoint.name, &body).await;
        let is_there = !(code == 404 && message.starts_with("Unable to find endpoint"));
        let expected = if is_there { ["implemented", "partial"] } else { ["not yet", "never"] };
        let status = documented.get(endpoint.name).copied();
        if status.is_none_or(|status| !expected.contains(&status)) {
            wrong.push(format!("{}: documented as {status:?}, must be {}", endpoint.name, expected.join(" or ")));
        }
    }
    let listed: Vec<&str> = endpoints().iter().map(|endpoint| endpoint.name).collect();
    wrong.extend(documented.keys().filter(|name| !listed.contains(name)).map(|name| format!("{name} is no endpoint")));
    assert!(wrong.is_empty(), "change docs/compatibility.md:\n{}", wrong.join("\n"));
}
