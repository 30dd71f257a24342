use serde_json::{Value, json};

use crate::client::{TestServer, texts};

async fn model(server: &TestServer, body: Value) -> String {
    let created = server.call("models.create", body).await;
    assert_eq!(created["created"], true);
    created["id"].as_str().unwrap().to_owned()
}

async fn show(server: &TestServer, id: &str) -> Value {
    server.call("models.get_by_id", json!({"model": id})).await["model"].take()
}

#[tokio::test]
async fn the_life_of_a_model_as_the_sdk_lives_it() {
    let server = TestServer::start().await;
    let task = server.task("training").await;
    let id = model(
        &server,
        json!({
            "name": "my model", "uri": "http://x/uploading_file", "task": task, "ready": false, "framework": "PyTorch",
            "labels": {"cat": 1}, "design": {"design": "text"},
        }),
    )
    .await;
    let edited = server
        .call("models.edit", json!({"model": id, "uri": "http://x/m.bin", "iteration": 7, "tags": ["b", "a"]}))
        .await;
    assert_eq!((&edited["updated"], &edited["fields"]["tags"]), (&json!(1), &json!(["a", "b"])));
    let shown = show(&server, &id).await;
    assert_eq!(
        (&shown["uri"], &shown["ready"], &shown["labels"]["cat"]),
        (&json!("http://x/m.bin"), &json!(false), &json!(1))
    );
    let task_shown = server.call("tasks.get_by_id", json!({"task": task})).await;
    assert_eq!(task_shown["task"]["last_iteration"], 7);

    let metadata = json!([{"key": "acc", "type": "float", "value": "0.9"}, {"key": "n", "type": "int", "value": "1"}]);
    let add = json!({"model": id, "metadata": metadata});
    assert_eq!(server.call("models.add_or_update_metadata", add).await, json!({"updated": 1}));
    server.call("models.delete_metadata", json!({"model": id, "keys": ["n", "none"]})).await;
    let shown = show(&server, &id).await;
    assert_eq!(shown["metadata"], json!({"acc": {"key": "acc", "type": "float", "value": "0.9"}}));
    let found = server.call("models.get_all", json!({"metadata.acc.value": "0.9", "only_fields": ["id"]})).await;
    assert_eq!(found, json!({"models": [{"id": id}]}));

    server.call("tasks.started", json!({"task": task})).await;
    server.call("tasks.completed", json!({"task": task})).await;
    let published = server.call("models.set_ready", json!({"model": id})).await;
    assert_eq!((&published["updated"], &published["published_task"]["id"]), (&json!(1), &json!(task)));
    assert_eq!(server.refused("models.set_ready", json!({"model": id})).await, (400, 203));
    assert_eq!(server.refused("models.delete", json!({"model": id})).await, (400, 206));
    let deleted = server.call("models.delete", json!({"model": id, "force": true})).await;
    assert_eq!(deleted, json!({"deleted": true, "url": "http://x/m.bin"}));
    assert_eq!(server.refused("models.get_by_id", json!({"model": id})).await, (400, 201));
}

#[tokio::test]
async fn a_task_that_may_not_be_published_stays_as_it_is() {
    let server = TestServer::start().await;
    let task = server.task("draft").await;
    let id = model(&server, json!({"name": "model", "uri": "u", "task": task, "ready": false})).await;
    let published = server.call("models.set_ready", json!({"model": id})).await;
    assert_eq!(published, json!({"updated": 1}));
    let shown = server.call("tasks.get_by_id", json!({"task": task})).await;
    assert_eq!(shown["task"]["status"], "created");
}

#[tokio::test]
async fn bad_models_are_refused() {
    let server = TestServer::start().await;
    for (body, code) in [
        (json!({"name": "model"}), (400, 12)),
        (json!({"uri": "u"}), (400, 12)),
        (json!({"name": "ab", "uri": "u"}), (400, 800)),
        (json!({"name": "model", "uri": "u", "project": "nobody"}), (400, 16)),
        (json!({"name": "model", "uri": "u", "task": "nobody"}), (400, 16)),
        (json!({"name": "model", "uri": "u", "labels": {"a": "x"}}), (400, 12)),
        (json!({"name": "model", "uri": "u", "metadata": [{"value": "x"}]}), (400, 12)),
        (json!({"name": "model", "uri": "u", "tags": "x"}), (400, 12)),
    ] {
        assert_eq!(server.refused("models.create", body.clone()).await, code, "{body}");
    }
    assert_eq!(server.refused("models.edit", json!({"model": "nobody", "name": "other"})).await, (400, 201));
}

#[tokio::test]
async fn a_used_model_is_not_deleted_by_accident() {
    let server = TestServer::start().await;
    let id = model(&server, json!({"name": "model", "uri": "u"})).await;
    let user = server.task("user").await;
    let link = json!({"task": user, "name": "in", "model": id, "type": "input"});
    server.call("tasks.add_or_update_model", link).await;
    assert_eq!(server.refused("models.delete", json!({"model": id})).await, (400, 205));
    let many = server.call("models.delete_many", json!({"ids": [id, "nobody"]})).await;
    assert_eq!(many["succeeded"], json!([]));
    assert_eq!(
        many["failed"].as_array().unwrap().iter().map(|one| &one["error"]["codes"]).collect::<Vec<_>>(),
        [&json!([400, 205]), &json!([400, 201])]
    );
    let many = server.call("models.delete_many", json!({"ids": [id], "force": true})).await;
    assert_eq!(many["succeeded"][0]["id"], json!(id));
}

#[tokio::test]
async fn a_deleted_model_leaves_the_outputs_of_its_task() {
    let server = TestServer::start().await;
    let task = server.task("maker").await;
    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        let id = model(&server, json!({"name": name, "uri": name, "task": task, "ready": false})).await;
        server
            .call("tasks.add_or_update_model", json!({"task": task, "name": name, "model": id, "type": "output"}))
            .await;
        ids.push(id);
    }
    server.call("models.delete", json!({"model": ids[1]})).await;
    let shown = server.call("tasks.get_by_id", json!({"task": task})).await;
    assert_eq!(texts(&shown["task"]["models"]["output"], "model"), [ids[0].clone(), ids[2].clone()]);
}

#[tokio::test]
async fn many_models_are_archived_tagged_and_moved() {
    let server = TestServer::start().await;
    let (one, two) = (
        model(&server, json!({"name": "one", "uri": "1"})).await,
        model(&server, json!({"name": "two", "uri": "2", "tags": ["old"]})).await,
    );
    let many = server.call("models.archive_many", json!({"ids": [one, "nobody"]})).await;
    assert_eq!((many["succeeded"].as_array().unwrap().len(), many["failed"].as_array().unwrap().len()), (1, 1));
    let live = server.call("models.get_all", json!({"system_tags": ["-archived"]})).await;
    assert_eq!(texts(&live["models"], "id"), [&*two]);
    server.call("models.unarchive_many", json!({"ids": [one]})).await;
    let tags = json!({"ids": [one, two], "add_tags": ["new"], "remove_tags": ["old"]});
    assert_eq!(server.call("models.update_tags", tags).await, json!({"updated": 2}));
    assert_eq!(show(&server, &two).await["tags"], json!(["new"]));
    let moved = server.call("models.move", json!({"ids": [one, two], "project_name": "Models/New"})).await;
    let request = json!({"project": [moved["project_id"]], "only_fields": ["id", "project.name"]});
    let in_project = server.call("models.get_all_ex", request).await;
    assert_eq!(in_project["models"].as_array().unwrap().len(), 2);
    assert_eq!(in_project["models"][0]["project"]["name"], "Models/New");
    let parent = server.call("projects.get_all", json!({"name": "^Models$"})).await;
    let request = json!({"project": [parent["projects"][0]["id"]], "include_subprojects": true});
    assert_eq!(server.call("models.get_all", request).await["models"].as_array().unwrap().len(), 2);
    let many = server.call("models.publish_many", json!({"ids": [one, two]})).await;
    assert_eq!(many["failed"].as_array().unwrap().len(), 2, "they are published already: {many}");
}

#[tokio::test]
async fn models_have_events_of_their_own() {
    let server = TestServer::start().await;
    let id = model(&server, json!({"name": "model", "uri": "u", "ready": false})).await;
    let event = json!({
        "type": "training_stats_scalar", "task": id, "model_event": true, "metric": "m", "variant": "v", "iter": 3, "value": 1.5,
    });
    server.send(&[event]).await.unwrap();
    let request = json!({"task": id, "model_events": true});
    let curves = server.call("events.scalar_metrics_iter_histogram", request).await;
    assert_eq!(curves["m"]["v"]["y"], json!([1.5]));
    let shown = show(&server, &id).await;
    assert_eq!(shown["last_iteration"], 3);
    assert_eq!(shown["last_metrics"].as_object().unwrap().len(), 1);
    let log = json!({"type": "log", "task": id, "model_event": true, "msg": "x"});
    assert_eq!(server.send(&[log]).await, Err((400, 131)));
    assert_eq!(server.call("events.delete_for_model", json!({"model": id})).await, json!({"deleted": true}));
}
