//! The state machine of tasks.

use serde_json::{Value, json};

use crate::harness::{Api, start};

async fn run(api: &Api, task: &str, steps: &[&str]) {
    for step in steps {
        let body =
            if *step == "enqueue" { json!({"task": task, "queue_name": "states"}) } else { json!({"task": task}) };
        api.ok(&format!("tasks.{step}"), body).await;
    }
}

#[tokio::test]
async fn legal_ways_through_life_are_open() {
    let fixture = start().await;
    let api = &fixture.api;
    let lives: &[(&[&str], &str)] = &[
        (&["started", "completed"], "completed"),
        (&["started", "started", "completed", "completed", "started", "failed"], "failed"),
        (&["enqueue", "started", "stopped", "close"], "closed"),
        (&["started", "failed", "reset"], "created"),
        (&["started", "completed", "publish"], "published"),
        (&["started", "stopped", "enqueue", "dequeue"], "stopped"),
        (&["started", "stopped", "completed"], "completed"),
        (&["enqueue", "stop"], "stopped"),
    ];
    for (steps, expected) in lives {
        let task = api.task("a life").await;
        run(api, &task, steps).await;
        assert_eq!(api.status(&task).await, *expected, "{steps:?}");
    }
}

#[tokio::test]
async fn illegal_changes_are_refused_unless_forced() {
    let fixture = start().await;
    let api = &fixture.api;
    let cases: &[(&[&str], &str)] = &[
        (&[], "completed"),
        (&[], "stopped"),
        (&[], "stop"),
        (&[], "failed"),
        (&[], "close"),
        (&[], "publish"),
        (&["started"], "enqueue"),
        (&["started", "completed"], "enqueue"),
        (&["started", "completed"], "failed"),
        (&["started", "completed", "publish"], "reset"),
        (&["started", "failed"], "started"),
    ];
    for (steps, last) in cases {
        let task = api.task("a life").await;
        run(api, &task, steps).await;
        let before = api.get(&task).await;
        api.refused(&format!("tasks.{last}"), json!({"task": task}), 400, 110).await;
        assert_eq!(api.get(&task).await, before, "a refused change leaves no trace");
        api.ok(&format!("tasks.{last}"), json!({"task": task, "force": true})).await;
    }
    let (code, subcode, message) = api.error("tasks.started", json!({"task": "nobody"})).await;
    assert_eq!((code, subcode), (400, 101));
    assert!(message.starts_with("Invalid task id: id=nobody, company="), "{message}");
}

#[tokio::test]
async fn changes_set_and_clear_their_stamps() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("stamped").await;
    let answer = api.ok("tasks.started", json!({"task": task, "status_reason": "why", "status_message": "what"})).await;
    assert_eq!((&answer["updated"], &answer["fields"]["status"]), (&json!(1), &json!("in_progress")));
    let running = api.get(&task).await;
    assert_eq!((&running["status_reason"], &running["status_message"]), (&json!("why"), &json!("what")));
    assert!(running["completed"].is_null() && running["started"].is_string());

    api.ok("tasks.started", json!({"task": task})).await;
    let again = api.get(&task).await;
    assert_eq!(again["started"], running["started"], "a second start keeps the first time");
    assert_eq!((&again["status_reason"], &again["status_message"]), (&json!(""), &json!("")), "both are wiped");

    api.ok("tasks.completed", json!({"task": task})).await;
    let done = api.get(&task).await;
    assert!(done["completed"].is_string() && done["active_duration"].is_i64());
    api.ok("tasks.started", json!({"task": task})).await;
    assert!(api.get(&task).await["completed"].is_null());
}

async fn running_on_a_worker(api: &Api) -> String {
    let task = api.task("on a worker").await;
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("workers.status_report", json!({"worker": "host:0", "timestamp": 1, "task": task})).await;
    task
}

#[tokio::test]
async fn a_stop_of_a_running_task_is_asked_of_its_worker_and_never_lost() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = running_on_a_worker(api).await;
    api.ok("tasks.stop", json!({"task": task})).await;
    let stopping = |task: &Value| (task["status"].clone(), task["status_message"].clone());
    let expected = (json!("in_progress"), json!("stopping"));
    assert_eq!(stopping(&api.get(&task).await), expected);

    // What an agent sends while it prepares the task must not hide the stop.
    api.ok("tasks.started", json!({"task": task, "force": true, "status_message": "launched"})).await;
    assert_eq!(stopping(&api.get(&task).await), expected);
    api.ok("tasks.dequeue", json!({"task": task, "new_status": "in_progress"})).await;
    assert_eq!(stopping(&api.get(&task).await), expected);
    api.refused("tasks.started", json!({"task": task, "expected_status": ["in_progress"]}), 400, 110).await;

    api.ok("tasks.stopped", json!({"task": task, "status_message": "done"})).await;
    assert_eq!(stopping(&api.get(&task).await), (json!("stopped"), json!("done")));
    api.ok("tasks.started", json!({"task": task})).await;
    assert_eq!(stopping(&api.get(&task).await), (json!("in_progress"), json!("")), "a new run starts clean");
}

#[tokio::test]
async fn a_stop_without_a_live_worker_is_at_once() {
    let fixture = start().await;
    let api = &fixture.api;
    let alone = api.task("alone").await;
    api.ok("tasks.started", json!({"task": alone})).await;
    api.ok("tasks.stop", json!({"task": alone})).await;
    let stopped = api.get(&alone).await;
    assert_eq!((&stopped["status"], &stopped["status_message"]), (&json!("stopped"), &json!("Stopped by admin")));

    let developed = running_on_a_worker(api).await;
    api.ok("tasks.edit", json!({"task": developed, "force": true, "system_tags": ["development"]})).await;
    api.ok("tasks.stop", json!({"task": developed})).await;
    assert_eq!(api.status(&developed).await, "stopped");
}

#[tokio::test]
async fn of_many_who_start_a_queued_task_one_succeeds() {
    let fixture = start().await;
    let api = &fixture.api;
    for _ in 0..5 {
        let task = api.task("contended").await;
        api.ok("tasks.enqueue", json!({"task": task})).await;
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (api, task) = (api.clone(), task.clone());
            starts.spawn(async move {
                let response = api.send("tasks.started", json!({"task": task, "expected_status": "queued"})).await;
                response.status().as_u16()
            });
        }
        let mut statuses = starts.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 400)), "{statuses:?}");
    }
}

#[tokio::test]
async fn batches_do_what_they_can_and_say_what_they_could_not() {
    let fixture = start().await;
    let api = &fixture.api;
    let (draft, running) = (api.task("draft").await, api.task("running").await);
    api.ok("tasks.started", json!({"task": running})).await;
    let answer = api.ok("tasks.enqueue_many", json!({"ids": [draft, running, "nobody"], "queue_name": "many"})).await;
    assert_eq!(answer["succeeded"][0]["id"], json!(draft));
    let failed = answer["failed"].as_array().unwrap();
    let codes: Vec<&Value> = failed.iter().map(|item| &item["error"]["codes"]).collect();
    assert_eq!(codes, [&json!([400, 110]), &json!([400, 101])]);
    assert_eq!(api.status(&draft).await, "queued");
    let queue = api.ok("queues.get_all", json!({"name": "^many$"})).await;
    assert_eq!(queue["queues"][0]["entries"].as_array().unwrap().len(), 1, "the refused one is not in the queue");

    api.ok("tasks.archive", json!({"tasks": [draft, running]})).await;
    for (task, status) in [(&draft, "created"), (&running, "stopped")] {
        let task = api.get(task).await;
        assert_eq!((&task["status"], &task["system_tags"]), (&json!(status), &json!(["archived"])));
    }
    api.ok("tasks.unarchive_many", json!({"ids": [draft]})).await;
    assert_eq!(api.get(&draft).await["system_tags"], json!([]));
}
