//! What is not run: one clear line, a code, nothing left, and the task as it was.

use serde_json::json;

use super::Bench;
use crate::harness::{Daemon, Draft, Finished, Gate, audit, eventually};

#[track_caller]
fn refused(done: &Finished, code: i32, words: &[&str]) {
    assert_eq!(done.code(), code, "{done:#?}");
    let errors: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", done.stderr);
    assert!(words.iter().all(|word| errors[0].contains(word)), "{}", errors[0]);
}

#[test]
fn no_such_task_and_no_such_server() {
    let bench = Bench::new();
    bench.draft("print(1)");
    refused(&bench.execute("0123456789abcdef0123456789abcdef", &[]), 2, &["no task has the id or name"]);
    refused(&bench.execute("two", &[]), 2, &["no task has the name", "\"one\""]);
    let done = |variables: &[(&str, &str)]| {
        let mut command = bench.command("one", &[]);
        crate::harness::ProcessExt::finish_within(command.envs(variables.iter().copied()), super::LIMIT)
    };
    refused(&done(&[("CLEARML_API_SECRET_KEY", "wrong")]), 78, &["refuses the access key"]);
    refused(&done(&[("CLEARML_API_HOST", "http://127.0.0.1:9")]), 75, &["cannot reach the API server"]);
    refused(&bench.execute("one", &["--git-pass", "x"]), 2, &["seen by everybody"]);
    bench.is_clean();
}

#[test]
fn what_is_put_away_or_in_no_queue_stays_as_it_is() {
    let bench = Bench::new();
    let task = bench.draft("print(1)");
    refused(&bench.execute(&task, &["--require-queue"]), 1, &[&task, "created", "--require-queue"]);
    assert_eq!(bench.api.status(&task), "created");
    assert_eq!(bench.execute(&task, &[]).code(), 0);
    bench.api.call("tasks.publish", json!({ "task": task }));
    refused(&bench.execute(&task, &[]), 1, &[&task, "published", "--clone"]);
    assert_eq!(bench.api.status(&task), "published");
    bench.is_clean();
}

#[test]
fn what_runs_already_runs_once() {
    let bench = Bench::new();
    let _daemon = Daemon::start(&bench.place, &bench.server, &["--cpu-only"]);
    let mut gate = Gate::shut(&bench.place.path("gate"));
    let of_daemon = Draft::script("daemon's", &format!("{}\nprint('ran')", gate.python())).enqueue(&bench.api);
    eventually("a task that runs", || bench.api.status(&of_daemon) == "in_progress");
    refused(&bench.execute(&of_daemon, &[]), 1, &[&of_daemon, "in_progress", "--clone"]);
    // Beside the daemon another task runs, which a second process leaves alone.
    let own = bench.draft(&format!("print('begun', flush=True)\n{}", gate.python()));
    let mut running = bench.start(&own, &[]);
    eventually("the first line", || bench.place.read("logs/execute.out").contains("begun"));
    refused(&bench.execute(&own, &[]), 75, &[&own, "pid"]);
    gate.open();
    assert_eq!(running.code(), 0);
    bench.api.ended_as(&of_daemon, "completed");
    assert_eq!(bench.count(&of_daemon, "ran"), 1);
    audit(&bench.place);
}
