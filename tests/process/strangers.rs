//! Invariant W1 from both sides: our agent with a server that is not ours, our server with the stock agent.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Daemon, Draft, PATIENCE, Place, ProcessExt, Server, StockAgent, audit, eventually, eventually_some, is_alive,
    lines_with, ready_line, sdk_python, within,
};

/// A child that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Starts the proxy that hides from a client that our server is ours. Gives its URL.
fn plain_server(place: &Place, server: &Server) -> (Ended, String) {
    let out = place.path("logs/plain.out");
    let mut child = place
        .command(sdk_python())
        .arg(root().join("tests/sdk/plain_server.py"))
        .arg(server.api_url())
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(place.path("logs/plain.log")).unwrap())
        .spawn()
        .unwrap();
    let ready = ready_line(&mut child, &out);
    (Ended(child), ready["url"].as_str().unwrap().to_owned())
}

#[test]
fn our_agent_polls_a_server_without_the_extension() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let (_proxy, url) = plain_server(&place, &server);
    let environment = [("CLEARML_API_HOST", url.as_str()), ("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.2")];
    let _daemon = Daemon::start_with(&place, &server, &["--cpu-only", "--workers", "2"], &environment);

    let drafts = (0..4).map(|number| Draft::script(&format!("task {number}"), "print('line 0')\nprint('line 1')\n"));
    let tasks: Vec<String> = drafts.map(|draft| draft.enqueue(&api)).collect();
    for task in &tasks {
        api.ended_as(task, "completed");
        assert_eq!(api.console_lines(task, "line"), ["line 0", "line 1"]);
    }

    let aborted = Draft::script("aborted", "print('line 0', flush=True)\nimport signal\nwhile True: signal.pause()\n");
    let aborted = aborted.enqueue(&api);
    eventually("the first line", || api.console_lines(&aborted, "line").len() == 1);
    api.call("tasks.stop", json!({ "task": aborted }));
    let ended = api.ended_as(&aborted, "stopped");
    assert_eq!(ended["status_reason"], "task was stopped by tasks.stop");
    audit(&place);
}

/// One agent, four tasks in a row: each starts only after the one before has ended as it should. The agent builds its
/// environment once, which takes most of the time.
#[test]
fn the_stock_agent_runs_aborts_fails_and_ships_whole_consoles() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _agent = StockAgent::start(&place, &server, &["--cpu-only", "--queue", "default"], &[]);
    let note = place.path("pid");
    let waits = format!(
        "import os, signal\nopen({:?}, 'w').write(str(os.getpid()))\n\
         print('line 0', flush=True)\nwhile True: signal.pause()\n",
        note.display()
    );
    let six = Draft::script("six", "import six\nprint('line', six.__version__, flush=True)\n");
    let six = six.requirements("six==1.17.0").enqueue(&api);
    let aborted = Draft::script("aborted", &waits).enqueue(&api);
    let failed = Draft::script("fails", "print('line 0', flush=True)\nraise SystemExit(3)\n").enqueue(&api);
    let long = Draft::script("long", "for number in range(5000): print('line', number, flush=True)\n").enqueue(&api);

    within(PATIENCE * 3, "the first environment of the stock agent", || match api.status(&six).as_str() {
        "queued" | "in_progress" => Err("still building".to_owned()),
        _ => Ok(()),
    });
    api.ended_as(&six, "completed");
    assert_eq!(api.console_lines(&six, "line"), ["line 1.17.0"]);
    let listed = place
        .hostler()
        .args(["worker", "list", "--json"])
        .env("CLEARML_CONFIG_FILE", server.configuration_file())
        .finish_within(Duration::from_secs(30))
        .ok();
    assert!(listed.contains(":cpu:0"), "the stock agent's worker is listed: {listed}");

    let pid = eventually_some("the program's pid", || std::fs::read_to_string(&note).ok()?.parse::<i32>().ok());
    eventually("the first line", || api.console_lines(&aborted, "line") == ["line 0"]);
    assert_eq!(api.status(&aborted), "in_progress");
    api.call("tasks.stop", json!({ "task": aborted, "status_reason": "enough" }));
    api.ended_as(&aborted, "stopped");
    eventually("end of the aborted program", || !is_alive(pid));

    let ended = api.ended_as(&failed, "failed");
    assert_eq!(api.console_lines(&failed, "line"), ["line 0"]);
    assert!(ended["status_reason"].as_str().is_some_and(|reason| reason.contains('3')), "{}", ended["status_reason"]);

    api.ended_as(&long, "completed");
    // It reads what is being written, and cuts a line in two where it was not whole yet.
    let console = api.console(&long).replace('\n', "");
    assert!(console.contains(&lines_with("line", 5000).concat()), "{console}");
}
