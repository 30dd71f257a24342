//! Real cards. Skipped, with the reason on the console, where there is none: `scripts/test-gpu` runs these alone.
//!
//! `HOSTLER_TEST_PYTHON` names an interpreter that has `torch`. Nothing is downloaded and no setting of a card is
//! changed. How the driver's answers are compared is shared with the tests on a simulated driver.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Daemon, Draft, Gate, Place, ProcessExt as _, Server, audit, base_python, eventually, eventually_some, is_alive,
    kill,
};

/// What is asked of `nvidia-smi`, or of whoever answers in its place.
const SMI_QUERY: &str = "--query-gpu=index,name,uuid,memory.total,pci.bus_id";

/// How much memory a task takes in these tests: more than the context that every CUDA program has.
const TAKEN_BYTES: u64 = 3 << 30;

/// Loading torch from a cold disk, and the first CUDA context, take their time.
const TORCH_LIMIT: Duration = Duration::from_secs(240);

/// A card as another program tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToldCard {
    pub(crate) index: u64,
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) memory_mib: u64,
    pub(crate) bus: String,
}

/// Reads what `nvidia-smi` prints for [`SMI_QUERY`] with `--format=csv,noheader,nounits`.
pub(crate) fn told(csv: &str) -> Vec<ToldCard> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [index, name, uuid, memory, bus] = fields.as_slice() else { panic!("{line:?}") };
        ToldCard {
            index: index.parse().unwrap_or_else(|_| panic!("{line:?}")),
            name: (*name).to_owned(),
            uuid: (*uuid).to_owned(),
            memory_mib: memory.parse().unwrap_or_else(|_| panic!("{line:?}")),
            bus: bus.to_ascii_lowercase(),
        }
    };
    csv.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
}

/// The cards of `hostler gpus --json`, as they would be told.
pub(crate) fn shown(document: &Value) -> Vec<ToldCard> {
    let cards = document["cards"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    cards
        .iter()
        .map(|card| ToldCard {
            index: card["index"].as_u64().unwrap(),
            name: text(&card["name"]),
            uuid: text(&card["id"]),
            memory_mib: card["memory_bytes"].as_u64().unwrap() >> 20,
            bus: text(&card["pci_bus_id"]).to_ascii_lowercase(),
        })
        .collect()
}

/// `hostler gpus --json`.
pub(crate) fn gpus_document(place: &Place, arguments: &[&str]) -> Value {
    let mut command = place.hostler();
    command.args(["gpus", "--json"]).args(arguments).arg("--state-dir").arg(place.path("state"));
    serde_json::from_str(&command.finish_within(Duration::from_secs(60)).ok()).unwrap()
}

/// The process of a document on any card, with the index of the card.
pub(crate) fn process_in(document: &Value, pid: u64) -> Option<(u64, Value)> {
    let cards = document["cards"].as_array()?;
    cards.iter().find_map(|card| {
        let process = card["processes"].as_array()?.iter().find(|process| process["pid"] == pid)?;
        Some((card["index"].as_u64()?, process.clone()))
    })
}

fn smi(query: &str) -> Result<String, String> {
    let mut command = Command::new("nvidia-smi");
    command.args([query, "--format=csv,noheader,nounits"]);
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("nvidia-smi: {}", String::from_utf8_lossy(&output.stdout).trim())),
        Err(error) => Err(format!("nvidia-smi: {error}")),
    }
}

/// The cards of this machine; where there is none the reason is printed, and the test is over.
fn real_cards() -> Option<Vec<ToldCard>> {
    match smi(SMI_QUERY).map(|csv| told(&csv)) {
        Ok(cards) if !cards.is_empty() => Some(cards),
        Ok(_) => skipped("nvidia-smi knows of no card"),
        Err(why) => skipped(&why),
    }
}

/// Prints why a test is not made here.
fn skipped<T>(why: &str) -> Option<T> {
    eprintln!("skipped: {why}");
    None
}

/// An interpreter with torch, from `HOSTLER_TEST_PYTHON`.
fn torch_python() -> Option<&'static str> {
    let mut command = Command::new(base_python());
    let done = command.args(["-c", "import torch; assert torch.cuda.is_available()"]).finish_within(TORCH_LIMIT);
    if done.status.success() {
        return Some(base_python());
    }
    let last = done.stderr.lines().last().unwrap_or_default().to_owned();
    skipped(&format!("{} has no torch with CUDA ({last}): set HOSTLER_TEST_PYTHON", base_python()))
}

/// A program that takes memory on all cards that it sees, notes what it saw as JSON in `file`, and waits for the gate.
fn torch_program(file: &Path, gate: &Gate, bytes: u64) -> String {
    format!(
        "import json, os, torch\n\
         held = [torch.full(({bytes} // 4,), 1.0, device=f'cuda:{{index}}') \
         for index in range(torch.cuda.device_count())]\n\
         torch.cuda.synchronize()\n\
         cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]\n\
         seen = dict(pid=os.getpid(), sum=float(held[0][:1000].sum()), \
         names=[card.name for card in cards], uuids=[str(getattr(card, 'uuid', '')) for card in cards], \
         visible=os.environ.get('CUDA_VISIBLE_DEVICES'))\n\
         open({new:?}, 'w').write(json.dumps(seen))\n\
         os.rename({new:?}, {file:?})\n\
         {wait}\n",
        new = file.with_extension("new"),
        wait = gate.python(),
    )
}

fn seen_by_torch(file: &Path) -> Value {
    let read = || serde_json::from_slice(&std::fs::read(file).ok()?).ok();
    eventually_some("what torch saw", read)
}

/// A daemon whose tasks run with the interpreter as it is.
fn daemon(place: &Place, server: &Server, arguments: &[&str]) -> Daemon {
    let environment = [("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1"), ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "1")];
    let daemon = Daemon::start_with(place, server, arguments, &environment);
    daemon.status(place);
    daemon
}

/// Whether the driver tells of a process by the id that it has here; in a container it may not.
fn is_told_of(pid: u64) -> bool {
    let tells =
        || smi("--query-compute-apps=pid").is_ok_and(|pids| pids.lines().any(|line| line.trim() == pid.to_string()));
    tells() || skipped::<()>(&format!("nvidia-smi does not list process {pid}: ids are another container's")).is_some()
}

#[test]
fn the_inventory_is_what_nvidia_smi_says() {
    let Some(cards) = real_cards() else { return };
    let place = Place::new();
    assert_eq!(shown(&gpus_document(&place, &[])), cards);
}

#[test]
fn a_task_pinned_by_uuid_sees_its_card_alone() {
    let (Some(cards), Some(_)) = (real_cards(), torch_python()) else { return };
    let card = cards.last().unwrap();
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let _daemon = daemon(&place, &server, &["--gpus", &card.uuid]);
    let task = Draft::script("torch", &torch_program(&place.path("seen"), &gate, TAKEN_BYTES)).enqueue(&api);
    let seen = seen_by_torch(&place.path("seen"));
    assert_eq!(seen["visible"], card.uuid.as_str(), "{seen:#}");
    assert_eq!(seen["names"].as_array().unwrap().len(), 1, "{seen:#}");
    assert_eq!(seen["names"][0], card.name.as_str());
    assert_eq!(seen["sum"], 1000.0, "it computes");
    // Versions of torch before 2.4 do not know the UUID.
    let uuid = seen["uuids"][0].as_str().unwrap();
    assert!(uuid.is_empty() || card.uuid.ends_with(uuid), "{seen:#}");
    gate.open();
    api.ended_as(&task, "completed");
    audit(&place);
}

#[test]
fn memory_on_a_card_belongs_to_its_task() {
    let (Some(cards), Some(python)) = (real_cards(), torch_python()) else { return };
    let card = &cards[0];
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let _daemon = daemon(&place, &server, &["--gpus", &card.uuid]);
    let task = Draft::script("torch", &torch_program(&place.path("seen"), &gate, TAKEN_BYTES)).enqueue(&api);
    let pid = seen_by_torch(&place.path("seen"))["pid"].as_u64().unwrap();
    // A program that no task started, on the same card.
    let stranger = place.path("stranger.py");
    std::fs::write(&stranger, torch_program(&place.path("stranger"), &gate, TAKEN_BYTES)).unwrap();
    let mut foreign = place.command(python).arg(stranger).env("CUDA_VISIBLE_DEVICES", &card.uuid).spawn().unwrap();
    let foreign_pid = seen_by_torch(&place.path("stranger"))["pid"].as_u64().unwrap();
    if is_told_of(pid) {
        let document = gpus_document(&place, &[]);
        let (index, process) = process_in(&document, pid).unwrap_or_else(|| panic!("{document:#}"));
        assert_eq!(index, card.index);
        assert!(process["attempt"].as_str().unwrap().starts_with(&format!("{task}.")), "{process:#}");
        assert!(process["memory_bytes"].as_u64().unwrap() >= TAKEN_BYTES, "{process:#}");
        let (_, process) = process_in(&document, foreign_pid).unwrap_or_else(|| panic!("{document:#}"));
        assert_eq!(process["attempt"], Value::Null, "{process:#}");
    }
    gate.open();
    api.ended_as(&task, "completed");
    eventually("end of the stranger", || foreign.try_wait().unwrap().is_some());
    audit(&place);
}

#[test]
fn an_offender_on_a_shared_card_is_stopped_and_its_neighbour_goes_on() {
    let (Some(cards), Some(_)) = (real_cards(), torch_python()) else { return };
    let card = &cards[0];
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let _daemon = daemon(&place, &server, &["--dynamic-gpus", "--gpus", &card.uuid, "--queue", "default=0.25"]);
    let enqueue =
        |name: &str, bytes| Draft::script(name, &torch_program(&place.path(name), &gate, bytes)).enqueue(&api);
    let modest = enqueue("modest", TAKEN_BYTES);
    let pid = seen_by_torch(&place.path("modest"))["pid"].as_u64().unwrap();
    if is_told_of(pid) {
        // A quarter of the card, and more on top than a CUDA program has for itself.
        let greedy = enqueue("greedy", (card.memory_mib << 20) / 4 + TAKEN_BYTES);
        let failed = api.ended_as(&greedy, "failed");
        let reason = failed["status_reason"].as_str().unwrap();
        assert!(reason.starts_with("oom_gpu failure"), "{reason}");
        assert!(api.console(&greedy).contains("it is stopped unless it frees memory"), "it was warned");
        assert_eq!(api.status(&modest), "in_progress");
    }
    gate.open();
    api.ended_as(&modest, "completed");
    audit(&place);
}

/// What the driver says of MIG mode: what is looked at here is not changed.
#[test]
fn mig_mode_is_what_nvidia_smi_says() {
    let Some(cards) = real_cards() else { return };
    let told = smi("--query-gpu=mig.mode.current").unwrap();
    let place = Place::new();
    let document = gpus_document(&place, &[]);
    for (card, told) in cards.iter().zip(told.lines().map(str::trim)) {
        eprintln!("GPU {}: MIG mode {told}", card.index);
        let shown =
            &document["cards"].as_array().unwrap().iter().find(|shown| shown["id"] == card.uuid.as_str()).unwrap();
        let expected = match told {
            "Enabled" => Value::Bool(true),
            "Disabled" => Value::Bool(false),
            _ => Value::Null,
        };
        assert_eq!(shown["mig_mode"], expected, "{shown:#}");
        if told != "Enabled" {
            assert_eq!(shown["instances"], serde_json::json!([]), "{shown:#}");
        }
    }
}

/// Whether a program of NVIDIA's is on this machine.
fn mps_control() -> Option<()> {
    let name = drivers::mps::PROGRAM;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if is_there { Some(()) } else { skipped(&format!("there is no {name} on the PATH")) }
}

/// A program that takes memory bit by bit until it has `bytes` or is refused, notes what it saw, waits for the gate, and
/// computes with what it has.
fn mps_program(file: &Path, gate: &Gate, bytes: u64) -> String {
    format!(
        "import json, os, torch\n\
         held, refused = [], None\n\
         try:\n    \
             while sum(part.nbytes for part in held) < {bytes}:\n        \
                 held.append(torch.full((1 << 26,), 1.0, device='cuda'))\n    \
             torch.cuda.synchronize()\n\
         except torch.cuda.OutOfMemoryError as error:\n    \
             refused = str(error)\n\
         seen = dict(pid=os.getpid(), bytes=sum(part.nbytes for part in held), refused=refused, \
         told=torch.cuda.mem_get_info()[1], processors=torch.cuda.get_device_properties(0).multi_processor_count, \
         limits={{name: value for name, value in os.environ.items() if name.startswith('CUDA_')}})\n\
         print('seen', json.dumps(seen), flush=True)\n\
         open({new:?}, 'w').write(json.dumps(seen))\n\
         os.rename({new:?}, {file:?})\n\
         {wait}\n\
         assert all(float(part.sum()) == part.numel() for part in held[:4])\n",
        new = file.with_extension("new"),
        wait = gate.python(),
    )
}

#[test]
fn mps_shares_are_enforced_by_the_driver() {
    let (Some(cards), Some(()), Some(_)) = (real_cards(), mps_control(), torch_python()) else { return };
    let card = &cards[0];
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let daemon = daemon(&place, &server, &["--dynamic-gpus", "--gpus", &card.uuid, "--queue", "default=0.25@mps"]);
    let budget = (card.memory_mib << 20) / 4;
    let enqueue = |name: &str, bytes| Draft::script(name, &mps_program(&place.path(name), &gate, bytes)).enqueue(&api);
    let modest = enqueue("modest", TAKEN_BYTES);
    let its = seen_by_torch(&place.path("modest"));
    eprintln!("modest: {its:#}");
    assert_eq!(its["refused"], Value::Null, "{its:#}");
    let controls = || drivers::mps::records(&place.path("state/mps"));
    let control = controls()[0].process;
    assert!(is_alive(control.pid));

    // The neighbour wants all of the card, and gets its quarter.
    let greedy = enqueue("greedy", card.memory_mib << 20);
    let its = seen_by_torch(&place.path("greedy"));
    eprintln!("greedy: {its:#}");
    assert!(its["refused"].as_str().is_some_and(|why| why.contains("out of memory")), "{its:#}");
    let taken = its["bytes"].as_u64().unwrap();
    assert!(taken <= budget && taken > budget / 2, "{taken} bytes of {budget}");
    assert_eq!(api.status(&modest), "in_progress", "its neighbour goes on");
    let document = gpus_document(&place, &[]);
    let held_by = &document["cards"][0]["held_by"];
    assert!(held_by.as_array().unwrap().iter().all(|holder| holder["isolation"] == "mps"), "{held_by:#}");
    gate.open();
    for task in [&modest, &greedy] {
        api.ended_as(task, "completed");
    }
    eventually("the control daemon leaves", || !is_alive(control.pid) && controls().is_empty());
    assert_eq!(daemon.status(&place).tasks.len(), 0);
    audit(&place);
}

#[test]
fn tasks_of_a_real_control_daemon_that_dies_run_again() {
    let (Some(cards), Some(()), Some(_)) = (real_cards(), mps_control(), torch_python()) else { return };
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let _daemon = daemon(&place, &server, &["--dynamic-gpus", "--gpus", &cards[0].uuid, "--queue", "default=0.25@mps"]);
    let file = place.path("seen");
    let task = Draft::script("victim", &mps_program(&file, &gate, TAKEN_BYTES)).enqueue(&api);
    let first = seen_by_torch(&file);
    std::fs::remove_file(&file).unwrap();
    let control = drivers::mps::records(&place.path("state/mps"))[0].process;
    kill(control.pid);
    let second = seen_by_torch(&file);
    assert_ne!(first["pid"], second["pid"]);
    let control = drivers::mps::records(&place.path("state/mps"))[0].process;
    assert!(is_alive(control.pid), "another one serves");
    let log = api.console(&task);
    assert!(log.contains("its MPS control daemon is gone: the task goes back to queue"), "{log}");
    gate.open();
    api.ended_as(&task, "completed");
    eventually("the control daemon leaves", || !is_alive(control.pid));
    audit(&place);
}
