//! What a person gets wrong, and what he is told: one clear message, a failure class or an exit code, and a worker
//! that takes the next task.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Daemon, Draft, Finished, Place, ProcessExt, Server, audit, new_repository};

const LIMIT: Duration = Duration::from_secs(60);

/// A task that cannot run: what is wrong with it, the class it must end with, and what its message must name.
struct Bad {
    what: &'static str,
    draft: Draft,
    class: &'static str,
    names: &'static str,
}

fn bad_tasks(repository: &Path) -> Vec<Bad> {
    let url = repository.to_str().unwrap();
    let bad = |what, draft, class, names| Bad { what, draft, class, names };
    let in_repository = |what: &str| Draft::repository(what, url, "run.py");
    let nowhere = repository.with_file_name("nowhere");
    vec![
        bad(
            "no such commit",
            in_repository("commit").with("version_num", "0123456789012345678901234567890123456789"),
            "code",
            "0123456789012345678901234567890123456789",
        ),
        bad("no such branch", in_repository("branch").with("branch", "gone"), "code", "gone"),
        bad("no such repository", Draft::repository("where", nowhere.to_str().unwrap(), "run.py"), "code", "nowhere"),
        bad(
            "a diff that does not apply",
            in_repository("diff").with(
                "diff",
                "diff --git a/run.py b/run.py\n--- a/run.py\n+++ b/run.py\n@@ -1 +1 @@\n-not what is there\n+new\n",
            ),
            "code",
            "do not apply",
        ),
        bad("a missing entry point", Draft::repository("entry", url, "missing.py"), "code", "missing.py"),
        bad("a directory outside", in_repository("outside").with("working_dir", "../.."), "code", "../.."),
        bad(
            "a requirement that nothing satisfies",
            Draft::script("unsatisfiable", "print(1)").requirements("six==99.99"),
            "environment",
            "six",
        ),
        bad(
            "a requirement that is none",
            Draft::script("no requirement", "print(1)").requirements("!!! not a package"),
            "environment",
            "'!'",
        ),
    ]
}

/// Each of them ends as failed, the class and the cause are in `status_reason` and in the console, and the worker is
/// free for the next.
#[test]
fn a_task_that_cannot_run_says_why_and_leaves_the_worker_free() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let repository = place.path("repository");
    new_repository(&repository, &[("run.py", "print('line 0')\n")]);
    let bad = bad_tasks(&repository);
    let tasks: Vec<String> = bad.iter().map(|bad| bad.draft.enqueue(&api)).collect();
    let good = Draft::script("good", "print('line 0')").enqueue(&api);

    let mut wrong = Vec::new();
    for (bad, task) in bad.iter().zip(&tasks) {
        let ended = api.ended(task);
        let reason = ended["status_reason"].as_str().unwrap_or_default();
        let console = api.console(task);
        let fits = ended["status"] == "failed" && reason.contains(bad.class) && reason.contains(bad.names);
        let told = console.contains(bad.names) && console.contains(bad.class);
        let clean = !console.contains("panicked") && !console.contains("Traceback") && reason.lines().count() == 1;
        if !(fits && told && clean) {
            wrong.push(format!("{}: {} {reason:?}\n{console}", bad.what, ended["status"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
    api.ended_as(&good, "completed");
    audit(&place);
}

#[test]
fn a_task_without_code_fails_with_a_hint() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let created = api.call("tasks.create", json!({ "name": "empty", "type": "training" }));
    let task = created["id"].as_str().unwrap();
    api.enqueue(task, "default");
    let ended = api.ended_as(task, "failed");
    let reason = ended["status_reason"].as_str().unwrap();
    assert!(reason.contains("code") && reason.contains("no code"), "{reason}");
    assert!(api.console(task).contains("no code"));
    audit(&place);
}

/// As with the stock agent: another Python is better than none, and the user is told.
#[test]
fn a_python_that_is_not_on_the_machine_is_replaced_and_named() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let task = Draft::script("old", "print('line 0')").with("binary", "python2.1").enqueue(&api);
    api.ended_as(&task, "completed");
    let console = api.console(&task);
    assert!(console.contains("Python 2.1, which the task asks for, is not on this machine"), "{console}");
    audit(&place);
}

/// Python refuses the program itself; the user sees Python's own message, and the class says whose fault it is.
#[test]
fn a_program_that_is_not_utf8_fails_as_the_users() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let repository = place.path("repository");
    new_repository(&repository, &[("other.py", "")]);
    std::fs::write(repository.join("latin.py"), b"print('gr\xfc\xdfe')\n").unwrap();
    crate::harness::git_commit_all(&repository, &[]);
    let task = Draft::repository("latin", repository.to_str().unwrap(), "latin.py").enqueue(&api);
    let ended = api.ended_as(&task, "failed");
    assert!(ended["status_reason"].as_str().unwrap().contains("worker execution exit code 1"), "{ended:#}");
    assert!(api.console(&task).contains("SyntaxError"), "{}", api.console(&task));
    audit(&place);
}

/// One line on standard error, of a person's words, with this exit code.
#[track_caller]
fn check_error(finished: &Finished, code: i32, names: &[&str]) {
    assert_eq!(finished.code(), code, "{finished:#?}");
    let errors: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{finished:#?}");
    for name in names {
        assert!(errors[0].contains(name), "{name:?} in {:?}", errors[0]);
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
}

#[test]
fn an_unknown_queue_is_an_error_of_usage() {
    let place = Place::new();
    let server = Server::start(&place);
    let mut daemon = place.hostler();
    daemon
        .args(["daemon", "--queue", "nowhere", "--cpu-only", "--state-dir"])
        .arg(place.path("state"))
        .env("CLEARML_CONFIG_FILE", server.configuration_file());
    check_error(&daemon.finish_within(LIMIT), 2, &["nowhere"]);
    let task = Draft::script("waiting", "print(1)").create(&server.api());
    let mut enqueue = place.hostler();
    enqueue.args(["task", "enqueue", &task, "nowhere"]).env("CLEARML_CONFIG_FILE", server.configuration_file());
    check_error(&enqueue.finish_within(LIMIT), 2, &["nowhere"]);
}

#[test]
fn wrong_credentials_are_an_error_of_configuration() {
    let place = Place::new();
    let server = Server::start(&place);
    for command in [&["task", "list"][..], &["daemon", "--queue", "default", "--cpu-only"][..]] {
        let mut program = place.hostler();
        program
            .args(command)
            .env("CLEARML_API_HOST", server.api_url())
            .env("CLEARML_API_ACCESS_KEY", "NOBODY")
            .env("CLEARML_API_SECRET_KEY", "a-secret-that-is-wrong");
        let finished = program.finish_within(LIMIT);
        check_error(&finished, 78, &[]);
        assert!(!finished.stderr.contains("a-secret-that-is-wrong"), "a secret was printed: {}", finished.stderr);
    }
}

/// A web server that answers everything with a page.
fn html_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0u8; 4096];
            let _ = stream.read(&mut request);
            let page = "<html><body>Welcome to nginx!</body></html>";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    url
}

#[test]
fn a_server_that_answers_html_is_an_error_of_configuration() {
    let place = Place::new();
    let url = html_server();
    for command in [&["task", "list"][..], &["daemon", "--queue", "default", "--cpu-only"][..]] {
        let mut program = place.hostler();
        program
            .args(command)
            .env("CLEARML_API_HOST", &url)
            .env("CLEARML_API_ACCESS_KEY", "KEY")
            .env("CLEARML_API_SECRET_KEY", "SECRET");
        check_error(&program.finish_within(LIMIT), 78, &[&url]);
    }
}

#[test]
fn a_server_that_is_away_is_told_and_may_be_tried_again() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let mut program = place.hostler();
    program
        .args(["task", "list"])
        .env("CLEARML_API_HOST", &url)
        .env("CLEARML_API_ACCESS_KEY", "KEY")
        .env("CLEARML_API_SECRET_KEY", "SECRET");
    check_error(&program.finish_within(LIMIT), 75, &[&url]);
}

#[test]
fn a_configuration_that_cannot_be_read_names_its_place() {
    let place = Place::new();
    let file = place.path("clearml.conf");
    for (text, names) in [
        ("api {\n  api_server: \"http://127.0.0.1:1\"\n", "clearml.conf"),
        ("agent { hostler { stop_grase: 3 } }\napi { api_server: \"http://127.0.0.1:1\" }\n", "stop_grase"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut program = place.hostler();
        program.args(["task", "list"]).env("CLEARML_CONFIG_FILE", &file);
        check_error(&program.finish_within(LIMIT), 78, &[names]);
    }
    let mut program = place.hostler();
    program.args(["task", "list"]);
    check_error(&program.finish_within(LIMIT), 78, &["hostler up"]);
}

#[test]
fn a_script_file_that_is_not_utf8_is_refused_before_anything_is_made() {
    let place = Place::new();
    let server = Server::start(&place);
    let script = place.path("latin.py");
    std::fs::write(&script, b"print('gr\xfc\xdfe')\n").unwrap();
    let mut create = place.hostler();
    create
        .args(["task", "create", "--name", "latin", "--script"])
        .arg(&script)
        .env("CLEARML_CONFIG_FILE", server.configuration_file());
    check_error(&create.finish_within(LIMIT), 2, &["latin.py", "UTF-8"]);
    let found = server.api().call("tasks.get_all", json!({ "name": "latin" }));
    assert_eq!(found["tasks"].as_array().unwrap().len(), 0);
}
