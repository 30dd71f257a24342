//! `kill -9` of `hostler execute`: the task runs on, and the same command takes it over.

use rustix::process::Signal;

use super::{Bench, LIMIT};
use crate::harness::{Draft, Gate, ProcessExt as _, eventually, lines_with};

#[test]
fn the_same_command_takes_the_task_over() {
    let bench = Bench::new();
    let mut gate = Gate::shut(&bench.place.path("gate"));
    let program = format!(
        "for number in range(50):\n    print('early', number, flush=True)\n{}\n\
         for number in range(50):\n    print('late', number, flush=True)\nraise SystemExit(5)\n",
        gate.python()
    );
    let task = bench.draft(&program);
    let mut first = bench.start(&task, &[]);
    eventually("the first half", || bench.place.read("logs/execute.out").contains("early 49"));
    let worker = bench.api.task(&task)["last_worker"].clone();
    first.signal(Signal::KILL);
    first.code();
    assert_eq!(bench.api.status(&task), "in_progress");
    let mut second = bench.start(&task, &[]);
    eventually("what was shown before is shown again", || bench.place.read("logs/execute.out").contains("early 49"));
    gate.open();
    assert_eq!(second.code(), 5);
    let shown = bench.place.read("logs/execute.out");
    for prefix in ["early", "late"] {
        let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with(prefix)).collect();
        assert_eq!(lines, lines_with(prefix, 50), "once on the terminal");
        assert_eq!(bench.api.console_lines(&task, prefix), lines_with(prefix, 50), "once on the server");
    }
    let found = bench.api.ended_as(&task, "failed");
    assert_eq!((&found["status_reason"], &found["last_worker"]), (&"worker execution exit code 5".into(), &worker));
    bench.is_clean();
}

/// A task that ends while nobody is there.
#[test]
fn an_end_that_nobody_saw_is_reported_with_its_code() {
    let bench = Bench::new();
    let mut gate = Gate::shut(&bench.place.path("gate"));
    let done = bench.place.path("done");
    let program = format!("print('begun', flush=True)\n{}\nopen({done:?}, 'w')\nraise SystemExit(6)\n", gate.python());
    let task = bench.draft(&program);
    let mut first = bench.start(&task, &[]);
    eventually("its first line", || bench.place.read("logs/execute.out").contains("begun"));
    first.signal(Signal::KILL);
    first.code();
    gate.open();
    eventually("its end", || done.exists());
    let second = bench.execute(&task, &[]);
    assert_eq!(second.code(), 6, "{second:#?}");
    assert_eq!(bench.api.ended_as(&task, "failed")["status_reason"], "worker execution exit code 6");
    bench.is_clean();
}

/// Dies after each thing that it writes down: the next one brings the task to the same end, which it has once.
#[test]
fn a_crash_at_any_point_loses_nothing_and_runs_nothing_twice() {
    let bench = Bench::new();
    for from_queue in [false, true] {
        for appends in 1.. {
            let ran = bench.place.path(&format!("ran-{from_queue}-{appends}"));
            let program = format!("open({ran:?}, 'a').write('x')\nprint('here')\nraise SystemExit(7)\n");
            let draft = Draft::script("crash", &program);
            let task = if from_queue { draft.enqueue(&bench.api) } else { draft.create(&bench.api) };
            let mut command = bench.command(&task, &[]);
            let first = command.env("HOSTLER_TEST_ABORT_AFTER_APPENDS", appends.to_string()).finish_within(LIMIT);
            if first.code() == 7 {
                // The journal of a whole run is shorter than that.
                assert!(appends > 6, "only {appends} appends");
                break;
            }
            assert_eq!(first.code(), -1, "{first:#?}");
            let second = bench.execute(&task, &[]);
            assert_eq!(second.code(), 7, "after {appends}: {second:#?}");
            assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x", "after {appends}: {second:#?}");
            bench.api.ended_as(&task, "failed");
            bench.is_clean();
        }
    }
}
