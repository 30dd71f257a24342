//! The commands for people, against a real server and a real daemon.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Daemon, Draft, Finished, Gate, Place, ProcessExt, Server, audit, eventually};

struct Person<'a> {
    place: &'a Place,
    server: &'a Server,
}

impl Person<'_> {
    fn run(&self, line: &[&str]) -> Finished {
        let mut command = self.place.hostler();
        command.args(line).env("CLEARML_CONFIG_FILE", self.server.configuration_file());
        command.finish_within(Duration::from_secs(60))
    }

    /// What a command prints for people.
    #[track_caller]
    fn says(&self, line: &[&str]) -> String {
        self.run(line).ok()
    }

    /// What a command prints for programs.
    #[track_caller]
    fn json(&self, line: &[&str]) -> Value {
        let mut line = line.to_vec();
        line.push("--json");
        let text = self.run(&line).ok();
        serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{line:?}: {error}: {text}"))
    }

    /// What a command is refused with.
    #[track_caller]
    fn refused(&self, line: &[&str], code: i32) -> String {
        let finished = self.run(line);
        assert_eq!(finished.code(), code, "{finished:#?}");
        assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
        finished.stderr
    }
}

/// A draft is made, changed, cloned, sent to a queue, run, followed, reset and deleted, by name.
#[test]
fn a_task_lives_its_life_on_the_command_line() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let person = Person { place: &place, server: &server };
    let script = place.path("hello.py");
    std::fs::write(&script, "import sys\nprint('line', sys.argv[1:], flush=True)\n").unwrap();
    let script = script.to_str().unwrap();

    person.says(&[
        "task",
        "create",
        "--name",
        "hello",
        "--script",
        script,
        "--arg",
        "--rate=1",
        "--param",
        "Args/rate=1",
    ]);
    assert!(person.says(&["task", "list"]).contains("hello"));
    let shown = person.json(&["task", "show", "hello"]);
    assert_eq!(shown["status"], "created");
    let id = shown["id"].as_str().unwrap().to_owned();

    person.says(&["task", "set", "hello", "Args/rate=2", "Args/added=a=b/c"]);
    let parameters = api.task(&id)["hyperparams"]["Args"].clone();
    assert_eq!(parameters["rate"]["value"], "2");
    assert_eq!(parameters["added"]["value"], "a=b/c");

    person.says(&["task", "clone", "hello", "--name", "hello again", "--set", "Args/rate=3"]);
    let clone = person.json(&["task", "show", "hello again"]);
    let clone = clone["id"].as_str().unwrap().to_owned();
    assert_eq!(api.task(&clone)["hyperparams"]["Args"]["rate"]["value"], "3");
    assert_eq!(api.task(&clone)["hyperparams"]["Args"]["added"]["value"], "a=b/c");
    assert_eq!(api.task(&id)["hyperparams"]["Args"]["rate"]["value"], "2", "the original keeps its value");

    person.says(&["task", "enqueue", "hello again"]);
    assert_eq!(api.status(&clone), "queued");
    person.says(&["task", "dequeue", "hello again"]);
    assert_eq!(api.status(&clone), "created");
    person.says(&["task", "enqueue", &clone, "default"]);

    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    // Follows until the end, whatever the task is doing when the command begins.
    let followed = person.says(&["task", "logs", "-f", "hello again"]);
    assert_eq!(followed.matches("line ['--rate=1']").count(), 1, "{followed}");
    assert_eq!(person.json(&["task", "show", "hello again"])["status"], "completed");
    let logged = person.says(&["task", "logs", &clone]);
    assert_eq!(logged.matches("line ['--rate=1']").count(), 1, "{logged}");

    person.says(&["task", "reset", "hello again"]);
    assert_eq!(api.status(&clone), "created");
    assert_eq!(api.console(&clone), "");
    person.says(&["task", "delete", "hello again"]);
    let refusal = person.refused(&["task", "show", "hello again"], 2);
    assert!(refusal.contains("hello again"), "{refusal}");
    audit(&place);
}

#[test]
fn a_running_task_is_shown_followed_and_aborted() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let person = Person { place: &place, server: &server };
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "2"]);
    let gate = Gate::shut(&place.path("gate"));
    let task = Draft::script("runner", &format!("print('line 0', flush=True)\n{}\n", gate.python())).enqueue(&api);
    eventually("the first line", || api.console_lines(&task, "line").len() == 1);

    let status = person.json(&["status", "--state-dir", place.path("state").to_str().unwrap()]);
    assert_eq!(status["workers"].as_array().unwrap().len(), 2);
    assert_eq!(status["tasks"][0]["task"], task.as_str());
    assert_eq!(status["tasks"][0]["phase"], "running");
    let text = person.says(&["status", "--state-dir", place.path("state").to_str().unwrap()]);
    assert!(text.contains("running") && text.contains("runner"), "{text}");

    let workers = person.json(&["worker", "list"]);
    let listed = serde_json::to_string(&workers).unwrap();
    assert!(listed.contains(&task), "the worker shows its task: {listed}");

    person.says(&["task", "abort", "runner"]);
    api.ended_as(&task, "stopped");
    audit(&place);
}

#[test]
fn queues_are_made_shown_and_reordered() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let person = Person { place: &place, server: &server };
    person.says(&["queue", "create", "slow"]);
    assert!(person.says(&["queue", "list"]).contains("slow"));
    let mut tasks = Vec::new();
    for name in ["one", "two", "three"] {
        let task = Draft::script(name, "print(1)").create(&api);
        api.enqueue(&task, "slow");
        tasks.push(task);
    }
    let order = || {
        let queue = api.call("queues.get_by_id", json!({ "queue": api.queue("slow") }));
        let entries = queue["queue"]["entries"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(), tasks);
    let shown = person.says(&["queue", "show", "slow"]);
    let (one, three) = (shown.find("one").unwrap(), shown.find("three").unwrap());
    assert!(one < three, "next first: {shown}");
    person.says(&["queue", "move", "slow", "three", "--to-front"]);
    assert_eq!(order(), [&*tasks[2], &*tasks[0], &*tasks[1]]);
    person.says(&["queue", "move", "slow", "three", "--down", "1"]);
    assert_eq!(order(), [&*tasks[0], &*tasks[2], &*tasks[1]]);
    person.says(&["queue", "move", "slow", "one", "--to-back"]);
    assert_eq!(order(), [&*tasks[2], &*tasks[1], &*tasks[0]]);
}

#[test]
fn an_ambiguous_name_lists_the_candidates() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let person = Person { place: &place, server: &server };
    let twins = ["twin", "twin"].map(|name| Draft::script(name, "print(1)").create(&api));
    let refusal = person.refused(&["task", "show", "twin"], 2);
    for twin in &twins {
        assert!(refusal.contains(twin.as_str()), "{refusal}");
    }
    assert_eq!(person.json(&["task", "show", &twins[0]])["id"], twins[0].as_str(), "an id is never ambiguous");
    let unknown = person.refused(&["task", "show", "nobody"], 2);
    assert!(unknown.contains("nobody"), "{unknown}");
}

#[test]
fn every_command_has_help_with_an_example_or_a_sentence() {
    let place = Place::new();
    for line in [
        &[][..],
        &["up"],
        &["server"],
        &["daemon"],
        &["status"],
        &["task"],
        &["task", "list"],
        &["task", "show"],
        &["task", "clone"],
        &["task", "set"],
        &["task", "create"],
        &["task", "enqueue"],
        &["task", "dequeue"],
        &["task", "abort"],
        &["task", "reset"],
        &["task", "delete"],
        &["task", "logs"],
        &["queue"],
        &["queue", "list"],
        &["queue", "create"],
        &["queue", "show"],
        &["queue", "move"],
        &["worker", "list"],
    ] {
        let help = place.hostler().args(line).arg("--help").finish_within(Duration::from_secs(20)).ok();
        assert!(help.contains("Usage: "), "{line:?}: {help}");
        assert!(help.contains("--json"), "{line:?} says nothing of --json: {help}");
    }
}
