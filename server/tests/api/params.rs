//! Parameters, configuration, runtime, artifacts, edits.

use serde_json::{Value, json};

use crate::harness::start;

#[tokio::test]
async fn parameters_are_set_replaced_and_deleted() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("with parameters").await;
    let item = |section: &str, name: &str, value: Value| json!({"section": section, "name": name, "value": value});
    let edit = |items: Value| json!({"task": task, "hyperparams": items});
    api.ok("tasks.edit_hyper_params", edit(json!([item("Args", "lr", json!("0.1")), item("Net", "a.b/c", json!(3))])))
        .await;
    let params = api.ok("tasks.get_hyper_params", json!({"tasks": [task]})).await;
    assert_eq!(
        params["params"],
        json!([{"task": task, "hyperparams": [
            {"section": "Args", "name": "lr", "value": "0.1"}, {"section": "Net", "name": "a.b/c", "value": "3"}]}])
    );

    let mut body = edit(json!([item("Args", "batch", json!("8"))]));
    body["replace_hyperparams"] = json!("section");
    api.ok("tasks.edit_hyper_params", body).await;
    let shown = api.get(&task).await["hyperparams"].clone();
    assert!(shown["Args"]["lr"].is_null() && shown["Net"]["a.b/c"].is_object(), "{shown}");

    let body = json!({"task": task, "hyperparams": [{"section": "Net"}, {"section": "Args", "name": "batch"}]});
    assert_eq!(api.ok("tasks.delete_hyper_params", body).await["deleted"], 1);
    assert_eq!(api.get(&task).await["hyperparams"], json!({}));

    // A task that runs is changed by force only, and one that has ended not even so; properties always.
    api.ok("tasks.started", json!({"task": task})).await;
    let mut body = edit(json!([item("Args", "lr", json!("1"))]));
    api.refused("tasks.edit_hyper_params", body.clone(), 400, 110).await;
    body["force"] = json!(true);
    api.ok("tasks.edit_hyper_params", body.clone()).await;
    api.ok("tasks.completed", json!({"task": task})).await;
    api.refused("tasks.edit_hyper_params", body, 400, 110).await;
    api.ok("tasks.edit_hyper_params", edit(json!([item("Properties", "owner", json!("me"))]))).await;
    assert_eq!(api.get(&task).await["hyperparams"]["properties"]["owner"]["value"], "me");
}

#[tokio::test]
async fn configuration_objects_are_set_and_deleted() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("configured").await;
    let items = json!([{"name": "a", "value": "x: 1", "type": "yaml"}, {"name": "empty", "value": ""}]);
    api.ok("tasks.edit_configuration", json!({"task": task, "configuration": items})).await;
    let names = api.ok("tasks.get_configuration_names", json!({"tasks": [task]})).await;
    assert_eq!(names["configurations"][0]["names"], json!(["a"]));
    let one = api.ok("tasks.get_configurations", json!({"tasks": [task], "names": ["a"]})).await;
    assert_eq!(one["configurations"][0]["configuration"][0]["value"], "x: 1");
    let body = json!({"task": task, "configuration": [{"name": "b", "value": "y"}], "replace_configuration": true});
    api.ok("tasks.edit_configuration", body).await;
    assert_eq!(api.get(&task).await["configuration"].as_object().unwrap().len(), 1);
    api.ok("tasks.delete_configuration", json!({"task": task, "configuration": ["b"]})).await;
    assert_eq!(api.get(&task).await["configuration"], json!({}));
}

#[tokio::test]
async fn artifacts_are_unique_by_key_and_mode() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("with artifacts").await;
    let add = |artifacts: Value| json!({"task": task, "artifacts": artifacts});
    let body = add(json!([{"key": "b", "type": "dict", "uri": "1"}, {"key": "a", "type": "dict", "mode": "input"}]));
    assert_eq!(api.ok("tasks.add_or_update_artifacts", body).await["updated"], 1);
    api.ok("tasks.add_or_update_artifacts", add(json!([{"key": "b", "type": "dict", "uri": "2"}]))).await;
    let shown = api.get(&task).await["execution"]["artifacts"].clone();
    assert_eq!(
        shown,
        json!([{"key": "a", "type": "dict", "mode": "input"}, {"key": "b", "type": "dict", "uri": "2", "mode": "output"}])
    );
    api.ok("tasks.delete_artifacts", json!({"task": task, "artifacts": [{"key": "b"}]})).await;
    assert_eq!(api.get(&task).await["execution"]["artifacts"].as_array().unwrap().len(), 1);
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("tasks.completed", json!({"task": task})).await;
    api.refused("tasks.add_or_update_artifacts", add(json!([{"key": "c", "type": "dict"}])), 400, 110).await;
}

#[tokio::test]
async fn edits_merge_what_is_embedded_and_replace_the_rest() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("edited").await;
    let script =
        json!({"repository": " git@host:r.git ", "binary": "python3.11", "diff": "+x\n", "requirements": {"pip": "a"}});
    let answer = api.ok("tasks.edit", json!({"task": task, "script": script, "runtime": {"a": 1}})).await;
    assert_eq!(answer["updated"], 1);
    api.ok("tasks.edit", json!({"task": task, "script": {"branch": "main"}, "runtime": {"b": 2}})).await;
    api.ok("tasks.edit", json!({"task": task, "output_dest": "s3://x", "output": {"error": "e"}})).await;
    let shown = api.get(&task).await;
    assert_eq!(
        shown["script"],
        json!({"repository": "git@host:r.git", "binary": "python3.11", "diff": "+x\n", "requirements": {"pip": "a"},
            "branch": "main", "entry_point": ""})
    );
    assert_eq!(shown["runtime"], json!({"b": 2}));
    assert_eq!(shown["output"], json!({"destination": "s3://x", "error": "e"}));

    assert_eq!(api.ok("tasks.edit", json!({"task": task, "foo": 1})).await["updated"], 0);
    api.refused("tasks.edit", json!({"task": task, "name": "ab"}), 400, 800).await;
    api.refused("tasks.edit", json!({"task": task, "project": "nobody"}), 400, 16).await;
    api.refused("tasks.create", json!({"name": "abc", "type": "nonsense"}), 400, 12).await;
    let answer = api.ok("tasks.set_requirements", json!({"task": task, "requirements": {"pip": ["b"]}})).await;
    assert_eq!(answer, json!({"updated": 1, "fields": {}}));
    assert_eq!(api.get(&task).await["script"]["requirements"], json!({"pip": ["b"]}));

    api.ok("tasks.started", json!({"task": task})).await;
    api.refused("tasks.edit", json!({"task": task, "comment": "late"}), 400, 110).await;
    api.ok("tasks.update", json!({"task": task, "comment": "late", "script": {"branch": "other"}})).await;
    let shown = api.get(&task).await;
    assert_eq!((&shown["comment"], &shown["script"]["branch"]), (&json!("late"), &json!("main")));
    api.ok("tasks.edit_runtime", json!({"task": task, "add_or_update": {"c": 3}, "remove": ["b"]})).await;
    assert_eq!(api.get(&task).await["runtime"], json!({"c": 3}));
    assert_eq!(api.ok("tasks.validate", json!({"name": "only tried", "type": "testing"})).await, json!({}));
    let tried = api.ok("tasks.get_all", json!({"name": "only tried"})).await;
    assert_eq!(tried["tasks"], json!([]));
}

#[tokio::test]
async fn the_stock_agent_reads_and_writes_the_old_shape() {
    let fixture = start().await;
    let api = &fixture.api;
    let body =
        json!({"name": "old", "type": "training", "container": {"image": "python:3", "arguments": "--ipc=host"}});
    let task = api.ok("v2.23/tasks.create", body).await["id"].clone();
    let old = api.ok("v2.5/tasks.get_by_id", json!({"task": task})).await;
    assert_eq!(old["task"]["execution"]["docker_cmd"], "python:3 --ipc=host");
    api.ok("v2.5/tasks.edit", json!({"task": task, "execution": {"docker_cmd": "other:1"}})).await;
    let new = api.ok("v2.23/tasks.get_by_id", json!({"task": task})).await;
    assert_eq!(new["task"]["container"], json!({"image": "other:1", "arguments": ""}));
    assert!(new["task"]["execution"]["docker_cmd"].is_null());
}
