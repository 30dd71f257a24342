//! The exit code is the program's, the console is on the terminal and on the server.

use serde_json::json;

use super::Bench;
use crate::harness::Draft;

const PROGRAM: &str = "import os, sys\nprint('out', 7 * 6)\nprint('err', file=sys.stderr)\n\
    print('worker', os.environ['CLEARML_WORKER_ID'])\nsys.exit(int(open('code').read()) if os.path.exists('code') else 0)\n";

#[test]
fn a_task_that_succeeds_is_completed_and_leaves_nothing() {
    let bench = Bench::new();
    let task = bench.draft(PROGRAM);
    let done = bench.execute(&task, &[]);
    assert_eq!(done.code(), 0, "{done:#?}");
    assert!(done.stdout.lines().any(|line| line == "out 42") && done.stdout.contains("\nerr\n"), "{done:#?}");
    let found = bench.api.task(&task);
    assert_eq!((&found["status"], &found["status_reason"]), (&json!("completed"), &json!("worker execution done")));
    assert_eq!(bench.count(&task, "out 42"), 1);
    // Named after the process, as the stock agent names it.
    let worker = done.stdout.lines().find_map(|line| line.strip_prefix("worker ")).unwrap();
    assert!(worker.rsplit(':').next().unwrap().parse::<u32>().is_ok(), "{worker}");
    assert_eq!(found["last_worker"], worker);
    assert!(bench.api.console(&task).contains(&format!("task {task} executed by worker {worker}")));
    bench.is_clean();
}

#[test]
fn a_code_and_a_signal_are_passed_on() {
    let bench = Bench::new();
    let task = bench.draft("import sys\nprint('so far')\nsys.exit(7)\n");
    let done = bench.execute(&task, &[]);
    assert_eq!(done.code(), 7, "{done:#?}");
    assert_eq!(bench.api.task(&task)["status_reason"], "worker execution exit code 7");
    // What has ended may be run again.
    assert_eq!(bench.execute(&task, &[]).code(), 7);
    let killed = bench.draft("import os\nos.kill(os.getpid(), 9)\n");
    let done = bench.execute(&killed, &[]);
    assert_eq!(done.code(), 137, "{done:#?}");
    assert_eq!(bench.api.task(&killed)["status_reason"], "worker execution exit code -9");
    bench.is_clean();
}

#[test]
fn a_task_that_cannot_be_prepared_says_why_once() {
    let bench = Bench::new();
    let task = Draft::script("none", "print(1)").requirements("no-such-package-at-all==1").create(&bench.api);
    let done = bench.execute(&task, &[]);
    assert_eq!(done.code(), 1, "{done:#?}");
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", done.stderr);
    assert!(done.stderr.contains("environment failure"), "{}", done.stderr);
    assert_eq!(bench.api.status(&task), "failed");
    bench.is_clean();
}

#[test]
fn machines_read_a_document_and_people_a_file() {
    let bench = Bench::new();
    let task = bench.draft("print('shown')\nraise SystemExit(3)\n");
    let log = bench.place.path("task.log");
    let done = bench.execute(&task, &["--json", "--log-file", log.to_str().unwrap()]);
    assert_eq!(done.code(), 3, "{done:#?}");
    let document: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(document, json!({ "id": task, "exit_code": 3, "why": null }));
    assert!(done.stderr.contains("shown"), "the console is on the other side: {}", done.stderr);
    assert!(bench.place.read("task.log").lines().any(|line| line == "shown"));
}

#[test]
fn whoever_closes_the_output_does_not_end_the_task() {
    let bench = Bench::new();
    let task = bench.draft("for number in range(100000):\n    print('line', number)\n");
    let mut child = bench
        .command(&task, &[])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    bench.api.ended_as(&task, "completed");
    assert_eq!(bench.count(&task, "line 99999"), 1);
}
