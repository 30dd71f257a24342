//! MPS shares on simulated cards. NVIDIA's program needs a card, so a program of the test takes its place: it takes the
//! same arguments, works in the same folders and answers the same questions. The one of NVIDIA is in `real_cards`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Daemon, Draft, Gate, Place, ProcessExt as _, Server, audit, base_python, eventually, is_alive, kill,
};
use crate::real_cards::gpus_document;

/// No command takes longer.
const MINUTE: Duration = Duration::from_secs(60);

/// What `nvidia-cuda-mps-control` does, as far as it is seen from outside: a control daemon with a server below it, and a
/// client of it. It notes when it starts and ends.
const CONTROL: &str = r#"
import os, socket, subprocess, sys
pipe, log = os.environ['CUDA_MPS_PIPE_DIRECTORY'], os.environ['CUDA_MPS_LOG_DIRECTORY']
def note(line):
    file = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, (line + '\n').encode())
if sys.argv[1:] == ['-f']:
    if os.path.exists(NOTES + '.refuses'):
        sys.exit('An instance of this daemon is already running')
    card = os.environ['CUDA_VISIBLE_DEVICES']
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(pipe + '/control')
    listener.listen()
    server = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    note(f'start {card} {os.getpid()} {server.pid}')
    while True:
        caller, _ = listener.accept()
        question = caller.makefile().readline().strip()
        if question == 'quit':
            server.kill()
            server.wait()
            note(f'quit {card} {os.getpid()} {server.pid}')
            caller.close()
            sys.exit(0)
        answers = {'get_default_active_thread_percentage': '100.0', 'get_server_list': str(server.pid)}
        caller.sendall((answers.get(question, 'Unrecognized command') + '\n').encode())
        caller.close()
else:
    caller = socket.socket(socket.AF_UNIX)
    try:
        caller.connect(pipe + '/control')
    except OSError:
        sys.exit('Cannot find MPS control daemon process')
    caller.sendall(sys.stdin.readline().encode())
    print(caller.makefile().read().strip())
"#;

/// A task that notes what it was given and which server it found there, and waits for the gate.
fn program(place: &Place, name: &str, gate: &Gate) -> String {
    format!(
        "import json, os, socket\n\
         seen = dict(name={name:?}, pid=os.getpid(), cards=os.environ['CUDA_VISIBLE_DEVICES'], server=None)\n\
         pipe = os.environ.get('CUDA_MPS_PIPE_DIRECTORY')\n\
         if pipe:\n    \
             seen['threads'] = os.environ['CUDA_MPS_ACTIVE_THREAD_PERCENTAGE']\n    \
             seen['memory'] = os.environ['CUDA_MPS_PINNED_DEVICE_MEM_LIMIT']\n    \
             caller = socket.socket(socket.AF_UNIX)\n    \
             caller.connect(pipe + '/control')\n    \
             caller.sendall(b'get_server_list\\n')\n    \
             seen['server'] = int(caller.makefile().read())\n\
         os.write(os.open({file:?}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), (json.dumps(seen) + '\\n').encode())\n\
         {wait}\n",
        file = place.path("seen"),
        wait = gate.python(),
    )
}

/// What the tasks of a name saw so far.
fn seen(place: &Place, name: &str) -> Vec<Value> {
    let all = place.lines("seen").into_iter().map(|line| serde_json::from_str(&line).unwrap());
    all.filter(|seen: &Value| seen["name"] == name).collect()
}

/// A machine with a program in the place of NVIDIA's.
struct Machine {
    place: Place,
    server: Server,
    configuration: String,
}

/// A control daemon as it noted itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Control {
    what: String,
    card: String,
    pid: i32,
    server: i32,
}

impl Machine {
    fn new() -> Self {
        let place = Place::new();
        let server = Server::start(&place);
        let control = place.path("bin/control");
        let text = format!("#!{}\nNOTES = {:?}{CONTROL}", base_python(), place.path("controls"));
        std::fs::write(&control, text).unwrap();
        std::fs::set_permissions(&control, std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = place.path("clearml-mps.conf");
        let text = std::fs::read_to_string(server.configuration_file()).unwrap();
        let keys = format!(
            "agent.hostler {{ gpu_watch_interval: 0.1, gpu_memory_grace: 0.5, gpu_mps_control: \"{}\" }}",
            control.display()
        );
        std::fs::write(&file, format!("{text}\n{keys}\n")).unwrap();
        Self { configuration: file.to_str().unwrap().to_owned(), place, server }
    }

    fn daemon(&self, arguments: &[&str]) -> Daemon {
        let environment = [("CLEARML_CONFIG_FILE", self.configuration.as_str())];
        let daemon = Daemon::start_with(&self.place, &self.server, arguments, &environment);
        daemon.status(&self.place);
        daemon
    }

    fn enqueue(&self, name: &str, queue: &str, gate: &Gate) -> String {
        let api = self.server.api();
        let task = Draft::script(name, &program(&self.place, name, gate)).create(&api);
        api.enqueue(&task, queue);
        task
    }

    /// The control daemons that have started, or have been told to leave.
    fn controls(&self, what: &str) -> Vec<Control> {
        let read = |line: String| {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, card, pid, server] = words.as_slice() else { panic!("{line:?}") };
            let (pid, server) = (pid.parse().unwrap(), server.parse().unwrap());
            Control { what: (*what).to_owned(), card: (*card).to_owned(), pid, server }
        };
        self.place.lines("controls").into_iter().map(read).filter(|control| control.what == what).collect()
    }

    fn queues(&self, names: &[&str]) {
        for name in names {
            self.server.api().call("queues.create", json!({ "name": name }));
        }
    }
}

#[test]
fn a_card_has_a_control_daemon_for_as_long_as_somebody_has_a_share_of_it() {
    let machine = Machine::new();
    let (place, api) = (&machine.place, machine.server.api());
    machine.queues(&["small", "slots", "whole"]);
    let mut gates: Vec<Gate> = (0..2).map(|number| Gate::shut(&place.path(&format!("gate-{number}")))).collect();
    let arguments =
        ["--simulate", "2xH100", "--dynamic-gpus", "--queue", "small=0.25@mps", "slots=0.5", "whole=1"].as_slice();
    let mut daemon = machine.daemon(arguments);
    assert_eq!(machine.controls("start"), [], "nobody needs one yet");
    let shares = ["one", "other"].map(|name| machine.enqueue(name, "small", &gates[0]));
    eventually("both shares run", || shares.iter().all(|task| api.status(task) == "in_progress"));
    let slot = machine.enqueue("slot", "slots", &gates[1]);
    eventually("everybody runs", || place.lines("seen").len() == 3);
    let whole = machine.enqueue("whole", "whole", &gates[1]);

    // Two shares of one card, its control daemon, and the slot beside on the other card.
    let [control] = machine.controls("start").try_into().unwrap();
    for name in ["one", "other"] {
        let seen = &seen(place, name)[0];
        assert_eq!(
            (seen["cards"].as_str(), seen["server"].as_i64()),
            (Some(&*control.card), Some(control.server.into()))
        );
        assert_eq!((&seen["threads"], &seen["memory"]), (&json!("25"), &json!("0=20389M")), "{seen:#}");
    }
    let beside = seen(place, "slot")[0].clone();
    assert_eq!(beside["server"], Value::Null);
    assert_ne!(beside["cards"], control.card.as_str(), "a card is divided in one way");
    let folders: Vec<PathBuf> =
        std::fs::read_dir(place.path("state/mps")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for folder in [&folders[0], &folders[0].join("pipe"), &folders[0].join("log")] {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
    }

    // Everybody is told how well it is kept from the others.
    let document = gpus_document(place, &[]);
    let card = document["cards"].as_array().unwrap().iter().find(|card| card["id"] == control.card.as_str()).unwrap();
    assert_eq!(card["held_by"][0]["isolation"], "mps", "{card:#}");
    assert_eq!(card["held_by"][0]["share"], json!({ "mps": 250 }));
    let mut command = place.hostler();
    let table = command.args(["gpus", "--state-dir"]).arg(place.path("state")).finish_within(MINUTE).ok();
    assert!(table.contains("0.25 (MPS)") && table.contains("0.5 (shared)"), "{table}");
    let log = api.console(&shares[0]);
    assert!(log.contains("MPS share, memory and threads limited by the driver, 20389 MiB"), "{log}");
    let mut command = place.hostler();
    let explained = command
        .args(["status", "--explain", &whole, "--state-dir"])
        .arg(place.path("state"))
        .finish_within(MINUTE)
        .ok();
    assert!(explained.contains("0.25@mps of it") || explained.contains("0.5 of it"), "{explained}");

    // It outlives the daemon, and the next one finds it again.
    daemon.kill();
    let daemon = machine.daemon(arguments);
    eventually("both shares are known again", || {
        daemon.status(place).tasks.iter().filter(|task| task.share.is_mps() && task.attached).count() == 2
    });
    assert!(is_alive(control.pid) && machine.controls("start").len() == 1, "nothing else was started");

    // It ends with the last share, and what comes next has the card as it was.
    gates[0].open();
    for task in &shares {
        api.ended_as(task, "completed");
    }
    eventually("the control daemon leaves", || !is_alive(control.pid) && !is_alive(control.server));
    assert_eq!(machine.controls("quit").len(), 1, "it was asked to");
    eventually("the whole card is given out", || seen(place, "whole").len() == 1);
    assert_eq!(seen(place, "whole")[0]["server"], Value::Null);
    gates[1].open();
    for task in [&slot, &whole] {
        api.ended_as(task, "completed");
    }
    audit(place);
}

#[test]
fn tasks_of_a_control_daemon_that_dies_run_again_with_another() {
    let machine = Machine::new();
    let (place, api) = (&machine.place, machine.server.api());
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = ["--simulate", "1xH100", "--dynamic-gpus", "--queue", "default=0.5@mps"];
    let mut daemon = machine.daemon(&arguments);
    let tasks = ["one", "other"].map(|name| machine.enqueue(name, "default", &gate));
    let ran = |times: usize| ["one", "other"].iter().all(|name| seen(place, name).len() == times);
    eventually("both run", || ran(1));
    let first = machine.controls("start")[0].clone();
    kill(first.pid);
    eventually("both run again", || ran(2));
    let second = machine.controls("start")[1].clone();
    assert!(!is_alive(first.server), "what it left behind is ended");
    assert_eq!(seen(place, "one")[1]["server"].as_i64(), Some(second.server.into()));
    let log = api.console(&tasks[0]);
    assert!(log.contains("GPU 0: its MPS control daemon is gone: the task goes back to queue"), "{log}");

    // The daemon and the control daemon die together: the next daemon finds out.
    daemon.kill();
    kill(second.pid);
    let _daemon = machine.daemon(&arguments);
    eventually("both run a third time", || ran(3));
    assert!(!is_alive(second.server));
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    audit(place);
}

#[test]
fn who_puts_off_his_limits_is_stopped_and_his_neighbour_goes_on() {
    let machine = Machine::new();
    let (place, api) = (&machine.place, machine.server.api());
    let mut gate = Gate::shut(&place.path("gate"));
    let cards = place.path("machine");
    std::fs::write(&cards, "cards 1 H100\n").unwrap();
    let arguments = ["--simulate", cards.to_str().unwrap(), "--dynamic-gpus", "--queue", "default=0.5@mps"];
    let _daemon = machine.daemon(&arguments);
    let tasks = ["modest", "greedy"].map(|name| machine.enqueue(name, "default", &gate));
    eventually("both run", || place.lines("seen").len() == 2);
    let pid = |name: &str| seen(place, name)[0]["pid"].as_u64().unwrap();
    // Each has 40779 MiB; the driver tells of contexts too, which it does not count.
    let clients = format!("client 0 {} 41000\nclient 0 {} 43000\n", pid("modest"), pid("greedy"));
    let new = place.path("machine.new");
    std::fs::write(&new, format!("cards 1 H100\n{clients}")).unwrap();
    std::fs::rename(new, &cards).unwrap();
    let reason = api.ended_as(&tasks[1], "failed")["status_reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("oom_gpu failure") && reason.contains("its share is 40779 MiB"), "{reason}");
    assert_eq!(api.status(&tasks[0]), "in_progress");
    gate.open();
    api.ended_as(&tasks[0], "completed");
    audit(place);
}

#[test]
fn shares_that_cannot_be_are_refused_with_the_reason() {
    let machine = Machine::new();
    let (place, api) = (&machine.place, machine.server.api());
    let gate = Gate::shut(&place.path("gate"));
    // The program does not start.
    std::fs::write(place.path("controls.refuses"), "").unwrap();
    let arguments = ["--simulate", "1xH100", "--dynamic-gpus", "--queue", "default=0.5@mps"];
    let daemon = machine.daemon(&arguments);
    let task = machine.enqueue("refused", "default", &gate);
    let reason = api.ended_as(&task, "failed")["status_reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("infrastructure failure"), "{reason}");
    assert!(reason.contains("control ended at once") && reason.contains("already running"), "{reason}");
    drop(daemon);

    // It is not there.
    let queue = ["--dynamic-gpus", "--gpus", "0", "--queue", "default=0.5@mps"];
    let mut command = Daemon::command(place, &machine.server, &queue);
    let done = command.env("PATH", place.path("home")).finish_within(MINUTE);
    assert_eq!(done.code(), 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("--queue default=0.5@mps: MPS shares need nvidia-cuda-mps-control"),
        "{}",
        done.stderr
    );

    // Its sockets have no place.
    let deep = place.path(&"deep".repeat(20));
    let mut command = place.hostler();
    command.args(["daemon", "--foreground", "--simulate", "1xH100"]).args(queue).arg("--state-dir").arg(&deep);
    let done = command.env("CLEARML_CONFIG_FILE", machine.server.configuration_file()).finish_within(MINUTE);
    assert_eq!(done.code(), 2, "{}", done.stderr);
    assert!(done.stderr.contains("choose another with --state-dir"), "{}", done.stderr);
    audit(place);
}

#[test]
fn a_rehearsal_gives_out_shares_and_starts_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon =
        Daemon::start(&place, &server, &["--simulate", "1xH100", "--dynamic-gpus", "--queue", "default=0.5@mps"]);
    let program = "import os\nprint('threads', os.environ['CUDA_MPS_ACTIVE_THREAD_PERCENTAGE'])\n";
    let task = Draft::script("rehearsed", program).enqueue(&api);
    api.ended_as(&task, "completed");
    let log = api.console(&task);
    assert!(log.contains("threads 50\n") && log.contains("(simulated)): MPS share"), "{log}");
    assert!(!place.path("state/mps").exists());
    audit(&place);
}
