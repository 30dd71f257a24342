//! Where a task comes from, and what else is said on the command line.

use serde_json::json;

use super::Bench;
use crate::harness::Draft;

fn entries(bench: &Bench) -> Vec<String> {
    let queue = bench.api.call("queues.get_by_id", json!({ "queue": bench.api.queue("default") }));
    let entries = queue["queue"]["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["task"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_task_is_taken_out_of_its_queue_wherever_it_stands() {
    let bench = Bench::new();
    let draft = Draft::script("queued", "print('ran')");
    let [first, second, third] = [(); 3].map(|()| draft.enqueue(&bench.api));
    let done = bench.execute(&second, &["--require-queue", "--full-monitoring"]);
    assert_eq!(done.code(), 0, "{done:#?}");
    assert_eq!(entries(&bench), [first, third]);
    assert_eq!(bench.api.status(&second), "completed");
    assert!(bench.api.console(&second).contains("pulled from"), "{}", bench.api.console(&second));
    bench.is_clean();
}

/// As somebody does it who takes tasks from queues himself and hands them on.
#[test]
fn a_task_that_was_taken_from_its_queue_already_is_queued_enough() {
    let bench = Bench::new();
    let task = Draft::script("popped", "print('ran')").enqueue(&bench.api);
    bench.api.call("queues.get_next_task", json!({ "queue": bench.api.queue("default") }));
    let done = bench.execute(&task, &["--require-queue"]);
    assert_eq!(done.code(), 0, "{done:#?}");
    assert_eq!(bench.api.status(&task), "completed");
}

#[test]
fn a_copy_runs_and_the_task_itself_does_not() {
    let bench = Bench::new();
    let task = Draft::script("original", "import os\nprint('I am', os.environ['CLEARML_TASK_ID'])").create(&bench.api);
    // By its name, too.
    let done = bench.execute("original", &["--clone"]);
    assert_eq!(done.code(), 0, "{done:#?}");
    assert_eq!(bench.api.status(&task), "created");
    let said = format!("the copy of {task} is ");
    let copy = done.stderr.lines().find_map(|line| line.strip_prefix(&said)).expect(&done.stderr).to_owned();
    assert!(done.stdout.contains(&format!("I am {copy}")), "{}", done.stdout);
    let found = bench.api.task(&copy);
    assert_eq!((&found["status"], &found["name"]), (&json!("completed"), &json!("Clone of original")));
}

#[test]
fn who_watches_over_it_reports_it() {
    let bench = Bench::new();
    let task = bench.draft("print('for whoever started me')\nraise SystemExit(5)\n");
    let done = bench.execute(&task, &["--disable-monitoring"]);
    assert_eq!(done.code(), 5, "{done:#?}");
    assert!(done.stdout.contains("for whoever started me"));
    let found = bench.api.task(&task);
    assert_eq!(found["status"], "in_progress", "its end is not ours to report");
    assert_eq!(bench.api.console(&task), "");
    bench.is_clean();
}

#[test]
fn the_task_is_told_how_much_to_log_and_which_cards_it_has() {
    let bench = Bench::new();
    let program = "import os\nprint(os.environ['CLEARML_LOG_LEVEL'], os.environ['CUDA_VISIBLE_DEVICES'])\n\
        print('offline', os.environ.get('UV_OFFLINE'))";
    let task = bench.draft(program);
    let done = bench.execute(&task, &["--log-level", "debug"]);
    assert!(done.stdout.contains("DEBUG none\noffline None\n"), "{done:#?}");
    let done = bench.execute(&task, &["--standalone-mode"]);
    assert!(done.stdout.contains("INFO none\noffline 1\n"), "{done:#?}");
}

#[test]
fn nothing_is_fetched_for_a_task_that_stands_alone() {
    let bench = Bench::new();
    let draft = |version: &str| {
        Draft::script("alone", "import six\nprint('six', six.__version__)")
            .requirements(&format!("six=={version}"))
            .create(&bench.api)
    };
    assert_eq!(bench.execute(&draft("1.16.0"), &[]).code(), 0);
    let known = bench.execute(&draft("1.16.0"), &["--standalone-mode"]);
    assert!(known.code() == 0 && known.stdout.contains("six 1.16.0"), "{known:#?}");
    // Downloads that other tests made are not for this one.
    let empty = bench.place.path("empty");
    let unknown = draft("1.10.0");
    let mut command = bench.command(&unknown, &["--standalone-mode"]);
    let done = crate::harness::ProcessExt::finish_within(command.env("UV_CACHE_DIR", &empty), super::LIMIT);
    assert!(done.code() == 1 && done.stderr.contains("environment failure"), "{done:#?}");
}
