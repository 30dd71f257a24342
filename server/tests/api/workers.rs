//! Workers.

use serde_json::json;

use crate::harness::start;

#[tokio::test]
async fn workers_register_report_and_leave() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("served").await;
    let task = api.task("in work").await;
    api.refused("workers.register", json!({"worker": "w:0", "queues": ["nobody"]}), 400, 701).await;
    api.refused("workers.register", json!({"worker": "w:0", "timeout": -1}), 400, 1002).await;
    let body = json!({"worker": "w:0", "queues": [queue], "tags": ["fast"], "timeout": 0});
    assert_eq!(api.ok("workers.register", body).await, json!({}));

    let stats = json!({"cpu_usage": [12.5], "memory_used": 1000});
    let report = json!({"worker": "w:0", "timestamp": 1, "task": task, "queue": queue, "machine_stats": stats});
    api.ok("workers.status_report", report).await;
    let workers = api.ok("workers.get_all", json!({})).await["workers"].clone();
    let worker = &workers[0];
    assert_eq!(workers.as_array().unwrap().len(), 1);
    assert_eq!((&worker["id"], &worker["register_timeout"]), (&json!("w:0"), &json!(600)));
    assert_eq!((&worker["task"]["id"], &worker["task"]["name"]), (&json!(task), &json!("in work")));
    assert_eq!((&worker["queue"]["name"], &worker["queues"][0]["num_tasks"]), (&json!("served"), &json!(0)));
    assert_eq!((&worker["machine_stats"], &worker["tags"]), (&stats, &json!(["fast"])));
    let reported = api.get(&task).await;
    assert_eq!(reported["last_worker"], "w:0");

    api.ok("workers.status_report", json!({"worker": "w:0", "timestamp": 2})).await;
    let idle = api.ok("workers.get_all", json!({})).await["workers"][0].clone();
    assert!(idle["task"].is_null() && idle["queue"].is_null(), "{idle}");
    assert_eq!(idle["queues"][0]["id"], json!(queue), "queues are kept when a report names none");

    // The heartbeat of a worker whose task is gone counts, and tells it.
    api.refused("workers.status_report", json!({"worker": "w:1", "timestamp": 1, "task": "nobody"}), 400, 101).await;
    for (filter, count) in [
        (json!({}), 2),
        (json!({"tags": ["fast"]}), 1),
        (json!({"tags": ["-fast"]}), 1),
        (json!({"worker_pattern": "w:?"}), 2),
        (json!({"worker_pattern": "x*"}), 0),
    ] {
        assert_eq!(api.ok("workers.get_count", filter.clone()).await["count"], count, "{filter}");
    }
    for _ in 0..2 {
        api.ok("workers.unregister", json!({"worker": "w:0"})).await;
    }
    assert_eq!(api.ok("workers.get_count", json!({})).await["count"], 1);
    for action in ["cluster_report", "cluster_unregister"] {
        api.refused(&format!("workers.{action}"), json!({"worker": "w:1"}), 404, 0).await;
    }
}
