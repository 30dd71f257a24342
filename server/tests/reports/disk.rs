//! A disk with less room than must stay free.

use reqwest::StatusCode;
use serde_json::json;

use crate::client::TestServer;
use crate::files::{count_files, multipart};

#[tokio::test]
async fn what_grows_is_refused_and_everything_else_goes_on() {
    // No disk has that much room.
    let server = TestServer::start_with(|config| config.min_free_space = Some(u64::MAX)).await;
    let task = server.task("short of room").await;
    server.call("tasks.started", json!({"task": task})).await;
    let line = json!({"task": task, "type": "log", "msg": "x"});
    assert_eq!(server.send(&[line]).await.unwrap_err(), (500, 4));

    // More than a client sends before it looks for an answer.
    let answer = server.post(multipart(&[("/large", &vec![0; 40 << 20]), ("/small", b"x")])).await;
    assert_eq!(answer.status(), StatusCode::INSUFFICIENT_STORAGE);
    let text = answer.text().await.unwrap();
    assert!(text.contains("low disk space"), "{text}");
    assert_eq!(count_files(&server.files_dir()), 0);

    server.call("tasks.edit", json!({"task": task, "comment": "edited", "force": true})).await;
    server.call("tasks.completed", json!({"task": task})).await;
    let found = server.call("tasks.get_by_id", json!({"task": task})).await;
    assert_eq!(found["task"]["status"], "completed");
    assert_eq!(found["task"]["comment"], "edited");
    let log = server.call("events.get_task_log", json!({"task": task})).await;
    assert_eq!(log["total"], 0);
}
