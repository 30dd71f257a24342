//! Runs of pipelines: started anew, and deleted with their steps.

use serde_json::json;

use crate::harness::{Api, start};

async fn run_of(api: &Api, project: &str) -> String {
    let run = json!({
        "name": "flow #1", "type": "controller", "system_tags": ["pipeline"], "project": project,
        "hyperparams": {"Args": {"lr": {"section": "Args", "name": "lr", "value": "1", "type": "float"}}},
    });
    api.ok("tasks.create", run).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_pipeline_is_started_again_with_other_arguments() {
    let fixture = start().await;
    let api = &fixture.api;
    let project =
        api.ok("projects.create", json!({"name": "Main/.pipelines/flow"})).await["id"].as_str().unwrap().to_owned();
    let run = run_of(api, &project).await;
    let queue = api.queue("pipelines").await;
    let args = json!([{"name": "lr", "value": 2.5}, {"name": "General/deep", "value": "yes"}]);
    let request = json!({"task": run, "queue": queue, "args": args, "verify_watched_queue": true});
    let started = api.ok("pipelines.start_pipeline", request).await;
    assert_eq!((&started["enqueued"], &started["queue_watched"]), (&json!(true), &json!(false)));
    let task = api.get(started["pipeline"].as_str().unwrap()).await;
    assert_eq!((&task["name"], &task["status"]), (&json!("flow #2"), &json!("queued")));
    assert_eq!(task["execution"]["queue"], *queue);
    let lr = json!({"section": "Args", "name": "lr", "value": "2.5", "type": "float"});
    assert_eq!(task["hyperparams"]["Args"]["lr"], lr);
    assert_eq!(task["hyperparams"]["General"]["deep"]["value"], "yes");
    let plain = api.task("no pipeline").await;
    api.refused("pipelines.start_pipeline", json!({"task": plain, "queue": queue}), 400, 126).await;
}

#[tokio::test]
async fn runs_are_deleted_with_their_steps_but_for_the_last() {
    let fixture = start().await;
    let api = &fixture.api;
    let project =
        api.ok("projects.create", json!({"name": "Main/.pipelines/flow"})).await["id"].as_str().unwrap().to_owned();
    let (first, second) = (run_of(api, &project).await, run_of(api, &project).await);
    let step = json!({"name": "step", "type": "training", "parent": first});
    let step = api.ok("tasks.create", step).await["id"].as_str().unwrap().to_owned();
    let stranger = api.task("stranger").await;
    api.refused("pipelines.delete_runs", json!({"project": project, "ids": [first, second]}), 400, 160).await;
    let deleted = api.ok("pipelines.delete_runs", json!({"project": project, "ids": [first, stranger]})).await;
    assert_eq!(deleted["succeeded"], json!([{"id": first, "deleted": true}]));
    assert_eq!(deleted["failed"][0]["error"]["codes"], json!([400, 126]));
    api.refused("tasks.get_by_id", json!({"task": step}), 400, 101).await;
    api.get(&second).await;
}

#[tokio::test]
async fn steps_share_the_fate_of_their_controller_when_asked() {
    let fixture = start().await;
    let api = &fixture.api;
    let project = api.ok("projects.create", json!({"name": "Flows"})).await["id"].as_str().unwrap().to_owned();
    let run = run_of(api, &project).await;
    let step = json!({"name": "step", "type": "training", "parent": run});
    let step = api.ok("tasks.create", step).await["id"].as_str().unwrap().to_owned();
    for id in [&run, &step] {
        api.ok("tasks.started", json!({"task": id})).await;
    }
    api.ok("tasks.stop", json!({"task": run, "include_pipeline_steps": true})).await;
    assert_eq!(api.status(&step).await, "stopped");
    api.ok("tasks.archive_many", json!({"ids": [run], "include_pipeline_steps": true})).await;
    assert_eq!(api.get(&step).await["system_tags"], json!(["archived"]));
    api.ok("tasks.unarchive_many", json!({"ids": [run], "include_pipeline_steps": true})).await;
    assert_eq!(api.get(&step).await["system_tags"], json!([]));
    api.ok("tasks.delete", json!({"task": run, "force": true, "include_pipeline_steps": true})).await;
    api.refused("tasks.get_by_id", json!({"task": step}), 400, 101).await;
}
