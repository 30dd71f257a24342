//! The executor as a process of its own, against a daemon that is written by hand here.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod stub;

use std::time::Duration;

use drivers::process::{Signal, exited, fence, is_alive, process_id, signal};
use protocols::failure::{FailureClass, Phase};
use protocols::ids::ProcessId;
use protocols::ipc::{DaemonFrame, ExecutorFact, ExecutorFrame};
use protocols::lifecycle::Exit;
use protocols::order::{CONSOLE_FILE, Ended, Progress};
use protocols::task::{CodeSource, Interpreter, Revision};
use stub::{Attempt, Connection, eventually};

/// Not a test: the program that [`Attempt::start`] starts, this same file with the attempt's folder as the last
/// argument.
#[test]
#[ignore = "the executor that the tests of this file start"]
fn executor_process() {
    let folder = std::env::args().next_back().expect("the folder is the last argument");
    let exit = actors::executor::run(std::path::Path::new(&folder));
    assert_eq!(exit.code(), 0, "{exit:?}");
}

/// A script that starts a process which ignores SIGTERM in a session of its own; both write their pids.
const RUNAWAY: &str = r#"
    setsid sh -c 'trap "" TERM; echo $$ > runaway.tmp; mv runaway.tmp runaway; while :; do sleep 1000; done' &
    echo $$ > leader.tmp; mv leader.tmp leader
    echo running
    while :; do sleep 1000 & wait; done
"#;

fn pid_in(attempt: &Attempt, name: &str) -> Option<ProcessId> {
    process_id(std::fs::read_to_string(attempt.code().join(name)).ok()?.trim().parse().ok()?)
}

async fn both_of(attempt: &Attempt) -> [ProcessId; 2] {
    let leader = eventually(|| pid_in(attempt, "leader")).await;
    [leader, eventually(|| pid_in(attempt, "runaway")).await]
}

fn none_lives(processes: &[ProcessId]) -> bool {
    !processes.iter().any(|process| is_alive(*process))
}

#[tokio::test]
async fn a_task_runs_from_order_to_acknowledged_end() {
    let script = "echo \"$CLEARML_TASK_ID $GIVEN\"; echo problem >&2; readlink /proc/self/fd/0; exit 3";
    let attempt = Attempt::shell(script, |order| {
        order.environment.insert("GIVEN".into(), "by the daemon".into());
    });
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    assert_eq!(connection.hello, attempt.hello(executor));
    let facts = connection.facts_until_end().await;

    let numbers: Vec<u64> = facts.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=facts.len() as u64).collect::<Vec<_>>());
    let important: Vec<_> =
        facts.into_iter().map(|(_, fact)| fact).filter(|fact| !matches!(fact, ExecutorFact::PhaseStarted(_))).collect();
    let ended = Ended::Exited(Exit::Code(3));
    assert!(matches!(
        &important[..],
        [ExecutorFact::EnvironmentReady(_), ExecutorFact::UserStarted, ExecutorFact::Ended(end)] if *end == ended
    ));

    let console = attempt.console();
    assert!(console.ends_with("task by the daemon\nproblem\n/dev/null\n"), "{console}");
    assert_eq!(connection.console_length, console.len() as u64, "the length was final before the end was told");
    assert!(matches!(attempt.record().progress, Progress::Ended(Some(_), end) if end == ended));
    assert!(is_alive(executor), "it stays until its end is acknowledged");
    connection.acknowledge(numbers.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn python_runs_with_the_machines_interpreter() {
    let script = "import os, sys\nprint(sys.argv[1:], os.environ['PYTHONPATH'].split(':')[-1] == os.getcwd())\n";
    let attempt = Attempt::script("train.py --lr '0.1 x'", script, |order| {
        order.task.interpreter = Interpreter::Python { binary: "python3".into(), version: None };
        order.python.skip_install = true;
    });
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Code(0))), "{}", attempt.console());
    assert!(attempt.console().ends_with("['--lr', '0.1 x'] True\n"), "{}", attempt.console());
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_daemon_that_is_away_holds_nothing_up() {
    let attempt = Attempt::shell("echo done > result", |_| {});
    let executor = attempt.start();
    eventually(|| std::fs::read(attempt.code().join("result")).ok()).await;
    eventually(|| matches!(attempt.record().progress, Progress::Ended(..)).then_some(())).await;
    assert!(is_alive(executor));
    let listener = attempt.listen();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    assert_eq!(facts[0].0, 1);
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn facts_are_repeated_until_they_are_acknowledged() {
    let attempt = Attempt::shell("while ! test -e go; do sleep 0.01; done", |_| {});
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut first = Connection::accept(&listener, 0).await;
    let before = first.facts_until(|fact| *fact == ExecutorFact::UserStarted).await;
    drop(first);
    let mut second = Connection::accept(&listener, 0).await;
    let again = second.facts_until(|fact| *fact == ExecutorFact::UserStarted).await;
    assert_eq!(again, before, "the same facts under the same numbers");
    drop(second);
    std::fs::write(attempt.code().join("go"), "").unwrap();
    let mut third = Connection::accept(&listener, 2).await;
    let rest = third.facts_until_end().await;
    assert_eq!(rest[..before.len() - 2], before[2..], "what was acknowledged in the handshake is not repeated");
    assert_eq!(rest.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Code(0))));
    third.acknowledge(rest.last().unwrap().0).await;
    exited(executor).await;
}

#[tokio::test]
async fn an_end_that_was_acknowledged_before_the_connection_broke_is_enough() {
    let attempt = Attempt::shell("true", |_| {});
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut first = Connection::accept(&listener, 0).await;
    let facts = first.facts_until_end().await;
    drop(first);
    let _second = Connection::accept(&listener, facts.last().unwrap().0).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_refused_executor_ends_everything_and_leaves() {
    let attempt = Attempt::shell(RUNAWAY, |order| order.stop_grace_ms = 100);
    let executor = attempt.start();
    let processes = both_of(&attempt).await;
    let listener = attempt.listen();
    let (mut reader, mut writer) = drivers::ipc::accept(&listener).await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Some(ExecutorFrame::Hello { .. })));
    writer.send(&DaemonFrame::Refused { why: "not mine".into() }).await.unwrap();
    exited(executor).await;
    assert!(none_lives(&processes));
}

#[tokio::test]
async fn a_stop_ends_runaways_after_the_grace() {
    let attempt = Attempt::shell(RUNAWAY, |_| {});
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let processes = both_of(&attempt).await;
    connection.stop(200).await;
    let facts = connection.facts_until_end().await;
    assert!(none_lives(&processes), "the end is told when everything is dead");
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Signal(15))));
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_second_stop_without_grace_kills_at_once() {
    let attempt = Attempt::shell(&format!("trap 'echo asked > asked' TERM\n{RUNAWAY}"), |_| {});
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let processes = both_of(&attempt).await;
    connection.stop(3_600_000).await;
    eventually(|| std::fs::read(attempt.code().join("asked")).ok()).await;
    assert!(is_alive(processes[0]), "it has an hour");
    connection.stop(0).await;
    let facts = connection.facts_until_end().await;
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Signal(9))));
    assert!(none_lives(&processes));
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn what_the_task_leaves_running_is_ended_before_the_end_is_told() {
    let attempt = Attempt::shell(
        "(setsid sh -c 'echo $$ > stray.tmp; mv stray.tmp stray; exec sleep 1000' > /dev/null 2>&1 &)
         while ! test -e stray; do sleep 0.01; done
         exit 5",
        |_| {},
    );
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    assert!(attempt.code().join("stray").exists());
    assert_eq!(pid_in(&attempt, "stray"), None, "it is dead");
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Code(5))), "the leader's own code");
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_stop_during_the_preparation_is_not_lost() {
    // A git server that takes the connection and never answers.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("git://{}/repository", server.local_addr().unwrap());
    let attempt = Attempt::shell("", |order| {
        order.task.code = CodeSource::Repository { url, revision: Revision::Default, diff: String::new() };
    });
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let _git = server.accept().await.unwrap();
    assert!(matches!(attempt.record().progress, Progress::Preparing));
    connection.stop(10_000).await;
    let facts = connection.facts_until_end().await;
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::StoppedBeforeStart));
    assert!(!facts.iter().any(|(_, fact)| *fact == ExecutorFact::UserStarted));
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_missing_entry_point_is_a_failure_of_the_code() {
    let attempt = Attempt::shell("", |order| {
        order.task.code = CodeSource::Nothing;
        order.task.entry_point = "gone.sh".into();
    });
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    let ExecutorFact::Ended(Ended::PreparationFailed(failure)) = &facts.last().unwrap().1 else {
        panic!("{facts:?}");
    };
    assert_eq!(failure.class, FailureClass::Code);
    assert!(failure.message.contains("gone.sh"), "{failure}");
    assert!(attempt.console().contains("gone.sh"), "people find it in the log");
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn an_interpreter_that_cannot_be_started_fails_the_task() {
    let attempt = Attempt::script("-c true", "true", |order| {
        let broken = order.cache_dir.join("broken-shell");
        std::fs::write(&broken, "neither a program nor a script").unwrap();
        order.task.interpreter = Interpreter::Shell(broken.display().to_string());
    });
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    let ExecutorFact::Ended(Ended::PreparationFailed(failure)) = &facts.last().unwrap().1 else {
        panic!("{facts:?}");
    };
    assert_eq!((failure.class, failure.phase), (FailureClass::Environment, Phase::Starting));
    assert!(failure.message.contains("broken-shell"), "{failure}");
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_signal_to_the_executor_stops_the_task() {
    let attempt = Attempt::shell(RUNAWAY, |order| order.stop_grace_ms = 100);
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let processes = both_of(&attempt).await;
    signal(executor, Signal::TERM).unwrap();
    let facts = connection.facts_until_end().await;
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Signal(15))));
    assert!(none_lives(&processes));
    // Told to end, it does not wait long for this.
    connection.acknowledge_if_there(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_signal_without_a_daemon_leaves_the_end_on_disk() {
    let attempt = Attempt::shell(RUNAWAY, |order| order.stop_grace_ms = 100);
    let executor = attempt.start();
    let processes = both_of(&attempt).await;
    signal(executor, Signal::TERM).unwrap();
    exited(executor).await;
    assert!(none_lives(&processes));
    let end = Ended::Exited(Exit::Signal(15));
    assert!(matches!(attempt.record().progress, Progress::Ended(_, ended) if ended == end));
}

#[tokio::test]
async fn a_killed_executor_leaves_a_record_and_what_the_fence_finds() {
    let attempt = Attempt::shell(RUNAWAY, |_| {});
    let executor = attempt.start();
    let processes = both_of(&attempt).await;
    let leader = eventually(|| match attempt.record().progress {
        Progress::Running(_, leader) => Some(leader),
        Progress::Preparing | Progress::Ready(_) | Progress::Launching(_) | Progress::Ended(..) => None,
    })
    .await;
    assert_eq!(leader, processes[0]);
    assert_eq!(attempt.record().executor, executor);
    signal(executor, Signal::KILL).unwrap();
    exited(executor).await;
    assert!(processes.iter().all(|process| is_alive(*process)), "they outlive it");
    let mark = attempt.order.mark();
    let report = tokio::task::spawn_blocking(move || fence(&mark)).await.unwrap();
    assert!(report.is_clear() && report.killed >= 2, "{report:?}");
    assert!(none_lives(&processes));
}

#[tokio::test]
async fn an_executor_whose_folder_vanished_leaves() {
    let attempt = Attempt::shell(RUNAWAY, |order| order.stop_grace_ms = 0);
    let executor = attempt.start();
    let processes = both_of(&attempt).await;
    // Nothing is written any more.
    eventually(|| matches!(attempt.record().progress, Progress::Running(..)).then_some(())).await;
    std::fs::remove_dir_all(&attempt.order.attempt_dir).unwrap();
    tokio::time::timeout(Duration::from_secs(20), exited(executor)).await.expect("it leaves");
    assert!(none_lives(&processes));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_fails_the_task() {
    // What is in the way of a file is a folder: writing fails for everybody, root included.
    for obstacle in ["record.tmp", CONSOLE_FILE] {
        let attempt = Attempt::shell("echo user code > ran", |_| {});
        std::fs::create_dir(attempt.order.attempt_dir.join(obstacle)).unwrap();
        check_infrastructure(&attempt, obstacle.split('.').next().unwrap()).await;
    }
}

#[tokio::test]
async fn user_code_is_not_started_without_a_durable_record() {
    let attempt = Attempt::script("x.py", "open('ran', 'w')", |order| {
        let slow = order.cache_dir.join("python3");
        let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\ntouch asked\n\
                      while ! test -e go; do sleep 0.01; done\nexec python3 \"$@\"\n";
        std::fs::write(&slow, script).unwrap();
        std::fs::set_permissions(&slow, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        order.task.interpreter = Interpreter::Python { binary: String::new(), version: None };
        order.python.binary = Some(slow.display().to_string());
        order.python.skip_install = true;
    });
    let cache = attempt.order.cache_dir.clone();
    let in_preparation = async {
        eventually(|| std::fs::read(cache.join("asked")).ok()).await;
        assert!(matches!(attempt.record().progress, Progress::Preparing));
        // A record may be about to be written under that name.
        eventually(|| std::fs::create_dir(attempt.order.attempt_dir.join("record.tmp")).ok()).await;
        std::fs::write(cache.join("go"), "").unwrap();
    };
    tokio::join!(check_infrastructure(&attempt, "record"), in_preparation);
}

async fn check_infrastructure(attempt: &Attempt, named: &str) {
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    let ExecutorFact::Ended(Ended::PreparationFailed(failure)) = &facts.last().unwrap().1 else {
        panic!("{facts:?}");
    };
    assert_eq!(failure.class, FailureClass::Infrastructure);
    assert!(failure.message.contains(named), "{failure}");
    assert!(!facts.iter().any(|(_, fact)| *fact == ExecutorFact::UserStarted));
    assert!(!attempt.code().join("ran").exists());
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}

#[tokio::test]
async fn a_repository_is_checked_out_patched_and_run_where_the_task_says() {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let program = folder.path().join("sub/run.sh");
    std::fs::create_dir(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "echo committed $1; pwd\n").unwrap();
    git(&["init"]);
    git(&["add", "."]);
    git(&["commit", "-m", "one"]);
    std::fs::write(&program, "echo changed $1; pwd\n").unwrap();
    let diff = git(&["diff"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    let attempt = Attempt::script("run.sh 'an argument'", "", |order| {
        let url = folder.path().display().to_string();
        order.task.code = CodeSource::Repository { url, revision: Revision::Branch("main".into()), diff };
        order.task.working_dir = "sub".into();
    });
    let listener = attempt.listen();
    let executor = attempt.start();
    let mut connection = Connection::accept(&listener, 0).await;
    let facts = connection.facts_until_end().await;
    let console = attempt.console();
    assert_eq!(facts.last().unwrap().1, ExecutorFact::Ended(Ended::Exited(Exit::Code(0))), "{console}");
    let expected = format!("changed an argument\n{}\n", attempt.code().join("sub").display());
    assert!(console.ends_with(&expected), "{console}");
    let report = facts.iter().find_map(|(_, fact)| match fact {
        ExecutorFact::EnvironmentReady(report) => Some(report),
        ExecutorFact::PhaseStarted(_) | ExecutorFact::UserStarted | ExecutorFact::Ended(_) => None,
    });
    assert_eq!(report.unwrap().commit.as_ref(), Some(&commit));
    connection.acknowledge(facts.len() as u64).await;
    exited(executor).await;
}
