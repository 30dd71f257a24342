//! The commands that look after a server's users, with the server running and stopped.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Api, Finished, Place, ProcessExt, Server};

/// Runs a command below `hostler server` on the data directory of the place.
fn run(place: &Place, line: &[&str]) -> Finished {
    let mut command = place.hostler();
    command.arg("server").args(line).arg("--data-dir").arg(place.path("data"));
    command.finish_within(Duration::from_secs(60))
}

/// What a command prints for programs.
#[track_caller]
fn json(place: &Place, line: &[&str]) -> Value {
    let text = run(place, &[line, &["--json"]].concat()).ok();
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{line:?}: {error}: {text}"))
}

/// What a command is refused with.
#[track_caller]
fn refused(place: &Place, line: &[&str], code: i32) -> String {
    let finished = run(place, line);
    assert_eq!(finished.code(), code, "{finished:#?}");
    assert_eq!(finished.stderr.trim().lines().count(), 1, "{finished:#?}");
    finished.stderr
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Logs in with a pair that a command has made.
fn login(server: &Server, pair: &Value) -> Result<Api, String> {
    Api::login(&server.api_url(), text(&pair["access_key"]), text(&pair["secret_key"]))
}

/// Runs a command with something on its standard input.
#[track_caller]
fn run_with_input(place: &Place, line: &[&str], input: &str) -> String {
    let mut command = place.hostler();
    command.arg("server").args(line).arg("--data-dir").arg(place.path("data"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn users_come_and_go_while_the_server_runs() {
    let place = Place::new();
    let server = Server::start(&place);
    let added = json(&place, &["user", "add", "ada"]);
    assert_eq!((&added["name"], &added["role"]), (&json!("ada"), &json!("user")));
    let pair = json(&place, &["credentials", "create", "ada", "--label", "laptop"]);
    let ada = login(&server, &pair).unwrap();
    assert_eq!(ada.call("users.get_current_user", json!({}))["user"]["id"], added["id"]);

    let listed = json(&place, &["user", "list"]);
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|user| text(&user["name"])).collect();
    assert_eq!(names, ["ada", "admin"]);
    assert_eq!((&listed[0]["credentials"], &listed[0]["has_password"]), (&json!(1), &json!(false)));
    let pairs = json(&place, &["credentials", "list", "ada"]);
    assert_eq!((&pairs[0]["access_key"], &pairs[0]["label"]), (&pair["access_key"], &json!("laptop")));
    assert!(pairs[0]["last_used"].is_string(), "{pairs}");
    assert!(!pairs.to_string().contains(text(&pair["secret_key"])));

    // Revoked: the pair and the token that it made, in the server that runs.
    run(&place, &["credentials", "revoke", text(&pair["access_key"])]).ok();
    assert!(login(&server, &pair).is_err());
    assert_eq!(ada.try_call("tasks.get_all", json!({})).unwrap_err().code, 401);

    // Removed, by id: what is left to it falls with it.
    let pair = json(&place, &["credentials", "create", "ada"]);
    let ada = login(&server, &pair).unwrap();
    run(&place, &["user", "remove", text(&added["id"])]).ok();
    assert_eq!(ada.try_call("tasks.get_all", json!({})).unwrap_err().code, 401);
    assert!(refused(&place, &["user", "remove", "ada"], 2).contains("\"ada\""));
}

#[test]
fn users_come_and_go_while_the_server_is_stopped() {
    let place = Place::new();
    let mut server = Server::start_to_restart(&place);
    let running = json(&place, &["user", "list"]);
    server.kill();
    assert_eq!(json(&place, &["user", "list"]), running);
    json(&place, &["user", "add", "ada", "--role", "admin"]);
    let pair = json(&place, &["credentials", "create", "ada"]);
    let other = json(&place, &["credentials", "create", "ada"]);
    run(&place, &["credentials", "revoke", text(&other["access_key"])]).ok();
    // The lock was given back.
    server.restart(&place);
    let ada = login(&server, &pair).unwrap();
    assert_eq!(ada.call("users.get_current_user", json!({}))["user"]["role"], "admin");
    assert!(login(&server, &other).is_err());
    server.kill();
    run(&place, &["user", "remove", "ada"]).ok();
    server.restart(&place);
    assert!(login(&server, &pair).is_err());
}

#[test]
fn what_this_machine_needs_is_not_taken_away_by_accident() {
    let place = Place::new();
    let mut server = Server::start_to_restart(&place);
    let key = text(&json(&place, &["credentials", "list"])[0]["access_key"]).to_owned();
    for _ in ["running", "stopped"] {
        assert!(refused(&place, &["credentials", "revoke", &key], 1).contains("--force"));
        assert!(refused(&place, &["user", "remove", "admin"], 1).contains("--force"));
        // The last administrator stays whatever one says.
        assert!(refused(&place, &["user", "remove", "admin", "--force"], 1).contains("administrator"));
        server.kill();
    }
    run(&place, &["credentials", "revoke", &key, "--force"]).ok();
    server.restart(&place);
    assert!(refused(&place, &["user", "list"], 78).contains(&key), "the error names the key that is refused");
}

#[test]
fn a_password_comes_from_a_file_or_a_pipe() {
    let place = Place::new();
    let server = Server::start(&place);
    std::fs::write(place.path("password"), "difference engine\n").unwrap();
    let file = place.path("password");
    run(&place, &["user", "add", "ada", "--password-file", file.to_str().unwrap()]).ok();
    assert!(Api::login(&server.api_url(), "ada", "difference engine").is_ok());
    run_with_input(&place, &["user", "password", "ada", "--password-stdin"], "analytical engine\n");
    assert!(Api::login(&server.api_url(), "ada", "difference engine").is_err());
    assert!(Api::login(&server.api_url(), "ada", "analytical engine").is_ok());
    assert_eq!(json(&place, &["user", "list"])[0]["has_password"], true);
    run(&place, &["user", "password", "ada", "--remove"]).ok();
    assert!(Api::login(&server.api_url(), "ada", "analytical engine").is_err());

    std::fs::write(&file, "short\n").unwrap();
    let line = ["user", "password", "ada", "--password-file", file.to_str().unwrap()];
    assert!(refused(&place, &line, 1).contains("at least 8 characters"));
    assert!(refused(&place, &["user", "add", "bob", "--password"], 2).contains("--password-stdin"), "no terminal");
    assert!(refused(&place, &["user", "add", "ada"], 1).contains("ada"), "the name is taken");
}

#[test]
fn a_directory_without_a_server_is_left_alone() {
    let place = Place::new();
    assert!(refused(&place, &["user", "list"], 78).contains("no server has been started in"));
    assert!(!place.path("data").exists());
}

/// At the most talkative level, nothing that lets anybody in is logged.
#[test]
fn no_secret_is_ever_logged() {
    let place = Place::new();
    let server = Server::start_with_log(&place, "trace");
    let pair = json(&place, &["credentials", "create", "admin"]);
    let api = login(&server, &pair).unwrap();
    run_with_input(&place, &["user", "add", "ada", "--password-stdin"], "difference engine\n");
    let ada = Api::login(&server.api_url(), "ada", "difference engine").unwrap();
    assert!(Api::login(&server.api_url(), "ada", "difference engines").is_err());
    api.call("tasks.get_all", json!({}));
    ada.call("tasks.get_all", json!({}));
    drop(server);
    let log = place.read("logs/server.log");
    assert!(log.contains("DEBUG call endpoint=\"auth.login\""), "{log}");
    let first = first_secret(&place.path("data/clearml.conf"));
    for secret in [&first, text(&pair["secret_key"]), "difference engine", api.token(), ada.token()] {
        assert!(!log.contains(secret), "{secret} is in the log");
        let encoded = log.contains("authorization") && log.contains("Basic");
        assert!(!encoded, "headers are in the log");
    }
}

fn first_secret(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.contains("secret_key")).unwrap();
    line.rsplit('"').nth(1).unwrap().to_owned()
}
