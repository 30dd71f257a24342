//! Aborts: nothing of a stopped task stays alive, no abort is lost, the worker goes on.

use std::time::{SystemTime, UNIX_EPOCH};

use protocols::control::DaemonMode;
use serde_json::json;

use crate::harness::{Daemon, Draft, Gate, Place, Server, audit, eventually, is_alive, slow_package};

/// Seconds between SIGTERM and SIGKILL: short for who does not listen, and enough on a busy machine for who does.
const SHORT_GRACE: (&str, &str) = ("CLEARML_AGENT__AGENT__HOSTLER__STOP_GRACE", "4");

fn one_worker(place: &Place, server: &Server) -> Daemon {
    Daemon::start_with(place, server, &["--cpu-only", "--workers", "1"], &[SHORT_GRACE])
}

fn nanoseconds_now() -> i128 {
    i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Children in sessions of their own and a double fork, all deaf to SIGTERM; the program notes when it hears one.
fn stubborn_family(place: &Place) -> String {
    format!(
        "import os, signal, subprocess, sys, time\n\
         def note(name, text): os.write(os.open({place:?} + name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), (text + '\\n').encode())\n\
         def heard(*_):\n\
         \x20   note('heard', str(time.time_ns()))\n\
         signal.signal(signal.SIGTERM, heard)\n\
         def stay():\n\
         \x20   signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         \x20   note('family', str(os.getpid()))\n\
         \x20   while True: signal.pause()\n\
         for _ in range(2):\n\
         \x20   if os.fork() == 0:\n\
         \x20       os.setsid()\n\
         \x20       stay()\n\
         if os.fork() == 0:\n\
         \x20   os.setsid()\n\
         \x20   if os.fork() == 0: stay()\n\
         \x20   os._exit(0)\n\
         if os.fork() == 0:\n\
         \x20   os.setpgid(0, 0)\n\
         \x20   stay()\n\
         note('family', str(os.getpid()))\n\
         print('family is complete', flush=True)\n\
         while True: signal.pause()\n",
        place = format!("{}/", place.path("").display()),
    )
}

#[test]
fn grandchildren_that_ignore_sigterm_are_gone_after_the_grace() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = one_worker(&place, &server);
    let task = Draft::script("stubborn", &stubborn_family(&place)).enqueue(&api);
    eventually("the whole family", || place.lines("family").len() == 5);
    let family: Vec<i32> = place.lines("family").iter().map(|pid| pid.parse().unwrap()).collect();
    assert!(family.iter().all(|pid| is_alive(*pid)));

    let asked = nanoseconds_now();
    api.call("tasks.stop", json!({ "task": task }));
    eventually("SIGTERM at the process", || !place.lines("heard").is_empty());
    let heard: i128 = place.lines("heard")[0].parse().unwrap();
    let milliseconds = (heard - asked) / 1_000_000;
    eprintln!("from tasks.stop to SIGTERM at the user's process: {milliseconds} ms");

    let ended = api.ended_as(&task, "stopped");
    for pid in family {
        assert!(!is_alive(pid), "{pid} is alive after its task is stopped (F1)");
    }
    assert_eq!(ended["status_reason"], "task was stopped by tasks.stop");
    let next = Draft::script("next", "print('line 0')").enqueue(&api);
    api.ended_as(&next, "completed");
    audit(&place);
}

#[test]
fn a_program_that_ends_within_the_grace_may_say_good_bye() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    // The default grace: far longer than this program takes.
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let program = "import signal, sys\n\
                   def leave(*_):\n    print('line good bye', flush=True)\n    sys.exit(0)\n\
                   signal.signal(signal.SIGTERM, leave)\n\
                   print('line ready', flush=True)\nwhile True: signal.pause()\n";
    let task = Draft::script("polite", program).enqueue(&api);
    eventually("readiness", || api.console_lines(&task, "line ready").len() == 1);
    api.call("tasks.stop", json!({ "task": task }));
    api.ended_as(&task, "stopped");
    assert_eq!(api.console_lines(&task, "line"), ["line ready", "line good bye"]);
    audit(&place);
}

#[test]
fn an_abort_while_the_environment_is_built_is_not_lost() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = one_worker(&place, &server);
    let gate = Gate::shut(&place.path("gate"));
    let requirement = slow_package(&place, &gate);
    let program = format!("open({:?}, 'w').write('ran')", place.path("ran"));
    let task = Draft::script("slow", &program).requirements(&requirement).enqueue(&api);
    eventually("the start of the build", || !place.lines("building").is_empty());
    api.call("tasks.stop", json!({ "task": task }));
    api.ended_as(&task, "stopped");
    assert_eq!(place.read("ran"), "", "user code of an aborted task never ran");
    let builders: Vec<i32> = place.lines("building").iter().map(|pid| pid.parse().unwrap()).collect();
    for pid in builders {
        assert!(!is_alive(pid), "the build goes on after its task is stopped");
    }
    let next = Draft::script("next", "print('line 0')").enqueue(&api);
    api.ended_as(&next, "completed");
    audit(&place);
}

/// Wherever in the preparation the abort arrives, the task ends as stopped, or had ended before it.
#[test]
fn an_abort_at_any_moment_is_not_lost() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = one_worker(&place, &server);
    for step in 0..12u64 {
        let task = Draft::script(&format!("task {step}"), "import signal\nwhile True: signal.pause()").enqueue(&api);
        eventually("the pull", || api.status(&task) == "in_progress");
        // Not a wait for anything: it moves the abort along the preparation, 15 ms at a time.
        std::thread::park_timeout(std::time::Duration::from_millis(15 * step));
        api.call("tasks.stop", json!({ "task": task }));
        api.ended_as(&task, "stopped");
    }
    audit(&place);
}

#[test]
fn a_reset_or_deletion_of_a_running_task_ends_its_processes() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = one_worker(&place, &server);
    for (number, endpoint) in ["tasks.reset", "tasks.delete"].into_iter().enumerate() {
        let file = format!("pid-{number}");
        let program = format!(
            "import os, signal\nopen({:?}, 'w').write('%d\\n' % os.getpid())\nwhile True: signal.pause()\n",
            place.path(&file)
        );
        let task = Draft::script(endpoint, &program).enqueue(&api);
        eventually("the user's process", || place.read(&file).ends_with('\n'));
        let pid: i32 = place.lines(&file)[0].parse().unwrap();
        api.call(endpoint, json!({ "task": task, "force": true }));
        eventually("the end of the user's process", || !is_alive(pid));
        if endpoint == "tasks.reset" {
            assert_eq!(api.status(&task), "created", "the agent does not touch what a person has reset");
        }
    }
    let next = Draft::script("next", "print('line 0')").enqueue(&api);
    api.ended_as(&next, "completed");
    audit(&place);
}

#[test]
fn daemon_stop_ends_the_tasks_and_drain_lets_them_finish() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut daemon = one_worker(&place, &server);
    let mut gate = Gate::shut(&place.path("gate"));
    let program = format!("print('line 0', flush=True)\n{}\nprint('line 1', flush=True)\n", gate.python());
    let drained = Draft::script("drained", &program).enqueue(&api);
    let waiting = Draft::script("waiting", &program).enqueue(&api);
    eventually("the first line", || api.console_lines(&drained, "line").len() == 1);
    let mut draining = Daemon::command(&place, &server, &["--drain"]).spawn().unwrap();
    eventually("a daemon that drains", || daemon.status(&place).mode == DaemonMode::Draining);
    gate.open();
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(draining.wait().unwrap().success(), "`--drain` waits for the end and says so");
    api.ended_as(&drained, "completed");
    assert_eq!(api.status(&waiting), "queued", "a draining daemon takes nothing new");

    let gate = Gate::shut(&place.path("gate"));
    let mut daemon = one_worker(&place, &server);
    eventually("the first line", || api.console_lines(&waiting, "line").len() == 1);
    assert!(Daemon::command(&place, &server, &["--stop"]).status().unwrap().success());
    assert_eq!(daemon.wait().code(), Some(0));
    api.ended_as(&waiting, "stopped");
    drop(gate);
    eventually("only the server is left", || place.running().len() == 1);
    audit(&place);
}
