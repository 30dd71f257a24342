use std::time::Duration;

use protocols::clearml::status::TaskStatus;

use super::*;
use crate::clearml::TaskServer;

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_long_poll_answers_when_an_entry_comes_and_does_not_take_it() {
    paused().block_on(async {
        let server = FakeServer::with_extensions();
        let queue = server.add_queue("q1", "default");
        let nothing = server.wait_for_queues(std::slice::from_ref(&queue), Duration::from_secs(30)).await;
        assert_eq!(nothing, Ok(None));
        let (queues, waiter) = ([queue.clone()], server.clone());
        let waiting = tokio::spawn(async move { waiter.wait_for_queues(&queues, Duration::from_secs(30)).await });
        server.wait_until(|server| server.count("wait_for_queues") == 2).await;
        let task = server.add_queued_task("t1", &queue);
        assert_eq!(waiting.await.unwrap(), Ok(Some((queue.clone(), task.clone()))));
        assert_eq!(server.entries(&queue), [task]);
    });
}

#[test]
fn a_stop_is_told_at_once_and_a_start_refused() {
    paused().block_on(async {
        let server = FakeServer::with_extensions();
        let queue = server.add_queue("q1", "default");
        let task = server.add_queued_task("t1", &queue);
        assert_eq!(server.pop(&queue, Some(&TaskId::from("other"))).await, Ok(None));
        assert_eq!(server.pop(&queue, Some(&task)).await, Ok(Some(task.clone())));
        server.started(&task, "pulled", "", &[TaskStatus::Queued]).await.unwrap();
        server.request_stop(&task);
        let watched = server.wait_for_tasks(std::slice::from_ref(&task), Duration::from_secs(30)).await.unwrap();
        assert_eq!(watched[0].status_message, "stopping");
        let again = server.started(&task, "again", "", &[TaskStatus::InProgress]).await.unwrap_err();
        assert!(again.is_status_refused(), "{again}");
        server.stopped(&task, "by tasks.stop", "m").await.unwrap();
        let history: Vec<_> = server.history(&task).into_iter().map(|change| change.status).collect();
        assert_eq!(history, [TaskStatus::InProgress, TaskStatus::Stopped]);
    });
}

#[test]
fn failures_come_as_ordered() {
    paused().block_on(async {
        let server = FakeServer::new();
        let queue = server.add_queue("q1", "default");
        let task = server.add_queued_task("t1", &queue);
        let down = ClientError::Unavailable { url: "u".to_owned(), status: 503 };
        server.fail_next("pop", down.clone());
        server.lose_next_answer("pop");
        assert_eq!(server.pop(&queue, None).await, Err(down.clone()));
        assert_eq!(server.entries(&queue), std::slice::from_ref(&task), "the first failure has no effect");
        assert!(server.pop(&queue, None).await.unwrap_err().is_undecided());
        assert!(server.entries(&queue).is_empty(), "the second has");
        server.fail_always("ping", down);
        assert!(server.ping(&task).await.is_err() && server.ping(&task).await.is_err());
        server.heal("ping");
        server.ping(&task).await.unwrap();
        server.set_down(true);
        assert!(server.login().await.unwrap_err().is_transient());
    });
}

#[test]
fn logs_are_kept_in_order_and_found_by_time() {
    paused().block_on(async {
        let server = FakeServer::new();
        let queue = server.add_queue("q1", "default");
        let task = server.add_queued_task("t1", &queue);
        let event = |at: i64, msg: &str| LogEvent::new(task.clone(), "w".into(), "DEBUG", msg.to_owned(), at);
        let ghost = LogEvent { task: "ghost".into(), ..event(1, "x") };
        assert_eq!(server.add_logs(&[event(5, "b\n"), ghost.clone(), event(9, "c\n")]).await, Ok(2));
        assert!(server.add_logs(&[ghost]).await.unwrap_err().is_api(400, 131));
        assert_eq!(server.logs_since(&task, 6).await.unwrap(), [event(9, "c\n")]);
        assert_eq!(server.console(&task), "b\nc\n");
    });
}
