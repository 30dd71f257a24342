//! The tree of an executor against processes that do what they can to get away.
//!
//! One test, because it makes its own process a subreaper and ends everything below it.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use drivers::process::{
    Signal, become_subreaper, descendants, is_alive, kill_descendants, process_id, reap_children, signal,
};
use protocols::ids::ProcessId;
use protocols::lifecycle::Exit;

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
#[track_caller]
fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not come about in {PATIENCE:?}");
        std::thread::yield_now();
    }
}

fn process_of(pid_file: &Path) -> ProcessId {
    eventually(|| process_id(std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?))
}

#[test]
fn nothing_below_a_subreaper_gets_away() {
    become_subreaper().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        trap 'echo terminated >> log; exit 7' TERM
        setsid sh -c 'trap "" TERM; echo $$ > session.tmp; mv session.tmp session; while :; do sleep 1000; done' &
        (sh -c 'trap "" TERM; echo $$ > orphan.tmp; mv orphan.tmp orphan; exec sleep 1000' &) 
        (setsid sh -c 'exec <&- >&- 2>&-; trap "" TERM HUP; echo $$ > daemon.tmp; mv daemon.tmp daemon
            while :; do sleep 1000; done' &)
        echo $$ > leader.tmp; mv leader.tmp leader
        while :; do wait; done
    "#;
    let child =
        Command::new("sh").args(["-c", script]).current_dir(folder.path()).stdin(Stdio::null()).spawn().unwrap();
    let leader_pid = i32::try_from(child.id()).unwrap();
    let strays = ["session", "orphan", "daemon"].map(|name| process_of(&folder.path().join(name)));
    let leader = process_of(&folder.path().join("leader"));
    assert_eq!(leader.pid, leader_pid);

    let own = i32::try_from(std::process::id()).unwrap();
    // The processes between a stray and this one end in their own time; then all are below this one.
    eventually(|| {
        let below: HashSet<ProcessId> = descendants(own).into_iter().collect();
        strays.iter().chain([&leader]).all(|process| below.contains(process)).then_some(())
    });

    for process in descendants(own) {
        signal(process, Signal::TERM).unwrap();
    }
    let ended = eventually(|| reap_children().into_iter().find(|reaped| reaped.pid == leader.pid));
    assert_eq!(ended.exit, Exit::Code(7), "the leader ends in its own way");
    assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "terminated\n");
    assert!(strays.iter().all(|stray| is_alive(*stray)), "these ignore SIGTERM");

    let (reaped, left) = kill_descendants(PATIENCE);
    assert_eq!(left, []);
    assert!(!strays.iter().any(|stray| is_alive(*stray)));
    for stray in &strays {
        let how = reaped.iter().find(|reaped| reaped.pid == stray.pid).map(|reaped| reaped.exit);
        assert_eq!(how, Some(Exit::Signal(9)), "each came back to the subreaper");
    }
    assert_eq!(descendants(own), []);
    assert!(reap_children().is_empty(), "no zombie is left");
    drop(child);
}
