//! Clone, reset, delete, move.

use serde_json::{Value, json};

use crate::harness::start;

#[tokio::test]
async fn a_clone_copies_what_to_run_and_nothing_of_a_run() {
    let fixture = start().await;
    let api = &fixture.api;
    let source = json!({
        "name": "source", "type": "testing", "tags": ["t"], "system_tags": ["development", "kept"],
        "script": {"repository": "r"}, "container": {"image": "i"}, "runtime": {"x": 1},
        "hyperparams": {"Args": {"lr": {"section": "Args", "name": "lr", "value": "1"}}},
        "execution": {"artifacts": [{"key": "in", "type": "x", "mode": "input"}, {"key": "out", "type": "x"}]},
    });
    let source = api.ok("tasks.create", source).await["id"].clone();
    api.ok("tasks.enqueue", json!({"task": source})).await;
    let request = json!({"task": source, "new_task_name": "copy", "new_project_name": "Some/Where"});
    let answer = api.ok("tasks.clone", request).await;
    assert_eq!(answer["new_project"]["name"], "Some/Where");
    let copy = api.get(answer["id"].as_str().unwrap()).await;
    assert_eq!((&copy["name"], &copy["type"], &copy["status"]), (&json!("copy"), &json!("testing"), &json!("created")));
    assert_eq!((&copy["parent"], &copy["project"]), (&source, &answer["new_project"]["id"]));
    assert_eq!((&copy["tags"], &copy["system_tags"]), (&json!(["t"]), &json!(["kept"])));
    assert_eq!((&copy["script"]["repository"], &copy["container"]["image"]), (&json!("r"), &json!("i")));
    assert_eq!((&copy["runtime"], &copy["execution"]["queue"]), (&json!({}), &Value::Null));
    assert_eq!(copy["execution"]["artifacts"], json!([{"key": "in", "type": "x", "mode": "input"}]));
    assert_eq!(copy["hyperparams"]["Args"]["lr"]["value"], "1");

    let grandchild = api.ok("tasks.clone", json!({"task": copy["id"]})).await["id"].clone();
    assert_eq!(api.get(grandchild.as_str().unwrap()).await["parent"], source, "a clone is a sibling");
    api.refused("tasks.clone", json!({"task": "nobody"}), 400, 101).await;
}

#[tokio::test]
async fn a_reset_leaves_a_draft() {
    let fixture = start().await;
    let api = &fixture.api;
    let body = json!({"name": "run", "type": "training", "runtime": {"x": 1}, "script": {"repository": "r"},
        "execution": {"artifacts": [{"key": "out", "type": "x", "uri": "http://f/out"}]}});
    let task = api.ok("tasks.create", body).await["id"].as_str().unwrap().to_owned();
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("events.add", json!({"type": "log", "task": task, "msg": "line"})).await;
    api.ok("tasks.failed", json!({"task": task})).await;
    let answer = api.ok("tasks.reset", json!({"task": task, "return_file_urls": true})).await;
    assert_eq!(answer["urls"]["artifact_urls"], json!(["http://f/out"]));
    assert_eq!(answer["fields"]["status"], "created");
    let draft = api.get(&task).await;
    for field in ["started", "completed", "last_worker", "active_duration"] {
        assert!(draft[field].is_null(), "{field}: {draft}");
    }
    assert_eq!((&draft["runtime"], &draft["execution"]["artifacts"]), (&json!({}), &json!([])));
    assert_eq!((&draft["script"]["repository"], &draft["status_reason"]), (&json!("r"), &json!("reset")));
    assert_eq!(api.ok("events.get_task_log", json!({"task": task})).await["total"], 0);
}

#[tokio::test]
async fn a_deleted_task_leaves_tombstones() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("parent").await;
    let child =
        api.ok("tasks.create", json!({"name": "child", "type": "training", "parent": task})).await["id"].clone();
    api.ok("tasks.started", json!({"task": task})).await;
    api.refused("tasks.delete", json!({"task": task}), 400, 123).await;
    let answer = api.ok("tasks.delete", json!({"task": task, "force": true})).await;
    assert_eq!((&answer["deleted"], &answer["updated_children"]), (&json!(true), &json!(1)));
    api.refused("tasks.get_by_id", json!({"task": task}), 400, 101).await;
    assert_eq!(api.get(child.as_str().unwrap()).await["parent"], json!(format!("__DELETED__{task}")));
}

#[tokio::test]
async fn tasks_move_between_projects() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("moving").await;
    let project = api.ok("tasks.move", json!({"ids": [task], "project_name": "New/Place"})).await["project_id"].clone();
    assert_eq!(api.get(&task).await["project"], project);
    let found = api.ok("tasks.get_all", json!({"project": [project], "only_fields": ["name"]})).await;
    assert_eq!(found["tasks"], json!([{"id": task, "name": "moving"}]));
}
