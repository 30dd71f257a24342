//! GPUs that are simulated: the real library's interface, no card.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Daemon, Draft, Gate, Place, ProcessExt as _, Server, audit, eventually, python_environment};
use crate::real_cards;

/// A simulated `libnvidia-ml.so.1` with this scenario, in the place's folder `driver`.
pub(crate) fn simulate(place: &Place, scenario: &str) {
    std::fs::create_dir(place.path("driver")).unwrap();
    let built = std::env::current_exe().unwrap().with_file_name("libhostler_fake_nvml.so");
    std::fs::copy(built, place.path("driver/libnvidia-ml.so.1")).unwrap();
    std::fs::write(place.path("driver/scenario"), scenario).unwrap();
}

#[test]
fn what_people_look_at_gpus_with_reads_the_simulated_driver() {
    let place = Place::new();
    simulate(
        &place,
        "cards 2 H100\n\
         set 0 utilisation=97 temperature=61 power=650 ecc_uncorrected=3 remapped_rows=2 remapping_pending=1\n\
         process 0 1 20000\n\
         instance 1 3g.40gb 4\n\
         instance 1 1g.10gb 0\n\
         process 1:1 1 100\n",
    );
    let python = python_environment("tests/gpu/requirements.txt");
    let run = |arguments: &[&str]| {
        let mut command = place.command(&python);
        command.args(arguments).env("LD_LIBRARY_PATH", place.path("driver"));
        command.finish_within(Duration::from_secs(60)).ok()
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu/read_everything.py");
    assert_eq!(run(&[script]).trim(), "done");

    let seen: Value = serde_json::from_str(&run(&["-m", "gpustat", "--json"])).unwrap();
    assert_eq!(seen["driver_version"], "580.95.05");
    let [first, second] = seen["gpus"].as_array().unwrap().as_slice() else { panic!("{seen:#}") };
    assert_eq!(first["name"], "NVIDIA H100 80GB HBM3 (simulated)");
    assert_eq!(first["utilization.gpu"], 97);
    assert_eq!(first["memory.used"], 20000);
    assert_eq!(first["processes"][0]["pid"], 1);
    assert_eq!(second["memory.used"], 100);
    assert_eq!(second["utilization.gpu"], Value::Null, "a divided card has no utilisation");
}

#[test]
fn the_inventory_is_what_another_reader_of_the_driver_says() {
    let place = Place::new();
    simulate(&place, "card H100\ncards 2 A100-40GB\ncard L4 uuid=GPU-0a\n");
    let python = python_environment("tests/gpu/requirements.txt");
    let mut command = place.command(&python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu/as_nvidia_smi.py"));
    command.env("LD_LIBRARY_PATH", place.path("driver"));
    let told = real_cards::told(&command.finish_within(Duration::from_secs(60)).ok());
    assert_eq!(told.len(), 4);
    let scenario = place.path("driver/scenario");
    let document = real_cards::gpus_document(&place, &["--simulate", scenario.to_str().unwrap()]);
    assert_eq!(real_cards::shown(&document), told);
}

/// A program that notes when it begins and ends, and the cards that it sees. It ends when the gate is open.
fn observer(place: &Place, name: &str, gate: &Gate) -> String {
    format!(
        "import os\n\
         def note(what): os.write(os.open({log:?}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), (what + '\\n').encode())\n\
         seen = os.environ['CUDA_VISIBLE_DEVICES']\n\
         assert seen == os.environ['NVIDIA_VISIBLE_DEVICES']\n\
         note('begin {name} ' + seen)\n\
         {wait}\n\
         note('end {name} ' + seen)\n",
        log = place.path("observed"),
        wait = gate.python(),
    )
}

/// What the observers noted so far: `begin` or `end`, name, cards.
fn observed(place: &Place) -> Vec<(bool, String, Vec<String>)> {
    let read = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, name, cards] = words.as_slice() else { panic!("{line:?}") };
        (*what == "begin", (*name).to_owned(), cards.split(',').map(str::to_owned).collect())
    };
    place.lines("observed").into_iter().map(read).collect()
}

fn begun(place: &Place) -> Vec<String> {
    observed(place).into_iter().filter(|(begins, ..)| *begins).map(|(_, name, _)| name).collect()
}

/// How much of a card a task of this name may use, in thousandths, and how many cards it may have.
fn policy(name: &str) -> (u32, std::ops::RangeInclusive<usize>) {
    match name.split('-').next() {
        Some("dual") => (1000, 2..=2),
        Some("single") => (1000, 1..=1),
        Some("elastic") => (1000, 1..=4),
        Some("half") => (500, 1..=1),
        other => panic!("no queue is called {other:?}"),
    }
}

/// Replays what was observed: no card is ever used beyond its whole. Gives the cards that were used.
fn never_oversold(observed: &[(bool, String, Vec<String>)]) -> BTreeMap<String, u32> {
    let mut used: BTreeMap<String, u32> = BTreeMap::new();
    for (begins, name, cards) in observed {
        let (share, count) = policy(name);
        assert!(count.contains(&cards.len()), "{name} has {cards:?}");
        for card in cards {
            let used = used.entry(card.clone()).or_default();
            *used = if *begins { *used + share } else { *used - share };
            assert!(*used <= 1000, "{name} shares {card} beyond its whole: {observed:#?}");
        }
    }
    used
}

#[test]
fn cards_are_divided_as_queues_demand_through_a_crash() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let queues = ["dual", "single", "elastic", "half"];
    let mut tasks = Vec::new();
    for queue in queues {
        api.call("queues.create", json!({ "name": queue }));
        for number in 0..5 {
            let name = format!("{queue}-{number}");
            let task = Draft::script(&name, &observer(&place, &name, &gate)).create(&api);
            api.enqueue(&task, queue);
            tasks.push(task);
        }
    }
    let arguments = [
        ["--simulate", "8xH100", "--dynamic-gpus", "--gpus", "0-7"].as_slice(),
        &["--queue", "dual=2", "single=1", "elastic=1-4", "half=0.5"],
    ]
    .concat();
    let mut daemon = Daemon::start(&place, &server, &arguments);
    // The first queue takes all the cards, and nothing passes the fifth task of it, which waits for two.
    eventually("every card in use", || begun(&place).len() == 4);
    let mut first = begun(&place);
    first.sort();
    assert_eq!(first, ["dual-0", "dual-1", "dual-2", "dual-3"]);
    let status = daemon.status(&place);
    let mut workers: Vec<String> = status.workers.iter().map(|worker| worker.id.to_string()).collect();
    workers.sort();
    let host = workers[0].strip_suffix(":dgpu0-7").unwrap_or_else(|| panic!("{workers:?}"));
    assert!(host.ends_with("-simulated"), "{host}");
    let pairs = ["0,1", "2,3", "4,5", "6,7"].map(|cards| format!("{host}:gpu{cards}"));
    assert_eq!(workers[1..], pairs);

    daemon.kill();
    let daemon = Daemon::start(&place, &server, &arguments);
    eventually("the tasks that run are taken over", || daemon.status(&place).workers[1..].len() == 4);
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    let workers = || api.call("workers.get_all", json!({ "last_seen": 60 }))["workers"].as_array().unwrap().len();
    eventually("the workers of ended leases are signed off", || workers() == 1);
    let observed = observed(&place);
    assert_eq!(observed.len(), 2 * tasks.len(), "each ran once: {observed:#?}");
    let used = never_oversold(&observed);
    assert_eq!(used.len(), 8, "every card was used: {used:?}");
    assert!(used.keys().all(|card| card.starts_with("GPU-51310000-")), "by the UUIDs of the simulated cards: {used:?}");
    assert!(used.values().all(|left| *left == 0));
    audit(&place);
}

#[test]
fn a_large_demand_is_not_starved_by_small_ones_behind_it() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let (mut first_gate, mut gate) = (Gate::shut(&place.path("first")), Gate::shut(&place.path("gate")));
    for queue in ["dual", "single"] {
        api.call("queues.create", json!({ "name": queue }));
    }
    let enqueue = |name: &str, gate: &Gate| {
        let task = Draft::script(name, &observer(&place, name, gate)).create(&api);
        api.enqueue(&task, name.split('-').next().unwrap());
        task
    };
    let arguments = ["--simulate", "2xH100", "--dynamic-gpus", "--queue", "dual=2", "single=1"];
    let _daemon = Daemon::start(&place, &server, &arguments);
    let mut tasks = vec![enqueue("single-0", &first_gate)];
    eventually("a small one runs", || begun(&place).len() == 1);
    // One card is free. The large one waits for two; the small ones that come after it do not get in between.
    tasks.push(enqueue("dual-0", &gate));
    tasks.extend((1..4).map(|number| enqueue(&format!("single-{number}"), &gate)));
    let waits = |task: &str| {
        let lines = place.lines("logs/daemon.log");
        lines.iter().any(|line| line.contains("waits for GPUs") && line.contains(task))
    };
    eventually("both have been judged", || waits(&tasks[1]) && waits(&tasks[2]));
    assert!(explained(&place).starts_with("2: waits for GPU 0,1 "), "{}", explained(&place));
    assert_eq!(begun(&place), ["single-0"]);
    first_gate.open();
    eventually("the large one runs", || begun(&place).len() == 2);
    assert_eq!(begun(&place), ["single-0", "dual-0"]);
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    never_oversold(&observed(&place));
    audit(&place);
}

/// What `hostler gpus --explain 2` says.
fn explained(place: &Place) -> String {
    let mut command = place.hostler();
    command.args(["gpus", "--explain", "2", "--state-dir"]).arg(place.path("state"));
    command.finish_within(Duration::from_secs(30)).ok()
}

#[test]
fn gpus_are_shown_with_who_has_them() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    std::fs::write(
        place.path("machine"),
        "cards 2 H100\n\
         set 0 utilisation=97 temperature=61 power=650 remapped_rows=2\n\
         process 0 1 20000\n\
         instance 1 3g.40gb 4\n\
         instance 1 1g.10gb 0\n\
         card L4\n\
         lost 2\n",
    )
    .unwrap();
    let machine = place.path("machine");
    let machine = machine.to_str().unwrap();
    let daemon = Daemon::start(&place, &server, &["--simulate", machine, "--gpus", "0", "--gpus", "1:0"]);
    let ids: Vec<String> = daemon.status(&place).workers.iter().map(|worker| worker.id.to_string()).collect();
    assert!(ids[0].ends_with("-simulated:gpu0") && ids[1].ends_with("-simulated:gpu1.0"), "{ids:?}");
    let tasks: Vec<String> =
        ["single-0", "single-1"].map(|name| Draft::script(name, &observer(&place, name, &gate)).enqueue(&api)).into();
    eventually("both run", || begun(&place).len() == 2);

    let shown = |arguments: &[&str]| {
        let mut command = place.hostler();
        command.arg("gpus").args(arguments).arg("--state-dir").arg(place.path("state"));
        command.finish_within(Duration::from_secs(30)).ok()
    };
    let document: Value = serde_json::from_str(&shown(&["--json"])).unwrap();
    let card = &document["cards"][0];
    assert_eq!(card["utilisation_percent"], 97.0, "{document:#}");
    let holder = |device: &Value| device["held_by"][0]["task"].as_str().unwrap_or_default().to_owned();
    let mut holders = vec![holder(card), holder(&document["cards"][1]["instances"][0])];
    holders.sort();
    let mut expected = tasks.clone();
    expected.sort();
    assert_eq!(holders, expected, "{document:#}");
    assert_eq!(document["cards"][1]["instances"][1]["held_by"], json!([]));
    assert_eq!(document["unreadable"][0][0], 2);

    let table = shown(&[]);
    for part in [
        "NVIDIA H100 80GB HBM3 (simulated)\t97%\t61\u{b0}C\t650/700W\t20000/81559MiB\tsingle-",
        "/1 20000MiB foreign\t2 memory rows replaced",
        "divided (MIG)",
        "1:1\tNVIDIA H100 80GB HBM3 MIG 1g.10gb (simulated)",
        "does not answer",
    ] {
        assert!(table.contains(part), "{part:?} is not in {table}");
    }
    let seen: Vec<Vec<String>> = observed(&place).into_iter().map(|(_, _, cards)| cards).collect();
    let uuids =
        [&card["id"], &document["cards"][1]["instances"][0]["id"]].map(|id| vec![id.as_str().unwrap().to_owned()]);
    assert!(seen.iter().all(|cards| uuids.contains(cards)), "{seen:?}");
    gate.open();
    for task in &tasks {
        api.ended_as(task, "completed");
    }
    audit(&place);
}

#[test]
fn what_cannot_be_simulated_or_divided_is_said() {
    let place = Place::new();
    let server = Server::start(&place);
    for (arguments, expected) in [
        (["--simulate", "nowhere", "--queue", "default"].as_slice(), "neither cards like 8xH100 nor a scenario file"),
        (&["--simulate", "2xH100", "--gpus", "2"], "there is no GPU 2 on this machine"),
        (&["--simulate", "2xH100", "--dynamic-gpus", "--queue", "default"], "Write default=1"),
        (&["--simulate", "2xH100", "--dynamic-gpus", "--queue", "default=3"], "there are 2 GPUs"),
        (&["--simulate", "2xH100", "--dynamic-gpus", "--queue", "default=1.5"], "`1.5` is no number of GPUs"),
    ] {
        let done = Daemon::command(&place, &server, arguments).finish_within(Duration::from_secs(60));
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{expected:?} is not in {}", done.stderr);
    }
}
