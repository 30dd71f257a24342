//! Tasks: from the queue to their end.

use std::time::Duration;

use drivers::clearml::LogEvent;
use protocols::clearml::status::TaskStatus;
use protocols::ids::{TaskId, WorkerId};
use serde_json::json;

use crate::world::World;

crate::in_both_worlds!(
    a_task_goes_from_queued_to_completed,
    an_end_counts_once,
    a_stop_that_was_asked_for_is_not_overwritten,
    a_wait_ends_when_a_stop_is_asked_for,
    a_running_task_is_given_back,
    what_was_found_out_is_written_back,
    log_events_arrive_in_order,
);

async fn status(world: &World, task: &TaskId) -> (TaskStatus, String, String) {
    let task = world.server().task(task).await.unwrap().unwrap();
    (task.status, task.status_reason, task.status_message)
}

async fn a_task_goes_from_queued_to_completed(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    let task = world.queued_task("task", &queue).await;
    server.pop(&queue, Some(&task)).await.unwrap();
    assert_eq!(status(&world, &task).await.0, TaskStatus::Queued, "a pop changes nothing of the task");
    server.started(&task, "pulled", "by agent", &[TaskStatus::Queued]).await.unwrap();
    assert_eq!(status(&world, &task).await, (TaskStatus::InProgress, "pulled".to_owned(), "by agent".to_owned()));
    let again = server.started(&task, "again", "", &[TaskStatus::Queued]).await.unwrap_err();
    assert!(again.is_status_refused(), "{again}");
    server.started(&task, "ready", "", &[TaskStatus::InProgress]).await.unwrap();
    server.completed(&task, "worker execution done", "m").await.unwrap();
    let watched = server.task_statuses(std::slice::from_ref(&task)).await.unwrap();
    assert_eq!((watched[0].status, watched[0].status_message.as_str()), (Some(TaskStatus::Completed), "m"));
}

async fn an_end_counts_once(world: World) {
    let server = world.server();
    let task = world.running_task("task").await;
    server.failed(&task, "worker execution exit code 3", "m").await.unwrap();
    server.failed(&task, "worker execution exit code 3", "m").await.unwrap();
    let other_end = server.completed(&task, "worker execution done", "m").await.unwrap_err();
    assert!(other_end.is_status_refused(), "{other_end}");
    assert_eq!(status(&world, &task).await.0, TaskStatus::Failed);
}

async fn a_stop_that_was_asked_for_is_not_overwritten(world: World) {
    let server = world.server();
    let task = world.running_task("task").await;
    world.ask_to_stop(&task).await;
    assert!(server.task(&task).await.unwrap().unwrap().is_stopping());
    let started = server.started(&task, "starting", "", &[TaskStatus::InProgress]).await.unwrap_err();
    assert!(started.is_status_refused(), "{started}");
    assert!(server.task(&task).await.unwrap().unwrap().is_stopping());
    server.stopped(&task, "task was stopped by tasks.stop", "m").await.unwrap();
    assert_eq!(status(&world, &task).await.0, TaskStatus::Stopped);
}

async fn a_wait_ends_when_a_stop_is_asked_for(world: World) {
    let server = world.server();
    let tasks = [world.running_task("one").await, world.running_task("two").await];
    assert_eq!(server.wait_for_tasks(&tasks, Duration::from_millis(50)).await.unwrap().len(), 0);
    let waiting = server.wait_for_tasks(&tasks, Duration::from_secs(30));
    let (found, ()) = tokio::join!(waiting, world.ask_to_stop(&tasks[1]));
    let found = found.unwrap();
    assert_eq!((found.len(), &found[0].id, found[0].status), (1, &tasks[1], Some(TaskStatus::InProgress)));
    assert!(found[0].status_message.contains("stopping"));
    let ghost = TaskId::from("0123456789abcdef0123456789abcdef");
    let gone = server.wait_for_tasks(std::slice::from_ref(&ghost), Duration::from_secs(30)).await.unwrap();
    assert_eq!((&gone[0].id, gone[0].status), (&ghost, None));
}

async fn a_running_task_is_given_back(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    let task = world.running_task("task").await;
    server.enqueue(&task, &queue).await.unwrap();
    server.enqueue(&task, &queue).await.unwrap();
    assert_eq!(server.queue_entries(&queue).await.unwrap(), std::slice::from_ref(&task));
    assert_eq!(status(&world, &task).await.0, TaskStatus::Queued);
    assert_eq!(server.pop(&queue, Some(&task)).await.unwrap(), Some(task.clone()));
    server.enqueue(&task, &queue).await.unwrap();
    assert_eq!(server.queue_entries(&queue).await.unwrap(), [task], "a task that waits nowhere is queued again");
}

async fn what_was_found_out_is_written_back(world: World) {
    let server = world.server();
    let task = world.running_task("task").await;
    server.set_requirements(&task, json!({"pip": ["six==1.17.0"], "org_pip": "six"})).await.unwrap();
    server.set_commit(&task, "0123abc").await.unwrap();
    let container = json!({"image": "a:1", "arguments": "--ipc=host", "setup_shell_script": "echo"});
    server.set_container(&task, container.clone()).await.unwrap();
    let add = |key: &str| json!({key: "v"}).as_object().unwrap().clone();
    server.edit_runtime(&task, add("one")).await.unwrap();
    server.edit_runtime(&task, add("two")).await.unwrap();
    let found = server.task(&task).await.unwrap().unwrap();
    let script = found.script.unwrap();
    assert_eq!(script.requirements["pip"], json!(["six==1.17.0"]));
    assert_eq!((script.version_num.as_str(), script.entry_point.is_empty()), ("0123abc", false));
    assert_eq!(json!(found.container), container);
    assert_eq!((&found.runtime["one"], &found.runtime["two"]), (&json!("v"), &json!("v")));
    assert_eq!(found.status, TaskStatus::InProgress);
}

async fn log_events_arrive_in_order(world: World) {
    let server = world.server();
    let task = world.running_task("task").await;
    let event = |at: i64, msg: &str| {
        LogEvent::new(task.clone(), WorkerId::from("host:0"), "DEBUG", msg.to_owned(), 1_700_000_000_000 + at)
    };
    let all: Vec<_> = (0..250).map(|number| event(number / 2, &format!("line {number}\n"))).collect();
    for batch in all.chunks(100) {
        assert_eq!(server.add_logs(batch).await.unwrap(), batch.len() as u64);
    }
    let texts = |events: Vec<LogEvent>| events.into_iter().map(|event| event.msg).collect::<Vec<_>>();
    let expected = |from: i64| (from..250).map(|number| format!("line {number}\n")).collect::<Vec<_>>();
    assert_eq!(texts(server.logs_since(&task, 0).await.unwrap()), expected(0));
    assert_eq!(texts(server.logs_since(&task, 1_700_000_000_100).await.unwrap()), expected(200));
    let ghost = LogEvent { task: TaskId::from("0123456789abcdef0123456789abcdef"), ..event(0, "x") };
    assert!(server.add_logs(&[ghost]).await.unwrap_err().is_api(400, 131));
}
