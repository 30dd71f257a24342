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

#[test]
fn of_two_who_execute_a_draft_at_the_same_moment_one_runs_it_and_the_other_is_told() {
    let bench = Bench::new();
    for _ in 0..3 {
        let ran = bench.place.path("ran");
        let _ = std::fs::remove_file(&ran);
        let mut gate = Gate::shut(&bench.place.path("gate"));
        let task = bench.draft(&format!("open({ran:?}, 'a').write('x')\n{}", gate.python()));
        // Of two machines: neither finds the other in its state directory.
        let state = |name: &str| bench.place.path(name).to_str().unwrap().to_owned();
        let states = ["one", "two"].map(state);
        let both = std::thread::scope(|scope| {
            let run = |state| {
                let (bench, task) = (&bench, &task);
                scope.spawn(move || bench.execute(task, &["--state-dir", state]))
            };
            let threads = [&states[0], &states[1]].map(|state| run(state.as_str()));
            eventually("one who was told", || threads.iter().any(|thread| thread.is_finished()));
            gate.open();
            threads.map(|thread| thread.join().unwrap())
        });
        let [won, lost] = if both[0].code() == 0 { [&both[0], &both[1]] } else { [&both[1], &both[0]] };
        assert_eq!(won.code(), 0, "{both:#?}");
        refused(lost, 1, &[&task, "--clone"]);
        assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x", "{both:#?}");
        bench.api.ended_as(&task, "completed");
    }
    bench.is_clean();
}
