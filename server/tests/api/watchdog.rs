//! Tasks whose worker is gone.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Api, start_with};

async fn running(api: &Api, name: &str) -> String {
    let task = api.task(name).await;
    api.ok("tasks.started", json!({"task": task})).await;
    task
}

#[tokio::test]
async fn a_task_that_nobody_hears_of_is_stopped() {
    let fixture = start_with(|config| {
        config.task_silence = Duration::from_millis(100);
        config.task_silence_check = Duration::from_millis(50);
    })
    .await;
    let api = &fixture.api;
    let draft = api.task("draft").await;
    let queued = api.task("queued").await;
    api.ok("tasks.enqueue", json!({"task": queued})).await;
    let tasks = [running(api, "first").await, running(api, "second").await];
    for task in &tasks {
        // Answers as soon as the task is no longer in progress.
        let waiting = json!({"tasks": [task], "timeout_seconds": 30});
        let ended = api.ok("hostler.wait_for_tasks", waiting).await["tasks"][0].clone();
        assert_eq!((&ended["id"], &ended["status"]), (&json!(task), &json!("stopped")));
        let task = api.get(task).await;
        assert_eq!(task["status_reason"], "Forced stop (non-responsive)");
        assert_eq!(task["status_message"], "Forced stop (non-responsive)");
        assert_eq!(task["last_changed_by"], "__apiserver__");
    }
    assert_eq!((api.status(&draft).await, api.status(&queued).await), ("created".to_owned(), "queued".to_owned()));
}
