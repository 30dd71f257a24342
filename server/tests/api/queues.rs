//! Queues and their entries.

use serde_json::{Value, json};

use crate::harness::{Api, start};

async fn entries(api: &Api, queue: &str) -> Vec<String> {
    let data = api.ok("queues.get_by_id", json!({"queue": queue})).await;
    let entries = data["queue"]["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["task"].as_str().unwrap().to_owned()).collect()
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
    assert!(wide["company"]["id"].is_string() && wide["user"]["id"].is_string(), "{wide}");
    let body = json!({"id": [id], "only_fields": ["name", "company.name", "entries.task.name"]});
    let named = api.ok("queues.get_all_ex", body).await["queues"][0].clone();
    assert!(named["company"]["name"].is_string() && named["entries"][0]["task"]["name"] == "waiting", "{named}");
}

#[tokio::test]
async fn a_move_that_fails_in_the_middle_leaves_everything_as_it_was() {
    let fixture = start().await;
    let api = &fixture.api;
    let (from, to) = (api.queue("from").await, api.queue("to here").await);
    let task = api.task("moving").await;
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("tasks.stopped", json!({"task": task})).await;
    api.ok("tasks.enqueue", json!({"task": task, "queue": from})).await;
    // The destination holds it already: found out after it was taken out of the other queue.
    api.ok("queues.add_task", json!({"queue": to, "task": task, "update_execution_queue": false})).await;
    let before = api.get(&task).await;
    api.refused("tasks.enqueue", json!({"task": task, "queue": to}), 400, 706).await;
    assert_eq!((entries(api, &from).await, entries(api, &to).await), (vec![task.clone()], vec![task.clone()]));
    assert_eq!(api.get(&task).await, before, "neither status nor times changed");

    // In a batch, beside one that succeeds. A status that forbids it is found out last.
    let (running, draft) = (api.task("running").await, api.task("draft").await);
    api.ok("tasks.started", json!({"task": running})).await;
    api.ok("queues.add_task", json!({"queue": from, "task": running})).await;
    let answer = api.ok("tasks.enqueue_many", json!({"ids": [running, draft, "nobody"], "queue": to})).await;
    assert_eq!(answer["succeeded"][0]["id"], json!(draft));
    let codes = |place: usize| answer["failed"][place]["error"]["codes"].clone();
    assert_eq!((codes(0), codes(1)), (json!([400, 110]), json!([400, 101])), "{answer}");
    assert_eq!(entries(api, &from).await, [task.clone(), running]);
    assert_eq!(entries(api, &to).await, [task.clone(), draft]);

    // The refusals did not touch what a dequeue returns it to.
    api.ok("tasks.dequeue", json!({"task": task})).await;
    assert_eq!(api.status(&task).await, "stopped");
    assert!(!entries(api, &from).await.contains(&task) && !entries(api, &to).await.contains(&task));
}

#[tokio::test]
async fn deleting_a_queue_also_gives_back_what_was_popped_and_never_started() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("short-lived").await;
    let (popped, done) = (api.task("popped").await, api.task("done").await);
    for task in [&done, &popped] {
        api.ok("tasks.enqueue", json!({"task": task, "queue": queue})).await;
        api.ok("queues.get_next_task", json!({"queue": queue})).await;
    }
    api.ok("tasks.started", json!({"task": done})).await;
    api.ok("tasks.completed", json!({"task": done})).await;
    api.ok("queues.delete", json!({"queue": queue})).await;
    assert_eq!((api.status(&popped).await, api.status(&done).await), ("created".to_owned(), "completed".to_owned()));
    assert!(api.get(&popped).await["execution"]["queue"].is_null());
}

#[tokio::test]
async fn a_stopped_task_that_is_popped_is_queued_again() {
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("popping").await;
    let task = api.task("stopped").await;
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("tasks.stopped", json!({"task": task})).await;
    api.ok("queues.add_task", json!({"queue": queue, "task": task})).await;
    assert_eq!(api.status(&task).await, "stopped", "the entry alone says nothing about the task");
    let answer = api.ok("queues.get_next_task", json!({"queue": queue})).await;
    assert!(answer["entry"]["task"] == json!(task) && answer.get("task_info").is_none(), "{answer}");
    assert_eq!(api.status(&task).await, "queued");
}

#[tokio::test]
async fn questions_about_a_queue_that_does_not_exist_are_refused() {
    let fixture = start().await;
    let api = &fixture.api;
    for (action, subcode) in [
        ("get_by_id", 701),
        ("get_next_task", 701),
        ("peek_task", 701),
        ("get_num_entries", 701),
        ("add_task", 701),
        ("clear_queue", 701),
        ("delete", 701),
        ("update", 701),
        ("remove_task", 703),
        ("move_task_forward", 703),
        ("move_task_backward", 703),
        ("move_task_to_front", 703),
        ("move_task_to_back", 703),
    ] {
        api.refused(&format!("queues.{action}"), json!({"queue": "nobody", "task": "t"}), 400, subcode).await;
    }
    let (_, _, message) = api.error("queues.get_by_id", json!({"queue": "nobody"})).await;
    assert!(message.starts_with("Invalid queue id: id=nobody, company="), "{message}");
    let empty = api.queue("nothing in it").await;
    assert_eq!(api.ok("queues.peek_task", json!({"queue": empty})).await, json!({"task": null}));
    assert_eq!(api.ok("queues.get_next_task", json!({"queue": empty})).await, json!({}));
    assert_eq!(api.ok("queues.get_num_entries", json!({"queue": empty})).await, json!({"num": 0}));
}
