//! Ctrl-C, SIGTERM, an abort: the task is stopped with time to end, and is `stopped`.

use rustix::process::Signal;
use serde_json::json;

use super::{Bench, Running};
use crate::harness::eventually;

const POLITE: &str = "import signal, sys, time\n\
    def bye(*_):\n    print('last words', flush=True)\n    sys.exit(0)\n\
    signal.signal(signal.SIGTERM, bye)\nprint('at work', flush=True)\ntime.sleep(600)\n";
/// It hears nothing, and has a child in another session.
const DEAF: &str = "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    subprocess.Popen(['sleep', '600'], start_new_session=True)\nprint('at work', flush=True)\ntime.sleep(600)\n";

fn ready(bench: &Bench, program: &str) -> (String, Running) {
    let task = bench.draft(program);
    let running = bench.start(&task, &[]);
    eventually("a task that is ready", || bench.place.read("logs/execute.out").contains("at work"));
    (task, running)
}

#[test]
fn a_signal_stops_the_task() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let bench = Bench::new();
        let (task, mut running) = ready(&bench, POLITE);
        running.signal(signal);
        assert_eq!(running.code(), 254, "{signal:?}");
        let found = bench.api.ended_as(&task, "stopped");
        assert_eq!(found["status_reason"], "user abort");
        assert!(bench.place.read("logs/execute.out").contains("last words"), "{signal:?}");
        assert_eq!(bench.count(&task, "last words"), 1);
        bench.is_clean();
    }
}

#[test]
fn a_task_that_does_not_listen_is_killed_with_all_it_started() {
    let bench = Bench::new();
    let (task, mut running) = ready(&bench, DEAF);
    running.signal(Signal::INT);
    assert_eq!(running.code(), 254);
    bench.api.ended_as(&task, "stopped");
    bench.is_clean();
}

#[test]
fn an_abort_on_the_server_stops_it() {
    let bench = Bench::new();
    let (task, mut running) = ready(&bench, POLITE);
    bench.api.call("tasks.stop", json!({ "task": task }));
    assert_eq!(running.code(), 254);
    let found = bench.api.ended_as(&task, "stopped");
    assert_eq!(found["status_reason"], "task was stopped by tasks.stop");
    assert!(bench.place.read("logs/execute.log").contains("stopped on the server"));
    bench.is_clean();
}
