//! Lengths and waiting times of queues over time.

use serde_json::{Value, json};

use crate::harness::{Api, Fixture, now, start};

async fn metrics(api: &Api, mut body: Value) -> Vec<Value> {
    let now = now();
    for (name, default) in [("from_date", now - 600.0), ("to_date", now + 600.0), ("interval", 1.0)] {
        if body.get(name).is_none() {
            body[name] = json!(default);
        }
    }
    api.ok("queues.get_queue_metrics", body).await["queues"].as_array().unwrap().clone()
}

/// The last length that is told of a queue.
async fn length(api: &Api, queue: &str) -> i64 {
    let found = metrics(api, json!({"queue_ids": [queue]})).await;
    assert_eq!((found.len(), &found[0]["queue"]), (1, &json!(queue)));
    found[0]["queue_lengths"].as_array().unwrap().last().unwrap().as_i64().unwrap()
}

#[tokio::test]
async fn the_length_is_right_after_every_change() {
    let fixture = start().await;
    let api = &fixture.api;
    let (queue, other) = (api.queue("measured").await, api.queue("other").await);
    assert_eq!(length(api, &queue).await, 0);
    let (first, second) = (api.task("first").await, api.task("second").await);
    api.ok("tasks.enqueue", json!({"task": first, "queue": queue})).await;
    assert_eq!(length(api, &queue).await, 1);
    api.ok("tasks.enqueue", json!({"task": second, "queue": queue})).await;
    api.ok("queues.add_task", json!({"queue": queue, "task": "ghost"})).await;
    assert_eq!(length(api, &queue).await, 3);
    api.ok("queues.move_task_to_front", json!({"queue": queue, "task": "ghost"})).await;
    assert_eq!(length(api, &queue).await, 3);
    api.ok("tasks.enqueue", json!({"task": second, "queue": other})).await;
    assert_eq!((length(api, &queue).await, length(api, &other).await), (2, 1));
    api.ok("queues.get_next_task", json!({"queue": queue})).await;
    assert_eq!(length(api, &queue).await, 1);
    // Drained, and polled when it is empty.
    for _ in 0..2 {
        api.ok("queues.get_next_task", json!({"queue": queue})).await;
        assert_eq!(length(api, &queue).await, 0);
    }
    api.ok("tasks.dequeue", json!({"task": second})).await;
    assert_eq!(length(api, &other).await, 0);
    api.ok("queues.add_task", json!({"queue": other, "task": "ghost"})).await;
    api.ok("queues.remove_task", json!({"queue": other, "task": "ghost"})).await;
    assert_eq!(length(api, &other).await, 0);
    api.ok("queues.add_task", json!({"queue": other, "task": "ghost"})).await;
    api.ok("queues.clear_queue", json!({"queue": other})).await;
    assert_eq!(length(api, &other).await, 0);
}

#[tokio::test]
async fn a_refused_change_leaves_no_trace() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("measured").await;
    api.ok("queues.add_task", json!({"queue": queue, "task": "ghost"})).await;
    api.refused("queues.add_task", json!({"queue": queue, "task": "ghost"}), 400, 706).await;
    let running = api.task("running").await;
    api.ok("tasks.started", json!({"task": running})).await;
    api.refused("tasks.enqueue", json!({"task": running, "queue": queue}), 400, 110).await;
    assert_eq!(length(api, &queue).await, 1);
}

#[tokio::test]
async fn all_queues_together_are_one_series() {
    let fixture = start().await;
    let api = &fixture.api;
    let (first, second) = (api.queue("first").await, api.queue("second").await);
    let hidden = api.ok("queues.create", json!({"name": "hidden", "system_tags": ["k8s-glue"]})).await["id"].clone();
    for (queue, task) in [(json!(first), "a"), (json!(second), "b"), (json!(second), "c"), (hidden, "d")] {
        api.ok("queues.add_task", json!({"queue": queue, "task": task})).await;
    }
    let found = metrics(api, json!({})).await;
    assert_eq!((found.len(), &found[0]["queue"]), (1, &json!("total")));
    assert_eq!(found[0]["queue_lengths"].as_array().unwrap().last().unwrap(), 3, "{found:?}");
    // A queue that is gone does not count for ever.
    api.ok("queues.delete", json!({"queue": second, "force": true})).await;
    let found = metrics(api, json!({"refresh": true})).await;
    assert_eq!(found[0]["queue_lengths"].as_array().unwrap().last().unwrap(), 1, "{found:?}");
}

#[tokio::test]
async fn the_shape_and_the_rules_are_those_of_the_stock_server() {
    let Fixture { api, .. } = &start().await;
    let queue = api.queue("measured").await;
    let before = now().floor();
    api.ok("queues.add_task", json!({"queue": queue, "task": "ghost"})).await;
    let found = metrics(api, json!({"queue_ids": [queue, "nobody"], "interval": 3600, "refresh": true})).await;
    let [found] = &*found else { panic!("one queue has data: {found:?}") };
    let date = found["dates"][0].as_i64().unwrap();
    assert_eq!(date % 3_600_000, 0, "intervals are aligned to the epoch, in milliseconds");
    assert!(date <= (before as i64) * 1000 && (before as i64) * 1000 - date < 2 * 3_600_000);
    assert_eq!(found["dates"].as_array().unwrap().len(), found["queue_lengths"].as_array().unwrap().len());
    let waits = found["avg_waiting_times"].as_array().unwrap();
    assert!(waits.iter().all(|wait| (0.0..60.0).contains(&wait.as_f64().unwrap())), "{waits:?}");

    // The refresh shows how long the entry has waited by now.
    let earlier = metrics(api, json!({"queue_ids": [queue], "interval": 3600, "refresh": true})).await;
    let later = metrics(api, json!({"queue_ids": [queue], "interval": 3600, "refresh": true})).await;
    let wait = |found: &[Value]| found[0]["avg_waiting_times"].as_array().unwrap().last().unwrap().as_f64().unwrap();
    assert!(wait(&later) >= wait(&earlier) && wait(&later) > 0.0, "{earlier:?} {later:?}");

    let past = metrics(api, json!({"queue_ids": [queue], "from_date": 1000, "to_date": 2000})).await;
    assert_eq!(past, [] as [Value; 0], "nothing is known of the time before the queue");
    for (body, subcode) in [
        (json!({"from_date": 2, "to_date": 1, "interval": 60}), 16),
        (json!({"from_date": 2, "to_date": 2, "interval": 60}), 16),
        (json!({"from_date": 1, "to_date": 2, "interval": 0}), 12),
        (json!({"from_date": 1, "to_date": 2, "interval": -1}), 12),
        (json!({"from_date": 1, "to_date": 2}), 12),
        (json!({"from_date": "x", "to_date": 2, "interval": 60}), 12),
        (json!({"from_date": 1, "to_date": 1e300, "interval": 60}), 12),
        (json!({"from_date": 0, "to_date": 1e10, "interval": 1}), 16),
    ] {
        api.refused("queues.get_queue_metrics", body, 400, subcode).await;
    }
}
