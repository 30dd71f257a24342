//! Queues: found, looked at, popped, waited for.

use std::time::Duration;

use drivers::clearml::ClientError;
use protocols::ids::{QueueId, TaskId};

use crate::world::World;

crate::in_both_worlds!(
    a_queue_is_found_by_id_and_by_name,
    a_pop_takes_the_expected_head_only,
    a_task_leaves_its_queue_once,
    heads_are_told_without_taking_them,
    a_wait_ends_when_a_task_comes,
    what_does_not_exist_is_said_so,
);

async fn a_queue_is_found_by_id_and_by_name(world: World) {
    let server = world.server();
    server.login().await.unwrap();
    let made = server.create_queue("GPU jobs").await.unwrap();
    assert_eq!(server.create_queue("GPU jobs").await.unwrap(), made, "it is made once");
    assert_eq!(server.queue_by_name_or_id("gpu JOBS").await.unwrap(), made);
    assert_eq!(server.queue_by_name_or_id(made.id.as_str()).await.unwrap(), made);
    assert_eq!(server.default_queue().await.unwrap().name, "default");
    let error = server.queue_by_name_or_id("gpu job").await.unwrap_err();
    let ClientError::NoSuchQueue { suggestions, .. } = &error else { panic!("{error:?}") };
    assert_eq!(suggestions, &["GPU jobs", "default"]);
}

async fn a_pop_takes_the_expected_head_only(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    let first = world.queued_task("first", &queue).await;
    let second = world.queued_task("second", &queue).await;
    assert_eq!(server.queue_entries(&queue).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(server.pop(&queue, Some(&second)).await.unwrap(), None);
    assert_eq!(server.pop(&queue, Some(&first)).await.unwrap(), Some(first));
    assert_eq!(server.pop(&queue, None).await.unwrap(), Some(second));
    assert_eq!(server.pop(&queue, None).await.unwrap(), None);
}

async fn a_task_leaves_its_queue_once(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    let first = world.queued_task("first", &queue).await;
    let second = world.queued_task("second", &queue).await;
    assert!(server.leave_queue(&queue, &second).await.unwrap(), "it need not be the next");
    assert!(!server.leave_queue(&queue, &second).await.unwrap());
    assert!(!server.leave_queue(&QueueId::from("0123456789abcdef0123456789abcdef"), &first).await.unwrap());
    let status = server.task(&second).await.unwrap().unwrap().status;
    assert_eq!(status, protocols::clearml::status::TaskStatus::Queued, "nothing of the task changes");
    assert_eq!(server.queue_entries(&queue).await.unwrap(), [first]);
}

async fn heads_are_told_without_taking_them(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    let other = server.create_queue("other").await.unwrap().id;
    let task = world.queued_task("task", &queue).await;
    world.queued_task("next", &queue).await;
    let asked = [other.clone(), QueueId::from("0123456789abcdef0123456789abcdef"), queue.clone()];
    let heads = server.queues_heads(&asked).await.unwrap();
    assert_eq!(heads, [(other, None), (queue.clone(), Some(task))]);
    assert_eq!(server.queue_entries(&queue).await.unwrap().len(), 2);
}

async fn a_wait_ends_when_a_task_comes(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    assert!(server.extensions().await.unwrap().contains_key("hostler.wait_for_queues"));
    let queues = [server.create_queue("other").await.unwrap().id, queue.clone()];
    assert_eq!(server.wait_for_queues(&queues, Duration::from_millis(50)).await.unwrap(), None);
    let waiting = server.wait_for_queues(&queues, Duration::from_secs(30));
    let (found, task) = tokio::join!(waiting, world.queued_task("task", &queue));
    assert_eq!(found.unwrap(), Some((queue.clone(), task.clone())));
    let at_once = server.wait_for_queues(&queues, Duration::from_secs(30)).await.unwrap();
    assert_eq!(at_once, Some((queue.clone(), task.clone())), "it is still there");
    assert_eq!(server.queue_entries(&queue).await.unwrap(), [task]);
}

async fn what_does_not_exist_is_said_so(world: World) {
    let (server, unknown) = (world.server(), QueueId::from("0123456789abcdef0123456789abcdef"));
    assert!(server.pop(&unknown, None).await.unwrap_err().is_api(400, 701));
    assert!(server.queue_entries(&unknown).await.unwrap_err().is_api(400, 701));
    let task = TaskId::from("0123456789abcdef0123456789abcdef");
    assert_eq!(server.task(&task).await.unwrap(), None);
    assert_eq!(server.task_statuses(std::slice::from_ref(&task)).await.unwrap()[0].status, None);
    assert!(server.started(&task, "", "", &[]).await.unwrap_err().is_unknown_task());
    assert!(server.completed(&task, "", "").await.unwrap_err().is_unknown_task());
    server.ping(&task).await.unwrap();
}
