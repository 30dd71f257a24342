//! A fence against what a killed executor leaves behind.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use drivers::process::{fence, is_alive, process_id};
use protocols::ids::ProcessId;
use protocols::order::MARK_VARIABLE;

const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn process_of(pid_file: &Path) -> ProcessId {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(pid_file).unwrap_or_default();
        if let Some(process) = text.trim().parse().ok().and_then(process_id) {
            return process;
        }
        assert!(Instant::now() < deadline, "{} did not appear", pid_file.display());
        std::thread::yield_now();
    }
}

/// Starts a shell that carries the mark; its children write their pids into files named like themselves.
fn start(folder: &Path, mark: &str, script: &str) -> std::process::Child {
    Command::new("sh")
        .args(["-c", script])
        .env(MARK_VARIABLE, mark)
        .current_dir(folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_fence_ends_the_attempt_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // Unique for this run of this test: other tests, and earlier runs, may have processes of their own.
    let mark = format!("task.{}.1", folder.path().display());
    let mut attempt = start(
        folder.path(),
        &mark,
        r#"
        setsid sh -c 'trap "" TERM; echo $$ > session.tmp; mv session.tmp session; while :; do sleep 1000; done' &
        (env -u HOSTLER_ATTEMPT sh -c 'echo $$ > bare.tmp; mv bare.tmp bare; while :; do sleep 1000; done'; true) &
        echo $$ > leader.tmp; mv leader.tmp leader
        wait
        "#,
    );
    let other_folder = tempfile::tempdir().unwrap();
    let mut other = start(
        other_folder.path(),
        &format!("{mark}0"),
        "echo $$ > leader.tmp; mv leader.tmp leader; while :; do sleep 1000; done",
    );
    let members = ["leader", "session", "bare"].map(|name| process_of(&folder.path().join(name)));
    let stranger = process_of(&other_folder.path().join("leader"));

    let report = fence(&mark);
    assert!(report.is_clear(), "{report:?}");
    assert!(report.killed >= members.len(), "{report:?}");
    assert!(!members.iter().any(|member| is_alive(*member)), "one that dropped the mark is found by its parent");
    assert!(is_alive(stranger), "a mark is compared as a whole");
    assert_eq!(fence(&mark).killed, 0, "a second fence finds nothing");

    attempt.wait().unwrap();
    assert_eq!(fence(&format!("{mark}0")).left, []);
    other.wait().unwrap();
}
