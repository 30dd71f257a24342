//! What must hold whatever happens.

use drivers::clearml::{ClientError, FakeServer};
use protocols::clearml::status::TaskStatus;
use protocols::control::ControlRequest;
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::ids::TaskId;
use protocols::ipc::{DaemonFrame, ExecutorFact};
use protocols::lifecycle::{Exit, Outcome, StopReason, TaskState};
use protocols::order::{Ended, Progress};

use super::panics::PanicTarget;
use super::rig::{Player, Rig, eventually, kill_executor, write_record};
use crate::daemon::DaemonExit;
use crate::daemon::child::Child;

fn both_servers() -> [FakeServer; 2] {
    [FakeServer::new(), FakeServer::with_extensions()]
}

async fn reaches(rig: &Rig, task: &TaskId, status: TaskStatus) {
    eventually(&format!("{task} {status:?}"), || (rig.server.task_now(task)?.status == status).then_some(())).await;
}

fn console_of_user(rig: &Rig, task: &TaskId) -> String {
    let logs = rig.server.logs(task);
    logs.into_iter().filter(|event| event.level == "DEBUG").map(|event| event.msg).collect()
}

fn outcome(rig: &Rig, task: &TaskId) -> Outcome {
    let state = rig.audit().runs[task].state.clone();
    assert!(matches!(state, TaskState::Settled(_)), "{task} is {state:?}");
    state.outcome().cloned().unwrap()
}

fn down() -> ClientError {
    ClientError::Unreachable { url: "fake://server".to_owned(), why: "down".to_owned() }
}

#[tokio::test]
async fn a_task_goes_from_its_queue_to_its_result() {
    for server in both_servers() {
        let rig = Rig::new(server, 1);
        let task = rig.server.add_queued_task("t1", &rig.queue);
        let daemon = rig.start();
        let mut player = Player::attach(rig.order().await).await;
        player.prepare().await;
        player.print("hello\nworld\n");
        player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
        reaches(&rig, &task, TaskStatus::Completed).await;
        assert_eq!(console_of_user(&rig, &task), "hello\nworld\n");
        let done = rig.server.task_now(&task).unwrap();
        assert_eq!(done.status_reason, "worker execution done");
        assert_eq!(done.status_message, "Changed by clearml-agent host:cpu:0");
        assert_eq!(daemon.leave(ControlRequest::Drain).await, DaemonExit::Drained);
        assert_eq!(outcome(&rig, &task), Outcome::Completed);
    }
}

#[tokio::test]
async fn answers_that_are_lost_change_nothing() {
    for method in ["pop", "started", "add_logs", "completed", "task", "set_requirements"] {
        let rig = Rig::new(FakeServer::with_extensions(), 1);
        let task = rig.server.add_queued_task("t1", &rig.queue);
        for _ in 0..3 {
            rig.server.lose_next_answer(method);
        }
        let daemon = rig.start();
        let mut player = Player::attach(rig.order().await).await;
        player.prepare().await;
        player.print("only once\n");
        player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
        reaches(&rig, &task, TaskStatus::Completed).await;
        assert_eq!(console_of_user(&rig, &task), "only once\n", "{method}");
        let closing = rig.server.console(&task).matches("Process completed successfully").count();
        assert_eq!(closing, 1, "{method}");
        daemon.leave(ControlRequest::Drain).await;
        assert_eq!(outcome(&rig, &task), Outcome::Completed);
    }
}

#[tokio::test]
async fn no_more_is_pulled_than_there_are_slots() {
    let rig = Rig::new(FakeServer::with_extensions(), 2);
    for index in 0..5 {
        rig.server.add_queued_task(&format!("t{index}"), &rig.queue);
    }
    let daemon = rig.start();
    let orders = rig.orders(2).await;
    assert_eq!(rig.server.entries(&rig.queue).len(), 3);
    let workers: std::collections::BTreeSet<_> = orders.iter().map(|order| order.worker.clone()).collect();
    assert_eq!(workers.len(), 2, "each slot has one");
    let mut player = Player::attach(orders[0].clone()).await;
    player.prepare().await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(1)))).await;
    eventually("the next is pulled", || (rig.server.entries(&rig.queue).len() == 2).then_some(())).await;
    reaches(&rig, &orders[0].task.id, TaskStatus::Failed).await;
    assert_eq!(rig.server.task_now(&orders[0].task.id).unwrap().status_reason, "worker execution exit code 1");
    assert_eq!(daemon.leave(ControlRequest::Detach).await, DaemonExit::Detached);
}

#[tokio::test]
async fn an_abort_reaches_the_executor_and_wins_over_its_exit() {
    for server in both_servers() {
        let rig = Rig::new(server, 1);
        let task = rig.server.add_queued_task("t1", &rig.queue);
        let daemon = rig.start();
        let mut player = Player::attach(rig.order().await).await;
        player.prepare().await;
        // The second start, which a stock server forgets an abort with that came a moment before.
        let reason = || rig.server.task_now(&task).unwrap().status_reason;
        eventually("user code", || (reason() == "worker starting task execution").then_some(())).await;
        rig.server.request_stop(&task);
        assert_eq!(player.next().await, DaemonFrame::Stop { reason: StopReason::UserAbort, grace_ms: 1000 });
        player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
        reaches(&rig, &task, TaskStatus::Stopped).await;
        assert_eq!(rig.server.task_now(&task).unwrap().status_reason, "task was stopped by tasks.stop");
        daemon.leave(ControlRequest::Drain).await;
        assert_eq!(outcome(&rig, &task), Outcome::Stopped(StopReason::UserAbort));
    }
}

#[tokio::test]
async fn an_abort_before_the_executor_is_there_is_not_lost() {
    let rig = Rig::new(FakeServer::new(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let order = rig.order().await;
    reaches(&rig, &task, TaskStatus::InProgress).await;
    rig.server.request_stop(&task);
    while daemon.status().await.is_none_or(|status| status.tasks[0].phase != Phase::Stopping) {
        tokio::task::yield_now().await;
    }
    let mut player = Player::attach(order).await;
    assert!(matches!(player.next().await, DaemonFrame::Stop { reason: StopReason::UserAbort, .. }));
    player.tell(ExecutorFact::Ended(Ended::StoppedBeforeStart)).await;
    reaches(&rig, &task, TaskStatus::Stopped).await;
    daemon.leave(ControlRequest::Drain).await;
}

#[tokio::test]
async fn a_task_that_is_stopped_between_pull_and_start_does_not_run() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    rig.server.set_status(&task, TaskStatus::Stopped, "Stopped by user");
    let daemon = rig.start();
    eventually("pulled", || rig.server.entries(&rig.queue).is_empty().then_some(())).await;
    daemon.leave(ControlRequest::Drain).await;
    assert_eq!(rig.server.task_now(&task).unwrap().status, TaskStatus::Stopped);
    assert_eq!(rig.server.count("started"), 0);
}

#[tokio::test]
async fn the_next_daemon_takes_over_what_runs() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let first = rig.start();
    let order = rig.order().await;
    let mut player = Player::attach(order.clone()).await;
    player.prepare().await;
    player.print("one\n");
    player.console(4).await;
    eventually("shipped", || (console_of_user(&rig, &task) == "one\n").then_some(())).await;
    assert_eq!(first.leave(ControlRequest::Detach).await, DaemonExit::Detached);
    player.print("two\n");
    let second = rig.start();
    let mut player = Player::attach(order).await;
    // All facts come again, as from an executor that was never acknowledged.
    player.prepare().await;
    let status = second.status().await.unwrap();
    assert_eq!((status.tasks.len(), status.tasks[0].attached), (1, true));
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    reaches(&rig, &task, TaskStatus::Completed).await;
    assert_eq!(console_of_user(&rig, &task), "one\ntwo\n");
    let said = rig.server.console(&task).matches("pulled from").count();
    assert_eq!(said, 1);
    second.leave(ControlRequest::Drain).await;
    assert_eq!(outcome(&rig, &task), Outcome::Completed);
}

#[tokio::test]
async fn a_pull_that_could_not_be_written_down_is_found_again() {
    let rig = Rig::new(FakeServer::new(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    // What a daemon leaves that dies between the pop and its record.
    std::fs::create_dir_all(rig.state_dir()).unwrap();
    let store = drivers::journal::Journal::open(&rig.state_dir().join("journal.db")).unwrap();
    let intent = protocols::journal::JournalRecord::PullIntended {
        worker: protocols::ids::WorkerId::from("host:cpu:0"),
        queue: rig.queue.clone(),
        gpus: Vec::new(),
        share: protocols::gpu::Share::WHOLE,
    };
    store.append(task.clone(), intent, 0).await.unwrap();
    drop(store);
    drivers::clearml::TaskServer::pop(&rig.server, &rig.queue, Some(&task)).await.unwrap();
    let daemon = rig.start();
    let mut player = Player::attach(rig.order().await).await;
    player.prepare().await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    reaches(&rig, &task, TaskStatus::Completed).await;
    daemon.leave(ControlRequest::Drain).await;
    assert_eq!(outcome(&rig, &task), Outcome::Completed);
}

#[tokio::test]
async fn an_executor_that_dies_before_user_code_is_followed_by_another() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let order = rig.order().await;
    assert_eq!(order.attempt.0, 1);
    kill_executor(&order).await;
    let orders = rig.orders(2).await;
    let second = orders.into_iter().find(|order| order.attempt.0 == 2).unwrap();
    let mut player = Player::attach(second).await;
    player.prepare().await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    reaches(&rig, &task, TaskStatus::Completed).await;
    daemon.leave(ControlRequest::Drain).await;
    assert_eq!(outcome(&rig, &task), Outcome::Completed);
}

#[tokio::test]
async fn an_executor_that_dies_under_user_code_fails_the_task() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let order = rig.order().await;
    write_record(&order, Progress::Launching(Default::default()));
    kill_executor(&order).await;
    reaches(&rig, &task, TaskStatus::Failed).await;
    let reason = rig.server.task_now(&task).unwrap().status_reason;
    assert!(reason.contains("infrastructure"), "{reason}");
    daemon.leave(ControlRequest::Drain).await;
    assert_eq!(outcome(&rig, &task).class(), Some(FailureClass::Infrastructure));
}

#[tokio::test]
async fn a_server_that_is_away_delays_nothing_but_the_news() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let mut player = Player::attach(rig.order().await).await;
    reaches(&rig, &task, TaskStatus::InProgress).await;
    rig.server.set_down(true);
    player.prepare().await;
    player.print("while you were away\n");
    player.console(20).await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    assert_eq!(rig.server.task_now(&task).unwrap().status, TaskStatus::InProgress);
    rig.server.set_down(false);
    reaches(&rig, &task, TaskStatus::Completed).await;
    assert_eq!(console_of_user(&rig, &task), "while you were away\n");
    daemon.leave(ControlRequest::Drain).await;
}

#[tokio::test]
async fn one_tasks_trouble_with_the_server_is_not_anothers() {
    let rig = Rig::new(FakeServer::with_extensions(), 2);
    let first = rig.server.add_queued_task("t1", &rig.queue);
    let second = rig.server.add_queued_task("t2", &rig.queue);
    let daemon = rig.start();
    let mut players = Vec::new();
    for order in rig.orders(2).await {
        players.push(Player::attach(order).await);
    }
    players.sort_by(|a, b| a.order.task.id.cmp(&b.order.task.id));
    for player in &mut players {
        player.prepare().await;
    }
    rig.server.fail_always("completed", down());
    players[0].tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    let failure = TaskFailure::because(FailureClass::User, Phase::Running, "of its own");
    players[1].tell(ExecutorFact::Ended(Ended::PreparationFailed(failure))).await;
    reaches(&rig, &second, TaskStatus::Failed).await;
    assert_eq!(rig.server.task_now(&first).unwrap().status, TaskStatus::InProgress);
    rig.server.heal("completed");
    reaches(&rig, &first, TaskStatus::Completed).await;
    daemon.leave(ControlRequest::Drain).await;
}

#[tokio::test]
async fn a_deleted_task_is_stopped_and_forgotten() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let mut player = Player::attach(rig.order().await).await;
    player.prepare().await;
    reaches(&rig, &task, TaskStatus::InProgress).await;
    rig.server.remove_task(&task);
    assert!(matches!(player.next().await, DaemonFrame::Stop { reason: StopReason::Deleted, .. }));
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Signal(15)))).await;
    daemon.leave(ControlRequest::Drain).await;
    assert_eq!(outcome(&rig, &task), Outcome::Stopped(StopReason::Deleted));
}

#[tokio::test]
async fn a_task_without_code_fails_with_a_reason() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let mut empty = rig.server.task_now(&task).unwrap();
    empty.script = None;
    rig.server.add_task(empty);
    let daemon = rig.start();
    reaches(&rig, &task, TaskStatus::Failed).await;
    let reason = rig.server.task_now(&task).unwrap().status_reason;
    assert!(reason.starts_with("code failure"), "{reason}");
    daemon.leave(ControlRequest::Drain).await;
}

#[tokio::test]
async fn an_actor_that_panics_is_rebuilt_and_its_neighbours_do_not_notice() {
    for child in [Child::Reporter, Child::QueuePoller, Child::AbortWatcher, Child::ExecutorGateway, Child::Metrics] {
        let rig = Rig::new(FakeServer::with_extensions(), 2);
        let first = rig.server.add_queued_task("t1", &rig.queue);
        let daemon = rig.start();
        let mut player = Player::attach(rig.order().await).await;
        player.prepare().await;
        player.print("before\n");
        player.console(7).await;
        reaches(&rig, &first, TaskStatus::InProgress).await;
        daemon.panic(PanicTarget::Child(child)).await;
        player.print("after\n");
        player.console(13).await;
        // The rest of the daemon goes on: it pulls, it hears aborts, it takes executors, it reports.
        let second = rig.server.add_queued_task("t2", &rig.queue);
        let orders = rig.orders(2).await;
        let order = orders.into_iter().find(|order| order.task.id == second).unwrap();
        let mut other = Player::attach(order).await;
        other.prepare().await;
        reaches(&rig, &second, TaskStatus::InProgress).await;
        rig.server.request_stop(&second);
        assert!(matches!(other.next().await, DaemonFrame::Stop { .. }), "{child:?}");
        other.tell(ExecutorFact::Ended(Ended::Exited(Exit::Signal(15)))).await;
        reaches(&rig, &second, TaskStatus::Stopped).await;
        player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
        reaches(&rig, &first, TaskStatus::Completed).await;
        assert_eq!(console_of_user(&rig, &first), "before\nafter\n", "{child:?}");
        assert_eq!(daemon.leave(ControlRequest::Drain).await, DaemonExit::Drained, "{child:?}");
        assert_eq!(outcome(&rig, &first), Outcome::Completed);
    }
}

#[tokio::test]
async fn a_runner_that_panics_is_rebuilt_from_the_journal() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let order = rig.order().await;
    let mut player = Player::attach(order.clone()).await;
    player.prepare().await;
    daemon.panic(PanicTarget::Runner(task.clone())).await;
    drop(player);
    let mut player = Player::attach(order).await;
    player.prepare().await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    reaches(&rig, &task, TaskStatus::Completed).await;
    let next = rig.server.add_queued_task("t2", &rig.queue);
    eventually("the lease is free again", || rig.server.entries(&rig.queue).is_empty().then_some(())).await;
    reaches(&rig, &next, TaskStatus::InProgress).await;
    daemon.leave(ControlRequest::Detach).await;
}

#[tokio::test]
async fn an_actor_that_panics_again_and_again_ends_the_daemon_and_not_its_tasks() {
    let rig = Rig::new(FakeServer::with_extensions(), 1);
    let task = rig.server.add_queued_task("t1", &rig.queue);
    let daemon = rig.start();
    let order = rig.order().await;
    let mut player = Player::attach(order.clone()).await;
    player.prepare().await;
    let mut again = tokio::time::interval(std::time::Duration::from_millis(20));
    while !daemon.has_ended() {
        again.tick().await;
        daemon.panic(PanicTarget::Child(Child::Metrics)).await;
    }
    let DaemonExit::Failed(why) = daemon.ended().await else { panic!("it should have failed") };
    assert!(why.contains("Metrics"), "{why}");
    let next = rig.start();
    let mut player = Player::attach(order).await;
    player.prepare().await;
    player.tell(ExecutorFact::Ended(Ended::Exited(Exit::Code(0)))).await;
    reaches(&rig, &task, TaskStatus::Completed).await;
    next.leave(ControlRequest::Drain).await;
}

#[tokio::test]
async fn an_owner_of_durable_state_that_panics_ends_the_daemon_at_once() {
    for child in [Child::Journal, Child::GpuPartitioner, Child::TaskManager] {
        let rig = Rig::new(FakeServer::with_extensions(), 1);
        let daemon = rig.start();
        daemon.panic(PanicTarget::Child(child)).await;
        assert!(matches!(daemon.ended().await, DaemonExit::Failed(_)), "{child:?}");
    }
}
