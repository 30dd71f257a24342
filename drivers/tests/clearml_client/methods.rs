//! Each method: what goes over the wire, and what its answer means.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drivers::clearml::{ClientError, LogEvent, StatusReport, TaskServer};
use protocols::clearml::status::TaskStatus;
use protocols::ids::{QueueId, TaskId, WorkerId};
use serde_json::{Value, json};

use crate::stand_in::{Reply, Seen, StandIn};

/// A server that logs in, and answers one endpoint from `script`.
async fn server(endpoint: &'static str, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> StandIn {
    StandIn::start(move |seen| if seen.endpoint == endpoint { script(seen) } else { Reply::Data(Value::Null) }).await
}

fn task() -> TaskId {
    TaskId::from("t1")
}

#[tokio::test]
async fn extensions_are_read_where_there_are_any() {
    let ours = server("server.info", |_| Reply::Data(json!({"extensions": {"hostler.wait_for_queues": 1}}))).await;
    assert_eq!(ours.client().extensions().await.unwrap()["hostler.wait_for_queues"], 1);
    let stock = server("server.info", |_| Reply::Data(json!({"version": "2.3.0"}))).await;
    assert!(stock.client().extensions().await.unwrap().is_empty());
    let old = server("server.info", |_| Reply::Refused(404, 0, "Unable to find endpoint")).await;
    assert!(old.client().extensions().await.unwrap().is_empty());
    let down = server("server.info", |_| Reply::Raw(503, vec![], "")).await;
    assert!(down.client().extensions().await.unwrap_err().is_transient());
}

#[tokio::test]
async fn queues_are_found_over_all_pages() {
    let server = server("queues.get_all", |seen| {
        let first: Vec<_> = (0..500).map(|n| json!({"id": format!("id{n}"), "name": format!("queue {n}")})).collect();
        match seen.json()["page"].as_u64() {
            Some(0) => Reply::Data(json!({"queues": first})),
            _ => Reply::Data(json!({"queues": [{"id": "last", "name": "Training"}]})),
        }
    })
    .await;
    let client = server.client();
    assert_eq!(client.queue_by_name_or_id("training").await.unwrap().id, QueueId::from("last"));
    assert_eq!(client.queue_by_name_or_id("id7").await.unwrap().name, "queue 7");
    let error = client.queue_by_name_or_id("trainin").await.unwrap_err();
    let ClientError::NoSuchQueue { suggestions, .. } = error else { panic!("{error:?}") };
    assert_eq!((suggestions.len(), suggestions[0].as_str()), (10, "Training"));
}

#[tokio::test]
async fn the_default_queue_is_the_tagged_one_or_the_one_with_that_name() {
    let tagged = server("queues.get_default", |_| Reply::Data(json!({"id": "q", "name": "d"}))).await;
    assert_eq!(tagged.client().default_queue().await.unwrap().name, "d");
    let named = StandIn::start(|seen| match seen.endpoint.as_str() {
        "queues.get_default" => Reply::Refused(400, 707, "No queue is tagged"),
        "queues.get_all" => Reply::Data(json!({"queues": [{"id": "q7", "name": "default"}]})),
        _ => Reply::Data(Value::Null),
    })
    .await;
    assert_eq!(named.client().default_queue().await.unwrap().id, QueueId::from("q7"));
    let none = server("queues.get_default", |_| Reply::Refused(400, 707, "No queue is tagged")).await;
    assert!(none.client().default_queue().await.unwrap_err().is_api(400, 707));
}

#[tokio::test]
async fn a_queue_that_exists_is_created_already() {
    let server = StandIn::start(|seen| match seen.endpoint.as_str() {
        "queues.create" if seen.json()["name"] == "new" => Reply::Data(json!({"id": "n1"})),
        "queues.create" => Reply::Refused(400, 801, "Value combination already exists"),
        "queues.get_all" => Reply::Data(json!({"queues": [{"id": "o1", "name": "old"}]})),
        _ => Reply::Data(Value::Null),
    })
    .await;
    let client = server.client();
    assert_eq!(client.create_queue("new").await.unwrap().id, QueueId::from("n1"));
    assert_eq!(client.create_queue("old").await.unwrap().id, QueueId::from("o1"));
}

#[tokio::test]
async fn heads_come_in_the_order_asked_for() {
    let server = server("queues.get_all", |_| {
        Reply::Data(json!({"queues": [
            {"id": "b", "entries": [{"task": "t9", "added": "2026"}]},
            {"id": "a", "entries": []},
        ]}))
    })
    .await;
    let queues = ["a", "gone", "b"].map(QueueId::from);
    let heads = server.client().queues_heads(&queues).await.unwrap();
    assert_eq!(heads, [(queues[0].clone(), None), (queues[2].clone(), Some(TaskId::from("t9")))]);
    let asked = server.seen("queues.get_all");
    assert_eq!(asked.len(), 1);
    assert_eq!((&asked[0].json()["id"], &asked[0].json()["max_task_entries"]), (&json!(["a", "gone", "b"]), &json!(1)));
}

#[tokio::test]
async fn a_pop_names_what_it_expects() {
    let server = server("queues.get_next_task", |seen| match seen.json().get("task") {
        Some(_) => Reply::Data(json!({})),
        None => Reply::Data(json!({"entry": {"task": "t1", "added": "2026"}})),
    })
    .await;
    let (client, queue) = (server.client(), QueueId::from("q"));
    assert_eq!(client.pop(&queue, None).await.unwrap(), Some(task()));
    assert_eq!(client.pop(&queue, Some(&task())).await.unwrap(), None);
    let bodies: Vec<_> = server.seen("queues.get_next_task").iter().map(Seen::json).collect();
    assert_eq!(bodies, [json!({"queue": "q"}), json!({"queue": "q", "task": "t1"})]);
}

#[tokio::test]
async fn long_polls_say_how_long_they_wait() {
    let server = StandIn::start(|seen| match seen.endpoint.as_str() {
        "hostler.wait_for_queues" => Reply::Data(json!({"queue": "q", "task": "t1"})),
        "hostler.wait_for_tasks" => {
            Reply::Data(json!({"tasks": [{"id": "t1", "status": "in_progress", "status_message": "stopping"}]}))
        }
        _ => Reply::Data(Value::Null),
    })
    .await;
    let (client, queue) = (server.client(), QueueId::from("q"));
    let head = client.wait_for_queues(std::slice::from_ref(&queue), Duration::from_millis(1500)).await.unwrap();
    assert_eq!(head, Some((queue, task())));
    let watched = client.wait_for_tasks(&[task()], Duration::from_secs(900)).await.unwrap();
    assert_eq!((watched[0].status, watched[0].status_message.as_str()), (Some(TaskStatus::InProgress), "stopping"));
    assert_eq!(server.seen("hostler.wait_for_queues")[0].json(), json!({"queues": ["q"], "timeout_seconds": 1.5}));
    assert_eq!(server.seen("hostler.wait_for_tasks")[0].json()["timeout_seconds"], json!(55.0));
}

#[tokio::test]
async fn a_task_that_does_not_exist_is_none() {
    let gone = server("tasks.get_by_id", |_| Reply::Refused(400, 101, "Invalid task id")).await;
    assert_eq!(gone.client().task(&task()).await.unwrap(), None);
    let there = server("tasks.get_by_id", |_| {
        Reply::Data(json!({"task": {"id": "t1", "status": "queued", "script": null, "models": {}, "tags": null}}))
    })
    .await;
    let found = there.client().task(&task()).await.unwrap().unwrap();
    assert_eq!((found.task_id(), found.status, found.script), (task(), TaskStatus::Queued, None));
    let odd = server("tasks.get_by_id", |_| Reply::Data(json!({"task": {"id": 5}}))).await;
    assert!(matches!(odd.client().task(&task()).await, Err(ClientError::Answer { .. })));
}

#[tokio::test]
async fn statuses_are_asked_for_in_batches() {
    let server = server("tasks.get_all", |seen| {
        let ids = seen.json()["id"].as_array().unwrap().clone();
        let tasks: Vec<_> = ids
            .iter()
            .filter(|id| **id != "t3")
            .map(|id| json!({"id": id, "status": "in_progress", "status_message": null}))
            .collect();
        Reply::Data(json!({"tasks": tasks}))
    })
    .await;
    let ids: Vec<_> = (0..1001).map(|number| TaskId::new(format!("t{number}"))).collect();
    let watched = server.client().task_statuses(&ids).await.unwrap();
    assert_eq!(watched.iter().map(|task| task.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!((watched[3].status, watched[4].status), (None, Some(TaskStatus::InProgress)));
    let asked = server.seen("tasks.get_all");
    assert_eq!(asked.len(), 3);
    let body = asked[0].json();
    assert_eq!(body["only_fields"], json!(["id", "status", "status_message"]));
    assert_eq!((&body["search_hidden"], &body["page_size"]), (&json!(true), &json!(500)));
}

#[tokio::test]
async fn a_start_is_forced_and_says_what_it_expects() {
    let server = server("tasks.started", |_| Reply::Data(json!({"updated": 1}))).await;
    let client = server.client();
    client.started(&task(), "pulled", "m", &[TaskStatus::Queued]).await.unwrap();
    client.started(&task(), "again", "", &[]).await.unwrap();
    let bodies: Vec<_> = server.seen("tasks.started").iter().map(Seen::json).collect();
    let first = json!({"task": "t1", "force": true, "status_reason": "pulled", "status_message": "m",
                       "expected_status": ["queued"]});
    let second = json!({"task": "t1", "force": true, "status_reason": "again", "status_message": ""});
    assert_eq!(bodies, [first, second]);
}

#[tokio::test]
async fn an_end_that_is_there_already_is_success() {
    let end = |now: &'static str| {
        StandIn::start(move |seen| match seen.endpoint.as_str() {
            "tasks.completed" | "tasks.failed" | "tasks.stopped" => Reply::Refused(400, 110, "Invalid task status"),
            "tasks.get_all" => Reply::Data(json!({"tasks": [{"id": "t1", "status": now}]})),
            _ => Reply::Data(Value::Null),
        })
    };
    let completed = end("completed").await;
    completed.client().completed(&task(), "worker execution done", "m").await.unwrap();
    assert_eq!(
        completed.seen("tasks.completed")[0].json(),
        json!({"task": "t1", "force": false, "status_reason": "worker execution done", "status_message": "m"})
    );
    assert!(completed.client().failed(&task(), "r", "m").await.unwrap_err().is_status_refused());
    end("failed").await.client().failed(&task(), "r", "m").await.unwrap();
    end("stopped").await.client().stopped(&task(), "r", "m").await.unwrap();
}

#[tokio::test]
async fn a_running_task_is_given_back_by_force() {
    let give_back = |now: &'static str| {
        StandIn::start(move |seen| match seen.endpoint.as_str() {
            "tasks.enqueue" if seen.json()["force"] == false => Reply::Refused(400, 110, "Invalid task status"),
            "tasks.get_all" => Reply::Data(json!({"tasks": [{"id": "t1", "status": now}]})),
            _ => Reply::Data(Value::Null),
        })
    };
    let queue = QueueId::from("q");
    give_back("in_progress").await.client().enqueue(&task(), &queue).await.unwrap();
    let published = give_back("published").await;
    assert!(published.client().enqueue(&task(), &queue).await.unwrap_err().is_status_refused());
    assert_eq!(published.seen("tasks.enqueue").len(), 1);
    let there = server("tasks.enqueue", |_| Reply::Refused(400, 706, "Task already queued")).await;
    there.client().enqueue(&task(), &queue).await.unwrap();
}

#[tokio::test]
async fn runtime_is_edited_with_or_without_the_endpoint_for_it() {
    let add = || json!({"_exec_agent_hostname": "h"}).as_object().unwrap().clone();
    let new = server("tasks.edit_runtime", |_| Reply::Data(json!({"updated": 1}))).await;
    new.client().edit_runtime(&task(), add()).await.unwrap();
    let expected = json!({"task": "t1", "add_or_update": {"_exec_agent_hostname": "h"}});
    assert_eq!(new.seen("tasks.edit_runtime")[0].json(), expected);
    let old = StandIn::start(|seen| match seen.endpoint.as_str() {
        "tasks.edit_runtime" => Reply::Refused(404, 0, "Unable to find endpoint"),
        "tasks.get_all" => Reply::Data(json!({"tasks": [{"id": "t1", "runtime": {"progress": 3}}]})),
        _ => Reply::Data(Value::Null),
    })
    .await;
    let client = old.client();
    client.edit_runtime(&task(), add()).await.unwrap();
    client.edit_runtime(&task(), add()).await.unwrap();
    assert_eq!(old.seen("tasks.edit_runtime").len(), 1, "what is missing is not asked for again");
    let edits = old.seen("tasks.edit");
    let expected = json!({"task": "t1", "force": true, "runtime": {"progress": 3, "_exec_agent_hostname": "h"}});
    assert_eq!((edits.len(), edits[0].json()), (2, expected));
}

#[tokio::test]
async fn log_events_are_one_object_per_line() {
    let server = server("events.add_batch", |_| Reply::Data(json!({"added": 2, "errors": 0, "errors_info": {}}))).await;
    let client = server.client();
    assert_eq!(client.add_logs(&[]).await.unwrap(), 0);
    let event = |msg: &str| LogEvent::new(task(), WorkerId::from("w"), "DEBUG", msg.to_owned(), 7);
    assert_eq!(client.add_logs(&[event("a\nb\n"), event("ü\u{2028}\n")]).await.unwrap(), 2);
    let seen = server.seen("events.add_batch");
    assert_eq!((seen.len(), seen[0].header("content-type")), (1, "application/json-lines"));
    let lines: Vec<Value> = seen[0].text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["msg"], &lines[1]["msg"]), (&json!("a\nb\n"), &json!("ü\u{2028}\n")));
}

#[tokio::test]
async fn logs_are_read_page_by_page_from_a_time_on() {
    let server = server("events.get_task_log", |seen| {
        let from = seen.json()["from_timestamp"].as_i64().unwrap();
        let all = [(5, "a"), (7, "b"), (7, "c"), (9, "d")];
        let page: Vec<_> = all
            .into_iter()
            .filter(|(at, _)| *at > from && (from >= 7 || *at <= 7))
            .map(|(at, msg)| json!({"timestamp": at, "msg": msg, "type": "log", "task": "t1"}))
            .collect();
        Reply::Data(json!({"returned": page.len(), "total": 4, "events": page}))
    })
    .await;
    let events = server.client().logs_since(&task(), 7).await.unwrap();
    let found: Vec<_> = events.iter().map(|event| (event.timestamp, event.msg.as_str())).collect();
    assert_eq!(found, [(7, "b"), (7, "c"), (9, "d")]);
    assert_eq!(server.seen("events.get_task_log")[0].json()["from_timestamp"], 6);
}

#[tokio::test]
async fn workers_come_report_and_go() {
    let is_known = AtomicBool::new(false);
    let server = StandIn::start(move |seen| match seen.endpoint.as_str() {
        "workers.register" if !is_known.swap(true, Ordering::Relaxed) => Reply::Refused(400, 701, "Invalid queue id"),
        _ => Reply::Data(Value::Null),
    })
    .await;
    let (client, worker, queues) = (server.client(), WorkerId::from("host:gpu0,1"), [QueueId::from("q")]);
    assert!(client.register_worker(&worker, &queues).await.unwrap_err().is_api(400, 701));
    client.register_worker(&worker, &queues).await.unwrap();
    let report = StatusReport {
        worker: worker.clone(),
        timestamp: 1_700_000_000_000,
        task: Some(task()),
        queue: Some(queues[0].clone()),
        queues: queues.to_vec(),
        machine_stats: None,
        tags: None,
        is_daemon: true,
    };
    client.status_report(report).await.unwrap();
    client.set_worker_property(&worker, "max_num_instances", "3").await.unwrap();
    client.unregister_worker(&worker, &queues).await.unwrap();
    assert_eq!(server.seen("workers.register")[1].json(), json!({"worker": "host:gpu0,1", "queues": ["q"]}));
    assert_eq!(server.seen("workers.status_report")[0].json()["task"], "t1");
    assert_eq!(
        server.seen("workers.set_runtime_properties")[0].json(),
        json!({"worker": "host:gpu0,1", "runtime_properties": [{"key": "max_num_instances", "value": "3"}]})
    );
    assert_eq!(server.seen("workers.unregister").len(), 1);
}
