//! Waiting for work and for aborts.

use serde_json::{Value, json};

use crate::harness::{Api, soon, start};

fn wait(api: &Api, endpoint: &'static str, body: Value) -> tokio::task::JoinHandle<Value> {
    let api = api.clone();
    tokio::spawn(async move { api.ok(endpoint, body).await })
}

#[tokio::test]
async fn work_wakes_a_waiting_worker() {
    let fixture = start().await;
    let api = &fixture.api;
    let (idle, busy) = (api.queue("idle").await, api.queue("busy").await);
    let body = json!({"queues": [idle, busy], "timeout_seconds": 50});
    // Many rounds, because what can go wrong is between the look and the wait.
    for _ in 0..50 {
        let waiting = wait(api, "hostler.wait_for_queues", body.clone());
        let task = api.task("woken").await;
        api.ok("tasks.enqueue", json!({"task": task, "queue": busy})).await;
        let found = soon("the wakeup", waiting).await.unwrap();
        assert_eq!(found, json!({"queue": busy, "task": task}));
        let at_once = api.ok("hostler.wait_for_queues", body.clone()).await;
        assert_eq!(at_once, found, "what is there already is answered at once, and is not taken");
        api.ok("queues.get_next_task", json!({"queue": busy, "task": task})).await;
    }
    let nothing = api.ok("hostler.wait_for_queues", json!({"queues": [idle], "timeout_seconds": 0.05})).await;
    assert_eq!(nothing, json!({}));
    api.refused("hostler.wait_for_queues", json!({"queues": ["nobody"], "timeout_seconds": 1}), 400, 701).await;
}

#[tokio::test]
async fn an_abort_wakes_the_one_who_runs_the_task() {
    let fixture = start().await;
    let api = &fixture.api;
    for action in ["stop", "stopped", "failed", "delete"] {
        let (task, other) = (api.task("watched").await, api.task("other").await);
        for task in [&task, &other] {
            api.ok("tasks.started", json!({"task": task})).await;
            api.ok("workers.status_report", json!({"worker": "w:0", "timestamp": 1, "task": task})).await;
        }
        let body = json!({"tasks": [other, task], "timeout_seconds": 50});
        let waiting = wait(api, "hostler.wait_for_tasks", body);
        // Progress of the task is no reason to wake anybody.
        api.ok("tasks.ping", json!({"task": task})).await;
        api.ok(&format!("tasks.{action}"), json!({"task": task, "force": true})).await;
        let found = soon("the wakeup", waiting).await.unwrap();
        assert_eq!(found["tasks"].as_array().unwrap().len(), 1, "{action}: {found}");
        assert_eq!(found["tasks"][0]["id"], json!(task));
        let (status, message) = (&found["tasks"][0]["status"], &found["tasks"][0]["status_message"]);
        match action {
            "stop" => assert_eq!((status, message), (&json!("in_progress"), &json!("stopping"))),
            "delete" => assert_eq!(status, &Value::Null),
            ended => assert_eq!(status, ended),
        }
    }
}

#[tokio::test]
async fn waiting_callers_do_not_keep_others_from_the_store() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("crowded").await;
    let body = json!({"queues": [queue], "timeout_seconds": 50});
    let waiting: Vec<_> = (0..64).map(|_| wait(api, "hostler.wait_for_queues", body.clone())).collect();
    let task = soon("a write beside the waiting", api.task("beside")).await;
    api.ok("tasks.enqueue", json!({"task": task, "queue": queue})).await;
    for waiting in waiting {
        assert_eq!(soon("the wakeup", waiting).await.unwrap()["task"], json!(task));
    }
}

#[tokio::test]
async fn a_stopping_server_releases_those_who_wait() {
    let fixture = start().await;
    let api = fixture.api.clone();
    let queue = api.queue("abandoned").await;
    let waiting = wait(&api, "hostler.wait_for_queues", json!({"queues": [queue], "timeout_seconds": 50}));
    let task = api.task("running").await;
    api.ok("tasks.started", json!({"task": task})).await;
    let other = wait(&api, "hostler.wait_for_tasks", json!({"tasks": [task], "timeout_seconds": 50}));
    // The requests must be there before the server stops listening: they are when a later one was answered on
    // the same runtime and each has its connection.
    while api.client.get(format!("{}/debug.ping", api.url)).send().await.is_err() {}
    tokio::task::yield_now().await;
    soon("the end", fixture.server.stop()).await;
    for waiting in [waiting, other] {
        // Released with an empty answer; or never let in, if the server was faster than the connection.
        if let Ok(data) = soon("the release", waiting).await {
            assert!(data == json!({}) || data == json!({"tasks": []}), "{data}");
        }
    }
}

#[tokio::test]
async fn the_extension_is_announced() {
    let fixture = start().await;
    let data = fixture.api.ok("server.info", json!({})).await;
    assert_eq!(data["extensions"]["hostler.wait_for_queues"], 1);
    assert_eq!(data["extensions"]["hostler.wait_for_tasks"], 1);
    assert_eq!(data["api_version"], "2.34");
}
