//! Cards that fail while tasks run on them, on a simulated machine that the test steers.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use protocols::ids::GpuId;
use serde_json::{Value, json};

use crate::harness::{Daemon, Draft, Gate, Place, Server, audit, eventually, eventually_some};
use crate::real_cards::gpus_document;

/// What the daemon does faster here than people need it.
const QUICKLY: &str = "agent.hostler { gpu_watch_interval: 0.1, gpu_probation: 0.5, gpu_memory_grace: 0.5";

/// A simulated machine that changes.
struct Machine(PathBuf);

impl Machine {
    fn new(place: &Place, text: &str) -> Self {
        let file = place.path("machine");
        std::fs::write(&file, text).unwrap();
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Something happens to it.
    fn add(&self, lines: &str) {
        let mut file = std::fs::File::options().append(true).open(&self.0).unwrap();
        file.write_all(format!("\n{lines}\n").as_bytes()).unwrap();
    }

    /// It is another one from now on.
    fn become_one_with(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        // The simulated driver follows a link to this name.
        std::fs::rename(new, &self.0).unwrap();
    }
}

/// A configuration with further keys of `agent.hostler`.
fn configured(place: &Place, server: &Server, more: &str) -> String {
    let file = place.path("clearml-gpu.conf");
    let text = std::fs::read_to_string(server.configuration_file()).unwrap();
    std::fs::write(&file, format!("{text}\n{QUICKLY}\n{more} }}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn start(place: &Place, server: &Server, configuration: &str, arguments: &[&str]) -> Daemon {
    let daemon = Daemon::start_with(place, server, arguments, &[("CLEARML_CONFIG_FILE", configuration)]);
    daemon.status(place);
    daemon
}

/// What a server answers to a request.
fn asked(address: &str, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(format!("{request}\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A program that notes the cards that it sees each time that it runs, and its pid, and waits for the gate.
fn program(place: &Place, name: &str, gate: &Gate) -> String {
    format!(
        "import os\n\
         line = '{name} ' + os.environ['CUDA_VISIBLE_DEVICES'] + ' ' + str(os.getpid()) + '\\n'\n\
         os.write(os.open({file:?}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), line.encode())\n\
         {wait}\n",
        file = place.path("ran"),
        wait = gate.python(),
    )
}

/// What ran so far: name, cards, pid.
fn ran(place: &Place) -> Vec<(String, String, u32)> {
    let read = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, cards, pid] = words.as_slice() else { panic!("{line:?}") };
        ((*name).to_owned(), (*cards).to_owned(), pid.parse().unwrap())
    };
    place.lines("ran").into_iter().map(read).collect()
}

fn runs_of(place: &Place, name: &str) -> Vec<(String, String, u32)> {
    ran(place).into_iter().filter(|(other, ..)| other == name).collect()
}

/// Why a card gets no task.
fn out_of_use(place: &Place, daemon: &Daemon, index: usize) -> String {
    let id = gpus_document(place, &[])["cards"][index]["id"].as_str().unwrap().to_owned();
    daemon.status(place).out_of_use.get(&GpuId::from(id.as_str())).cloned().unwrap_or_default()
}

#[test]
fn an_xid_on_one_card_of_eight_stops_one_task_which_runs_again_elsewhere() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "cards 8 H100");
    let configuration = configured(&place, &server, "");
    let mut gates: Vec<Gate> = (0..9).map(|number| Gate::shut(&place.path(&format!("gate-{number}")))).collect();
    let arguments = ["--simulate", machine.path(), "--dynamic-gpus", "--queue", "default=1"];
    let mut daemon = start(&place, &server, &configuration, &arguments);
    let name = |number: usize| format!("task-{number}");
    let enqueue = |number: usize, gates: &[Gate]| {
        Draft::script(&name(number), &program(&place, &name(number), &gates[number])).enqueue(&api)
    };
    let mut tasks: Vec<String> = (0..8).map(|number| enqueue(number, &gates)).collect();
    eventually("eight tasks run", || ran(&place).len() == 8);
    let card_of = |uuid: &str| {
        let document = gpus_document(&place, &[]);
        let cards = document["cards"].as_array().unwrap().clone();
        cards.iter().position(|card| card["id"] == uuid).unwrap()
    };
    let (victim, bad_card, _) = ran(&place)[3].clone();
    let (number, index) = (victim.strip_prefix("task-").unwrap().parse::<usize>().unwrap(), card_of(&bad_card));

    // The row that is to be replaced holds the probe back until the test lets it through.
    machine.add(&format!("set {index} remapping_pending=1\nxid {index} 48"));
    eventually("the card is quarantined", || out_of_use(&place, &daemon, index).contains("XID 48"));
    eventually("the task waits in its queue", || api.status(&tasks[number]) == "queued");
    let log = api.console(&tasks[number]);
    let expected =
        format!("GPU {index}: XID 48 (memory error that could not be corrected): the task goes back to queue");
    assert!(log.contains(&expected), "{expected:?} is not in {log}");
    let others = || tasks.iter().enumerate().filter(|(other, _)| *other != number);
    assert!(others().all(|(_, task)| api.status(task) == "in_progress"), "exactly one is affected");

    // The quarantine is known to the next daemon.
    daemon.kill();
    let daemon = start(&place, &server, &configuration, &arguments);
    eventually("the card is still quarantined", || out_of_use(&place, &daemon, index).contains("XID 48"));
    let (other, _) = others().next().unwrap();
    gates[other].open();
    eventually("the task runs again", || runs_of(&place, &victim).len() == 2);
    let second = runs_of(&place, &victim)[1].1.clone();
    assert_ne!(second, bad_card, "on another card");
    assert_eq!(api.task(&tasks[number])["runtime"]["_hostler_requeued"].as_array().map(Vec::len), Some(1));

    // Well again: the card is back, and gets a task.
    machine.become_one_with("cards 8 H100");
    eventually("the card is back", || daemon.status(&place).out_of_use.is_empty());
    tasks.push(enqueue(8, &gates));
    eventually("the card is used again", || runs_of(&place, "task-8").iter().any(|(_, card, _)| *card == bad_card));
    gates.iter_mut().for_each(Gate::open);
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    assert_eq!(ran(&place).len(), 10, "nobody else ran twice");
    audit(&place);
}

#[test]
fn a_lost_card_fails_its_task_where_nothing_goes_back_and_a_program_is_blamed_for_its_own_errors() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "cards 2 H100");
    let configuration = configured(&place, &server, "gpu_requeues: 0");
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = ["--simulate", machine.path(), "--gpus", "0", "--gpus", "1"];
    let daemon = start(&place, &server, &configuration, &arguments);
    let tasks: Vec<String> =
        ["one", "other"].map(|name| Draft::script(name, &program(&place, name, &gate)).enqueue(&api)).into();
    eventually("both run", || ran(&place).len() == 2);
    let on = |index: usize| {
        let status = daemon.status(&place);
        let task = status.tasks.iter().find(|task| task.gpus[0].index as usize == index).unwrap();
        task.task.to_string()
    };
    let (doomed, blamed) = (on(0), on(1));
    assert!(tasks.contains(&doomed) && tasks.contains(&blamed));

    machine.add("xid 1 31");
    let note =
        "GPU 1: the driver reports XID 31 (a program touched memory that is not its own): an error of the program";
    eventually("the program is blamed", || api.console(&blamed).contains(note));
    machine.add("lost 0");
    let failed = api.ended_as(&doomed, "failed");
    assert_eq!(
        failed["status_reason"], "infrastructure failure while running: GPU 0: it has fallen off the bus",
        "{failed:#}"
    );
    let status = daemon.status(&place);
    assert_eq!(status.out_of_use.len(), 1, "{:?}", status.out_of_use);
    assert_eq!(api.status(&blamed), "in_progress");
    let its_card = &status.tasks.iter().find(|task| task.task.as_str() == blamed).unwrap().gpus[0].id;
    let (_, _, pid) = ran(&place).into_iter().find(|(_, card, _)| card == its_card.as_str()).unwrap();
    crate::harness::kill(i32::try_from(pid).unwrap());
    let reason = api.ended_as(&blamed, "failed")["status_reason"].as_str().unwrap().to_owned();
    assert_eq!(reason, format!("worker execution exit code -9; {note}"));
    gate.open();
    audit(&place);
}

#[test]
fn an_offender_on_a_shared_card_is_warned_then_stopped_and_its_neighbour_goes_on() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "cards 1 H100");
    let configuration = configured(&place, &server, "");
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = [
        ["--simulate", machine.path(), "--metrics-listen", "127.0.0.1:0"].as_slice(),
        &["--dynamic-gpus", "--queue", "default=0.25"],
    ]
    .concat();
    let daemon = start(&place, &server, &configuration, &arguments);
    let metrics_address = eventually_some("the address of metrics", || {
        let log = place.read("logs/daemon.log");
        Some(log.split_once("metrics are at http://")?.1.split_once("/metrics")?.0.to_owned())
    });
    let tasks = ["modest", "greedy"].map(|name| Draft::script(name, &program(&place, name, &gate)).enqueue(&api));
    eventually("both run", || ran(&place).len() == 2);
    let pid = |name: &str| runs_of(&place, name)[0].2;
    // A quarter of 81559 MiB is 20389 MiB.
    machine.add(&format!("process 0 {} 20000\nprocess 0 {} 20400", pid("modest"), pid("greedy")));
    let failed = api.ended_as(&tasks[1], "failed");
    let reason =
        "oom_gpu failure while running: GPU 0: the task uses 20400 MiB of its memory, and its share is 20389 MiB";
    assert_eq!(failed["status_reason"], reason, "{failed:#}");
    let log = api.console(&tasks[1]);
    assert!(log.contains("its share is 20389 MiB; it is stopped unless it frees memory"), "{log}");
    assert!(log.contains("0.25 of GPU 0 (NVIDIA H100 80GB HBM3 (simulated)): shared slot"), "{log}");
    let document = gpus_document(&place, &[]);
    assert_eq!(document["cards"][0]["held_by"][0]["isolation"], "slot", "{document:#}");
    assert_eq!(api.status(&tasks[0]), "in_progress");
    assert!(daemon.status(&place).out_of_use.is_empty(), "the card is not to blame");
    let modest = format!("hostler_task_gpu_memory_bytes{{task=\"{}\",gpu=\"GPU-", tasks[0]);
    let page = asked(&metrics_address, "GET /metrics HTTP/1.1");
    let line = page.lines().find(|line| line.starts_with(&modest)).unwrap_or_else(|| panic!("{page}"));
    assert!(line.ends_with(&format!(" {}", 20000u64 << 20)), "{line}");
    let power = format!("hostler_task_gpu_power_watts{{task=\"{}\",gpu=\"GPU-", tasks[0]);
    for part in [
        power.as_str(),
        "hostler_gpu_power_watts{gpu=\"GPU-",
        "hostler_tasks{phase=\"running\"} 1\n",
        "hostler_server_reachable 1\n",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    assert!(asked(&metrics_address, "POST /metrics HTTP/1.1").starts_with("HTTP/1.1 404 "));
    gate.open();
    api.ended_as(&tasks[0], "completed");
    audit(&place);
}

#[test]
fn a_card_that_others_use_waits_for_them() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut stranger = place.command("sleep").arg("600").spawn().unwrap();
    let foreign = format!("process 0 {} 1000", stranger.id());
    let machine = Machine::new(&place, &format!("cards 1 H100\n{foreign}"));
    let configuration = configured(&place, &server, "");
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = ["--simulate", machine.path(), "--gpus", "0", "--gpu-foreign", "wait"];
    let daemon = start(&place, &server, &configuration, &arguments);
    let task = Draft::script("patient", &program(&place, "patient", &gate)).enqueue(&api);
    let expected = format!("in use by programs that are no tasks (process {})", stranger.id());
    eventually("the stranger is seen", || daemon.status(&place).out_of_use.values().any(|why| *why == expected));
    let document: Value = gpus_document(&place, &[]);
    assert_eq!(document["cards"][0]["out_of_use"], expected.as_str(), "{document:#}");
    assert_eq!(api.status(&task), "queued");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    eventually("the task runs", || ran(&place).len() == 1);
    gate.open();
    api.ended_as(&task, "completed");
    audit(&place);
}

#[test]
fn tasks_keep_to_the_processors_near_their_cards() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
    let last = own.rsplit([',', '-']).next().unwrap().to_owned();
    // The second card is near processors that this machine does not have.
    let machine = Machine::new(&place, &format!("card H100 cpus={last},900\ncard H100 cpus=901-903"));
    let configuration = configured(&place, &server, "");
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = ["--simulate", machine.path(), "--gpus", "0", "--gpus", "1"];
    let daemon = start(&place, &server, &configuration, &arguments);
    let program = |name: &str| {
        let allowed = "print('allowed', open('/proc/self/status').read().split('Cpus_allowed_list:')[1].split()[0])";
        format!("{}print('near', os.environ['CUDA_VISIBLE_DEVICES'])\n{allowed}\n", program(&place, name, &gate))
    };
    let tasks = ["one", "other"].map(|name| Draft::script(name, &program(name)).enqueue(&api));
    eventually("both run", || ran(&place).len() == 2);
    let cards: Vec<(String, u32)> =
        daemon.status(&place).tasks.iter().map(|task| (task.task.to_string(), task.gpus[0].index)).collect();
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
        let index = cards.iter().find(|(other, _)| other == task).unwrap().1;
        let expected = if index == 0 { &last } else { &own };
        let console = api.console(task);
        assert!(console.contains(&format!("allowed {expected}\n")), "GPU {index}, {expected}: {console}");
    }
    audit(&place);
}

#[test]
fn what_a_task_uses_of_its_card_is_plotted_and_its_peaks_are_kept() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "cards 2 H100\nset 1 utilisation=97 temperature=61 power=650");
    let configuration = configured(&place, &server, "gpu_scalars_interval: 0.3");
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = ["--simulate", machine.path(), "--gpus", "1"];
    let mut daemon = start(&place, &server, &configuration, &arguments);
    let task = Draft::script("busy", &program(&place, "busy", &gate)).enqueue(&api);
    eventually("it runs", || ran(&place).len() == 1);
    let pid = ran(&place)[0].2;
    machine.add(&format!("process 1 {pid} 2048"));
    let plotted = |variant: &str| {
        let metrics = api.task(&task)["last_metrics"].clone();
        let all = metrics.as_object().into_iter().flat_map(|metrics| metrics.values().cloned()).collect::<Vec<_>>();
        let variants = all.iter().filter_map(Value::as_object).flat_map(|variants| variants.values());
        let mut found = variants.filter(|found| found["metric"] == ":monitor:gpu" && found["variant"] == variant);
        found.next().and_then(|found| found["value"].as_f64())
    };
    eventually("its use is plotted", || plotted("gpu_1_mem_used_gb") == Some(2.0));
    assert_eq!(plotted("gpu_1_utilization"), Some(97.0));
    assert_eq!(plotted("gpu_1_power_watts"), Some(650.0));
    // A later, smaller use does not lower the peak.
    machine.become_one_with(&format!("cards 2 H100\nset 1 utilisation=3\nprocess 1 {pid} 1024"));
    eventually("less is plotted", || plotted("gpu_1_mem_used_gb").is_some_and(|used| used < 2.0));
    // Nor does a daemon that did not see it.
    daemon.kill();
    let daemon = start(&place, &server, &configuration, &arguments);
    eventually("the task is known again", || daemon.status(&place).tasks.iter().any(|task| task.attached));
    gate.open();
    let ended = api.ended_as(&task, "completed");
    let peak = &ended["runtime"]["_hostler_gpu_peaks"]["1"];
    assert_eq!((&peak["memory_mib"], &peak["utilisation_percent"]), (&json!(2048.0), &json!(97.0)), "{peak:#}");
    assert!(api.console(&task).contains("GPU 1: at most 2048 MiB, 97%, 650 W, 61\u{b0}C"), "{}", api.console(&task));
    audit(&place);
}

/// What a driver may lack, or fail at, without being of no use.
const OPTIONAL: [&str; 13] = [
    "nvmlEventSetCreate",
    "nvmlDeviceGetRemappedRows",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetCpuAffinity",
    "nvmlDeviceGetTopologyCommonAncestor",
    "nvmlDeviceGetP2PStatus",
    "nvmlSystemGetCudaDriverVersion",
];

#[test]
fn a_driver_that_fails_at_most_things_serves_all_the_same() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let faults = OPTIONAL.map(|function| format!("fail * {function} UNKNOWN\n")).concat();
    let machine = Machine::new(&place, &format!("cards 1 H100\n{faults}"));
    let configuration = configured(&place, &server, "");
    let mut gate = Gate::shut(&place.path("gate"));
    let daemon = start(&place, &server, &configuration, &["--simulate", machine.path(), "--gpus", "0"]);
    let first = Draft::script("first", &program(&place, "first", &gate)).enqueue(&api);
    eventually("it runs", || ran(&place).len() == 1);
    let lacks = || place.read("logs/daemon.log").contains("the NVIDIA driver gives no events");
    eventually("what is lacking is said", lacks);
    gate.open();
    api.ended_as(&first, "completed");
    // Without events memory errors are seen all the same: they are counted.
    machine.add("set 0 ecc_uncorrected=1");
    eventually("the card is quarantined", || out_of_use(&place, &daemon, 0).contains("memory errors"));
    audit(&place);
}

#[test]
fn a_driver_that_stops_answering_is_waited_for() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "cards 1 H100");
    let configuration = configured(&place, &server, "");
    let mut gate = Gate::shut(&place.path("gate"));
    let daemon = start(&place, &server, &configuration, &["--simulate", machine.path(), "--gpus", "0"]);
    let task = Draft::script("twice", &program(&place, "twice", &gate)).enqueue(&api);
    eventually("it runs", || ran(&place).len() == 1);
    machine.add("fail 0 nvmlDeviceGetMemoryInfo TIMEOUT");
    let why = || daemon.status(&place).out_of_use.into_values().next().unwrap_or_default();
    eventually("the card is quarantined", || why().contains("it does not answer"));
    eventually("the task waits", || api.status(&task) == "queued");
    machine.become_one_with("cards 1 H100");
    eventually("it runs again", || ran(&place).len() == 2);
    gate.open();
    api.ended_as(&task, "completed");
    audit(&place);
}

#[test]
fn an_xid_of_a_mig_instance_leaves_the_other_instances_alone() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "card H100\ninstance 0 3g.40gb 4\ninstance 0 1g.10gb 0");
    let configuration = configured(&place, &server, "gpu_requeues: 0");
    let mut gate = Gate::shut(&place.path("gate"));
    let arguments = ["--simulate", machine.path(), "--gpus", "0:0", "--gpus", "0:1"];
    let daemon = start(&place, &server, &configuration, &arguments);
    let tasks = ["one", "other"].map(|name| Draft::script(name, &program(&place, name, &gate)).enqueue(&api));
    eventually("both run", || ran(&place).len() == 2);
    let status = daemon.status(&place);
    let small = |gpus: &[protocols::gpu::GpuCard]| gpus.iter().any(|card| card.name.contains("1g.10gb"));
    let doomed = status.tasks.iter().find(|task| small(&task.gpus)).unwrap().task.to_string();
    machine.add("xid 0:1 94");
    let failed = api.ended_as(&doomed, "failed");
    let reason = "infrastructure failure while running: GPU 0: XID 94 (memory error that was contained)";
    assert_eq!(failed["status_reason"], reason, "{failed:#}");
    let other = tasks.iter().find(|task| **task != doomed).unwrap();
    assert_eq!(api.status(other), "in_progress");
    gate.open();
    api.ended_as(other, "completed");
    audit(&place);
}

#[test]
fn how_busy_an_instance_is_is_plotted_and_told_to_the_server() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = Machine::new(&place, "card H100\ninstance 0 3g.40gb 4\nset 0:0 utilisation=64");
    let configuration = configured(&place, &server, "gpu_scalars_interval: 0.3");
    let mut gate = Gate::shut(&place.path("gate"));
    let environment = [("CLEARML_CONFIG_FILE", &*configuration), ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "1")];
    let arguments = ["--simulate", machine.path(), "--gpus", "0:0"];
    let _daemon = Daemon::start_with(&place, &server, &arguments, &environment);
    let task = Draft::script("busy", &program(&place, "busy", &gate)).enqueue(&api);
    let plotted = || {
        let metrics = api.task(&task)["last_metrics"].to_string();
        metrics.contains("gpu_0_utilization") && metrics.contains("64.0")
    };
    eventually("its load is plotted", plotted);
    let stats = |worker: &Value| worker.to_string();
    let told = || {
        let body = json!({
            "worker_ids": [], "from_date": 0, "to_date": 4_000_000_000_u64, "interval": 3_600_000,
            "items": [{ "key": "gpu_usage", "aggregation": "max" }],
        });
        stats(&api.call("workers.get_stats", body)).contains("64")
    };
    eventually("its load is told", told);
    gate.open();
    api.ended_as(&task, "completed");
    audit(&place);
}
