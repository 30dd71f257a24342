use serde_json::{Value, json};

use crate::client::{TestServer, texts};

async fn project(server: &TestServer, name: &str) -> String {
    server.call("projects.create", json!({"name": name})).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_sdk_finds_or_creates_a_project() {
    let server = TestServer::start().await;
    let find = |name: &str| {
        let request = json!({"name": name, "only_fields": ["id"], "search_hidden": true});
        server.call("projects.get_all", request)
    };
    assert_eq!(find("^Trial/Sub$").await, json!({"projects": []}));
    let id = project(&server, "Trial/Sub").await;
    assert_eq!(find("^Trial/Sub$").await, json!({"projects": [{"id": id}]}));
    assert_eq!(server.refused("projects.create", json!({"name": "Trial/Sub"})).await, (400, 801));
    assert_eq!(server.refused("projects.create", json!({"name": "Trial/x"})).await, (400, 12));
    assert_eq!(server.refused("projects.create", json!({})).await, (400, 12));
    let shown = server.call("projects.get_by_id", json!({"project": id})).await;
    assert_eq!((&shown["project"]["basename"], &shown["project"]["name"]), (&json!("Sub"), &json!("Trial/Sub")));
    assert_eq!(server.refused("projects.get_by_id", json!({"project": "nobody"})).await, (400, 401));
    let update = json!({"project": id, "description": "text", "system_tags": ["b", "a", "b"]});
    let updated = server.call("projects.update", update).await;
    assert_eq!((&updated["updated"], &updated["fields"]["system_tags"]), (&json!(1), &json!(["a", "b"])));
}

#[tokio::test]
async fn hidden_projects_are_shown_only_when_asked_for() {
    let server = TestServer::start().await;
    let pipeline = json!({"name": "Trial/.pipelines/flow", "system_tags": ["pipeline", "hidden"]});
    server.call("projects.create", pipeline).await;
    let plain = server.call("projects.get_all", json!({})).await;
    assert_eq!(texts(&plain["projects"], "name"), ["Trial"]);
    let all = server.call("projects.get_all", json!({"search_hidden": true, "order_by": ["name"]})).await;
    assert_eq!(texts(&all["projects"], "name"), ["Trial", "Trial/.pipelines", "Trial/.pipelines/flow"]);
    let exact = json!({"name": r"^Trial/\.pipelines/flow$", "search_hidden": true});
    assert_eq!(server.call("projects.get_all", exact).await["projects"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_tree_is_searched_with_statistics() {
    let server = TestServer::start().await;
    let top = project(&server, "Stat").await;
    let sub = project(&server, "Stat/Sub").await;
    project(&server, "Other").await;
    for project in [&top, &sub, &sub] {
        server.call("tasks.create", json!({"name": "task", "type": "training", "project": project})).await;
    }
    let roots = server.call("projects.get_all_ex", json!({"shallow_search": true, "order_by": ["name"]})).await;
    assert_eq!(texts(&roots["projects"], "name"), ["Other", "Stat"]);
    let below = server.call("projects.get_all_ex", json!({"parent": [top]})).await;
    assert_eq!(texts(&below["projects"], "id"), [&*sub]);
    let request = json!({"id": [top], "include_stats": true, "check_own_contents": true});
    let stats = server.call("projects.get_all_ex", request).await["projects"][0].take();
    assert_eq!(stats["stats"]["active"]["status_count"]["created"], 3);
    assert_eq!((&stats["own_tasks"], &stats["own_models"]), (&json!(1), &json!(0)));
    assert_eq!(stats["sub_projects"], json!([{"id": sub, "name": "Stat/Sub"}]));
}

#[tokio::test]
async fn a_dataset_tells_its_size() {
    let server = TestServer::start().await;
    let (data, other) = (project(&server, "Data/.datasets/photos").await, project(&server, "Data/Other").await);
    for (name, files) in [("1.0.0", 3), ("1.0.1", 5)] {
        let version = json!({
            "name": name, "type": "data_processing", "project": data, "system_tags": ["dataset"],
            "runtime": {"ds_file_count": files, "ds_total_size": 1000 * files},
        });
        server.call("tasks.create", version).await;
    }
    let request =
        json!({"id": [data, other], "include_dataset_stats": true, "search_hidden": true, "order_by": ["name"]});
    let found = server.call("projects.get_all_ex", request).await["projects"].take();
    assert_eq!(found[0]["dataset_stats"], json!({"file_count": 5, "total_size": 5000}), "of the latest version");
    assert!(found[1].get("dataset_stats").is_none(), "no dataset: {}", found[1]);
}

#[tokio::test]
async fn projects_move_merge_and_go() {
    let server = TestServer::start().await;
    let (one, two) = (project(&server, "One").await, project(&server, "Two").await);
    let child = project(&server, "One/Child").await;
    let moved = server.call("projects.move", json!({"project": child, "new_location": "Two"})).await;
    assert_eq!(moved, json!({"moved": 1}));
    let task = server.call("tasks.create", json!({"name": "task", "type": "training", "project": one})).await;
    let merged = server.call("projects.merge", json!({"project": one, "destination_project": two})).await;
    assert_eq!(merged, json!({"moved_entities": 1, "moved_projects": 0}));
    assert_eq!(server.refused("projects.get_by_id", json!({"project": one})).await, (400, 401));
    let check = server.call("projects.validate_delete", json!({"project": two})).await;
    assert_eq!((&check["tasks"], &check["models"]), (&json!(1), &json!(0)));
    assert_eq!(server.refused("projects.delete", json!({"project": two})).await, (400, 402));
    let deleted = server.call("projects.delete", json!({"project": two, "force": true})).await;
    assert_eq!((&deleted["deleted"], &deleted["disassociated_tasks"]), (&json!(1), &json!(1)));
    let left = server.call("projects.get_all", json!({})).await;
    assert_eq!(left, json!({"projects": []}), "the children are gone too");
    let task = server.call("tasks.get_by_id", json!({"task": task["id"]})).await["task"].take();
    assert!(task.get("project").is_none());
}

#[tokio::test]
async fn deleting_the_contents_takes_tasks_models_and_events_along() {
    let server = TestServer::start().await;
    let id = project(&server, "Doomed").await;
    let task = server.call("tasks.create", json!({"name": "task", "type": "training", "project": id})).await;
    let task = task["id"].as_str().unwrap();
    let model = json!({"name": "model", "uri": "http://x/m", "project": id, "task": task});
    server.call("models.create", model).await;
    server.send(&[json!({"type": "log", "task": task, "msg": "x"})]).await.unwrap();
    let delete = json!({"project": id, "force": true, "delete_contents": true});
    let deleted = server.call("projects.delete", delete).await;
    assert_eq!((&deleted["deleted_tasks"], &deleted["deleted_models"]), (&json!(1), &json!(1)));
    assert_eq!(deleted["urls"]["model_urls"], json!(["http://x/m"]));
    assert_eq!(server.refused("tasks.get_by_id", json!({"task": task})).await, (400, 101));
    assert_eq!(server.call("models.get_all", json!({})).await, json!({"models": []}));
}

#[tokio::test]
async fn what_there_is_to_choose_from() {
    let server = TestServer::start().await;
    let id = project(&server, "Choice").await;
    let parameter = |name: &str, value: &str| json!({"section": "Args", "name": name, "value": value, "type": "int"});
    let mut tasks = Vec::new();
    for (tag, lr) in [("x", "1"), ("y", "2"), ("y", "2")] {
        let task = json!({
            "name": "task", "type": "training", "project": id, "tags": [tag], "system_tags": ["sys"],
            "hyperparams": {"Args": {"lr": parameter("lr", lr), "n": parameter("n", "5")}},
        });
        tasks.push(server.call("tasks.create", task).await["id"].as_str().unwrap().to_owned());
    }
    let child = json!({"name": "child", "type": "training", "parent": tasks[0], "project": id});
    server.call("tasks.create", child).await;
    let event = json!({"type": "training_stats_scalar", "task": tasks[0], "metric": "m", "variant": "v", "iter": 1, "value": 1});
    server.send(&[event]).await.unwrap();
    let metadata = json!([{"key": "k", "type": "str", "value": "v"}]);
    let model = json!({"name": "model", "uri": "u", "project": id, "metadata": metadata, "framework": "F"});
    server.call("models.create", model).await;

    let ask = |endpoint: &str, body: Value| {
        let mut body = body;
        body["project"] = id.as_str().into();
        let endpoint = format!("projects.{endpoint}");
        let server = &server;
        async move { server.call(&endpoint, body).await }
    };
    assert_eq!(ask("get_task_tags", json!({})).await, json!({"tags": ["x", "y"]}));
    let tags = ask("get_task_tags", json!({"include_system": true})).await;
    assert_eq!(tags["system_tags"], json!(["sys"]));
    let names = ask("get_hyper_parameters", json!({"page_size": 1})).await;
    assert_eq!(names, json!({"parameters": [{"section": "Args", "name": "lr"}], "total": 2, "remaining": 1}));
    let values = ask("get_hyperparam_values", json!({"section": "Args", "name": "lr"})).await;
    assert_eq!(values, json!({"total": 2, "values": ["1", "2"]}));
    let metrics = ask("get_unique_metric_variants", json!({})).await;
    assert_eq!(
        (texts(&metrics["metrics"], "metric"), texts(&metrics["metrics"], "variant")),
        (vec!["m".to_owned()], vec!["v".to_owned()])
    );
    let parents = ask("get_task_parents", json!({"tasks_state": "active"})).await;
    assert_eq!(parents["parents"][0]["id"], tasks[0]);
    assert_eq!(ask("get_user_names", json!({})).await["users"].as_array().unwrap().len(), 1);
    assert_eq!(ask("get_model_metadata_keys", json!({})).await["keys"], json!(["k"]));
    assert_eq!(ask("get_model_metadata_values", json!({"key": "k"})).await["values"], json!(["v"]));
    assert_eq!(server.call("models.get_frameworks", json!({})).await, json!({"frameworks": ["F"]}));
}
