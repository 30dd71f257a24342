//! Queues and their entries.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Api, start};

async fn entries(api: &Api, queue: &str) -> Vec<String> {
    let data = api.ok("queues.get_by_id", json!({"queue": queue})).await;
    let entries = data["queue"]["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["task"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn many_clients_empty_one_queue_without_loss_or_repetition() {
    const TASKS: usize = 200;
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("contended").await;
    let mut expected = Vec::new();
    for number in 0..TASKS {
        let ghost = format!("{number:032x}");
        api.ok("queues.add_task", json!({"queue": queue, "task": ghost})).await;
        expected.push(ghost);
    }
    assert_eq!(entries(api, &queue).await, expected, "first in, first out");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (api, queue) = (api.clone(), queue.clone());
        clients.spawn(async move {
            let mut popped = Vec::new();
            loop {
                let data = api.ok("queues.get_next_task", json!({"queue": queue})).await;
                let Some(task) = data["entry"]["task"].as_str() else { return popped };
                popped.push(task.to_owned());
            }
        });
    }
    let popped = clients.join_all().await;
    for one in &popped {
        assert!(one.is_sorted(), "each client sees queue order");
    }
    let popped: Vec<String> = popped.concat();
    assert_eq!(popped.len(), TASKS, "none twice");
    assert_eq!(popped.into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect(), "none lost");
}

#[tokio::test]
async fn a_named_task_is_popped_only_at_the_head() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("conditional").await;
    let (first, second) = (api.task("first").await, api.task("second").await);
    for task in [&first, &second] {
        api.ok("tasks.enqueue", json!({"task": task, "queue": queue})).await;
    }
    assert_eq!(api.ok("queues.peek_task", json!({"queue": queue})).await["task"], json!(first));
    assert_eq!(api.ok("queues.get_next_task", json!({"queue": queue, "task": second})).await, json!({}));
    let body = json!({"queue": queue, "task": first, "get_task_info": true});
    let popped = api.ok("queues.get_next_task", body).await;
    assert_eq!(popped["entry"]["task"], json!(first));
    assert!(popped["task_info"]["user"].is_string());
    assert_eq!(api.ok("queues.get_num_entries", json!({"queue": queue})).await["num"], 1);
    api.refused("queues.get_next_task", json!({"queue": "nobody"}), 400, 701).await;
    assert_eq!(api.status(&first).await, "queued", "only its worker says that it runs");
}

#[tokio::test]
async fn entries_move_and_clamp() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("moving").await;
    for task in ["a", "b", "c", "d"] {
        api.ok("queues.add_task", json!({"queue": queue, "task": task})).await;
    }
    let moves = [
        ("move_task_forward", json!({"task": "c"}), 1, "acbd"),
        ("move_task_backward", json!({"task": "a", "count": 2}), 2, "cbad"),
        ("move_task_to_back", json!({"task": "c"}), 3, "badc"),
        ("move_task_to_front", json!({"task": "d"}), 0, "dbac"),
        ("move_task_forward", json!({"task": "a", "count": 99}), 0, "adbc"),
        ("move_task_forward", json!({"task": "a", "count": 0}), 0, "adbc"),
    ];
    for (action, mut body, position, order) in moves {
        body["queue"] = json!(queue);
        let answer = api.ok(&format!("queues.{action}"), body.clone()).await;
        assert_eq!(answer["position"], position, "{action} {body}");
        assert_eq!(entries(api, &queue).await.concat(), order, "{action} {body}");
    }
    api.refused("queues.move_task_forward", json!({"queue": queue, "task": "x"}), 400, 703).await;
    api.refused("queues.remove_task", json!({"queue": queue, "task": "x"}), 400, 703).await;
    api.refused("queues.add_task", json!({"queue": queue, "task": "a"}), 400, 706).await;
}

#[tokio::test]
async fn an_enqueue_moves_a_task_between_queues_in_one_step() {
    let fixture = start().await;
    let api = &fixture.api;
    let (from, to) = (api.queue("from").await, api.queue("to here").await);
    let task = api.task("moving").await;
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("tasks.stopped", json!({"task": task})).await;
    api.ok("tasks.enqueue", json!({"task": task, "queue": from})).await;
    api.refused("tasks.enqueue", json!({"task": task, "queue": from}), 400, 706).await;
    api.refused("tasks.enqueue", json!({"task": task, "queue": "nobody"}), 400, 701).await;
    let answer = api.ok("tasks.enqueue", json!({"task": task, "queue": to, "verify_watched_queue": true})).await;
    assert_eq!((&answer["queued"], &answer["queue_watched"]), (&json!(1), &json!(false)));
    assert_eq!((entries(api, &from).await.len(), entries(api, &to).await), (0, vec![task.clone()]));
    assert_eq!(api.get(&task).await["execution"]["queue"], json!(to));

    let answer = api.ok("tasks.dequeue", json!({"task": task})).await;
    assert_eq!((&answer["dequeued"], &answer["updated"]), (&json!(1), &json!(1)));
    assert_eq!(api.status(&task).await, "stopped", "the status before it was first enqueued");
    assert!(entries(api, &to).await.is_empty());
    let nobody = api.ok("tasks.dequeue", json!({"task": "nobody"})).await;
    assert_eq!((&nobody["dequeued"], &nobody["updated"]), (&json!(1), &json!(0)));
    api.refused("tasks.enqueue", json!({"task": task, "queue": to, "queue_name": "x"}), 400, 12).await;
}

#[tokio::test]
async fn a_task_that_leaves_the_status_queued_leaves_its_queue() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("left").await;
    for action in ["started", "stop", "reset", "delete"] {
        let task = api.task("leaving").await;
        api.ok("tasks.enqueue", json!({"task": task, "queue": queue})).await;
        api.ok(&format!("tasks.{action}"), json!({"task": task, "force": true})).await;
        assert!(entries(api, &queue).await.is_empty(), "{action}");
    }
}

#[tokio::test]
async fn deleting_or_clearing_a_queue_gives_its_tasks_back() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("short-lived").await;
    let (first, second) = (api.task("first").await, api.task("second").await);
    api.ok("tasks.enqueue", json!({"task": first, "queue": queue})).await;
    let removed = api.ok("queues.clear_queue", json!({"queue": queue})).await;
    assert_eq!(removed["removed_tasks"], json!([first]));
    assert_eq!(api.status(&first).await, "created");

    api.ok("tasks.enqueue", json!({"task": second, "queue": queue})).await;
    api.refused("queues.delete", json!({"queue": queue}), 400, 702).await;
    assert_eq!(api.ok("queues.delete", json!({"queue": queue, "force": true})).await["deleted"], 1);
    let task = api.get(&second).await;
    assert_eq!((&task["status"], &task["execution"]["queue"]), (&json!("created"), &Value::Null));
    assert_eq!(task["status_reason"], json!(format!("Queue {queue} was deleted")));
    api.refused("queues.get_by_id", json!({"queue": queue}), 400, 701).await;
}

#[tokio::test]
async fn queues_are_listed_in_the_types_that_agents_insist_on() {
    let fixture = start().await;
    let api = &fixture.api;
    let body = json!({"name": "my-queue", "tags": ["b", "a"], "metadata": [{"key": "k", "type": "t", "value": "v"}]});
    let id = api.ok("queues.create", body).await["id"].clone();
    api.refused("queues.create", json!({"name": "my-queue"}), 400, 801).await;
    api.refused("queues.create", json!({"name": "ab"}), 400, 800).await;

    let found = api.ok("v2.5/queues.get_all", json!({"name": r"^my\-queue$"})).await["queues"][0].clone();
    assert!(found["user"].is_string() && found["company"].is_string());
    assert_eq!((&found["tags"], &found["metadata"], &found["entries"]), (&json!(["a", "b"]), &json!([]), &json!([])));
    let newer = api.ok("v2.23/queues.get_by_id", json!({"queue": id})).await;
    assert_eq!(newer["queue"]["metadata"]["k"]["value"], "v");

    let answer = api.ok("queues.update", json!({"queue": id, "name": "renamed", "tags": ["c"]})).await;
    assert_eq!(answer, json!({"updated": 1, "fields": {"name": "renamed", "tags": ["c"]}}));
    let task = api.task("waiting").await;
    api.ok("tasks.enqueue", json!({"task": task, "queue": id})).await;
    api.ok("workers.register", json!({"worker": "w:0", "queues": [id]})).await;
    let wide = api.ok("queues.get_all_ex", json!({"id": [id]})).await["queues"][0].clone();
    assert_eq!(wide["entries"][0]["task"], json!({"id": task, "name": "waiting"}));
    assert_eq!(wide["workers"][0]["name"], "w:0");
}
