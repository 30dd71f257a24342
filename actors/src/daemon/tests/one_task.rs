//! A daemon for one task.

use drivers::clearml::FakeServer;
use protocols::clearml::status::TaskStatus;
use protocols::ids::TaskId;
use protocols::ipc::ExecutorFact;
use protocols::lifecycle::{Exit, Outcome};
use protocols::order::Ended;

use super::rig::{Player, Rig};
use crate::daemon::{DaemonExit, OneTask, RunEnd, run_end};

/// A machine that is to run one task: the second of the queue, or, with a status, one that stands in none.
fn rig(server: FakeServer, status: Option<TaskStatus>) -> (Rig, TaskId) {
    let mut rig = Rig::new(server, 1);
    rig.server.add_queued_task("t1", &rig.queue);
    let task = rig.server.add_queued_task("t2", &rig.queue);
    let mut found = rig.server.task_now(&task).unwrap();
    if let Some(status) = status {
        rig.server.remove_task(&task);
        found.status = status;
    } else {
        found.execution.insert("queue".to_owned(), rig.queue.as_str().into());
    }
    rig.server.add_task(found);
    rig.only = Some(OneTask { task: task.clone(), must_be_queued: false });
    (rig, task)
}

async fn play(rig: &Rig, code: i32) {
    let mut player = Player::attach(rig.order().await).await;
    player.prepare().await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(code)))).await;
}

#[tokio::test]
async fn it_is_taken_wherever_it_is_and_the_daemon_leaves_with_it() {
    for status in [None, Some(TaskStatus::Created), Some(TaskStatus::Failed), Some(TaskStatus::Stopped)] {
        for server in [FakeServer::new(), FakeServer::with_extensions()] {
            let (rig, task) = rig(server, status);
            let daemon = rig.start();
            play(&rig, 3).await;
            assert_eq!(daemon.ended().await, DaemonExit::Drained);
            let end = RunEnd::Ended { outcome: Outcome::Exited(Exit::Code(3)), is_settled: true };
            assert_eq!(run_end(&rig.state_dir(), &task).unwrap(), end, "{status:?}");
            assert_eq!(rig.server.task_now(&task).unwrap().status_reason, "worker execution exit code 3");
            assert_eq!(rig.server.entries(&rig.queue), [TaskId::from("t1")], "the others wait on");
            assert!(!rig.server.worker(&"host:cpu:0".into()).unwrap().is_registered);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_does_not_lose_the_task() {
    for (method, status) in [("leave_queue", None), ("started", Some(TaskStatus::Created)), ("task", None)] {
        let (rig, task) = rig(FakeServer::with_extensions(), status);
        rig.server.lose_next_answer(method);
        let daemon = rig.start();
        play(&rig, 0).await;
        assert_eq!(daemon.ended().await, DaemonExit::Drained, "{method}");
        assert_eq!(rig.server.task_now(&task).unwrap().status, TaskStatus::Completed);
    }
}

#[tokio::test]
async fn what_is_not_to_be_run_is_left_alone() {
    for status in [TaskStatus::InProgress, TaskStatus::Published] {
        let (rig, task) = rig(FakeServer::with_extensions(), Some(status));
        let DaemonExit::NothingToRun(why) = rig.start().ended().await else { panic!("{status} was taken") };
        assert!(why.contains(status.as_str()), "{why}");
        assert_eq!(rig.server.task_now(&task).unwrap().status, status);
        assert_eq!(run_end(&rig.state_dir(), &task).unwrap(), RunEnd::NotTaken);
    }
    let mut rig = Rig::new(FakeServer::new(), 1);
    rig.only = Some(OneTask { task: "none".into(), must_be_queued: false });
    assert!(matches!(rig.start().ended().await, DaemonExit::NothingToRun(_)));
}

#[tokio::test]
async fn of_two_who_begin_a_draft_at_once_one_runs_it_where_the_server_lets_both() {
    for last_is_other in [true, false] {
        let (rig, task) = rig(FakeServer::new(), Some(TaskStatus::Created));
        let other = "Changed by clearml-agent other:7";
        rig.server.start_next_again(if last_is_other { other } else { "stopping" });
        let daemon = rig.start();
        if last_is_other {
            let DaemonExit::NothingToRun(why) = daemon.ended().await else { panic!("it was run twice") };
            assert!(why.contains("in_progress"), "{why}");
            assert_eq!(rig.server.task_now(&task).unwrap().status_message, other, "the other's task is left alone");
            assert_eq!(run_end(&rig.state_dir(), &task).unwrap(), RunEnd::NotTaken);
        } else {
            // An abort is no other worker: the task is this one's to stop.
            assert_eq!(daemon.ended().await, DaemonExit::Drained);
            assert_eq!(rig.server.task_now(&task).unwrap().status, TaskStatus::Stopped);
        }
    }
}
