//! Who gets which GPUs, and why not: on simulated machines, through the real code that reads the driver.

mod explaining;
mod five_hundred;
mod mig;
mod patience;
mod wishes;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::harness::{Api, Daemon, Gate, Place};

/// Where the tasks note what they see.
const NOTES: &str = "observed";

/// Makes a task whose program, a shell script, notes when it begins and ends and the cards that it sees.
fn create(place: &Place, api: &Api, name: &str, gate: Option<&Gate>, more: Value) -> String {
    let wait = gate.map(|gate| format!("flock --shared {} true\n", gate.path().display())).unwrap_or_default();
    let notes = place.path(NOTES);
    let notes = notes.display();
    let program = format!(
        "[ \"$CUDA_VISIBLE_DEVICES\" = \"$NVIDIA_VISIBLE_DEVICES\" ] || exit 3\n\
         echo \"begin {name} $CUDA_VISIBLE_DEVICES\" >> {notes}\n\
         {wait}\
         echo \"end {name} $CUDA_VISIBLE_DEVICES\" >> {notes}\n"
    );
    let script = json!({ "binary": "/bin/sh", "entry_point": "program.sh", "working_dir": ".", "diff": program });
    let mut body = json!({ "name": name, "type": "training", "script": script });
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    api.call("tasks.create", body)["id"].as_str().unwrap().to_owned()
}

/// What a task says in its user property.
fn property(demand: &str) -> Value {
    let property = json!({ "section": "properties", "name": "hostler_gpus", "value": demand });
    json!({ "hyperparams": { "properties": { "hostler_gpus": property } } })
}

/// What a task says in the arguments of its container.
fn arguments(arguments: &str) -> Value {
    json!({ "container": { "arguments": arguments } })
}

/// A note of a task.
#[derive(Clone, Debug)]
struct Note {
    begins: bool,
    name: String,
    cards: Vec<String>,
}

/// What the tasks noted so far, in order.
fn notes(place: &Place) -> Vec<Note> {
    let read = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, name, cards] = words.as_slice() else { panic!("{line:?}") };
        Note {
            begins: *what == "begin",
            name: (*name).to_owned(),
            cards: cards.split(',').map(str::to_owned).collect(),
        }
    };
    place.lines(NOTES).into_iter().map(read).collect()
}

/// The tasks that have begun, with how many cards each has.
fn begun(place: &Place) -> Vec<(String, usize)> {
    notes(place).into_iter().filter(|note| note.begins).map(|note| (note.name, note.cards.len())).collect()
}

/// How much of a card tasks of a queue may use, in thousandths, and how many cards they may have.
type Policy = (u32, RangeInclusive<usize>);

/// Replays what was noted: no card is ever used beyond its whole, nobody has more or less than the policy of its name
/// says. Gives what is left in use of every card that ever was.
fn never_oversold(notes: &[Note], policy: impl Fn(&str) -> Policy) -> BTreeMap<String, u32> {
    let mut used: BTreeMap<String, u32> = BTreeMap::new();
    for Note { begins, name, cards } in notes {
        let (share, count) = policy(name);
        assert!(count.contains(&cards.len()), "{name} has {cards:?}");
        for card in cards {
            let used = used.entry(card.clone()).or_default();
            *used = if *begins { *used + share } else { *used - share };
            assert!(*used <= 1000, "{name} shares {card} beyond its whole");
        }
    }
    used
}

/// What `hostler status --explain` says: exit code, output, errors.
fn explain(place: &Place, of: &str, more: &[&str]) -> (i32, String, String) {
    use crate::harness::ProcessExt as _;
    let mut command = place.hostler();
    command.args(["status", "--explain", of, "--state-dir"]).arg(place.path("state")).args(more);
    let done = command.finish_within(std::time::Duration::from_secs(30));
    (done.code(), done.stdout, done.stderr)
}

/// The cards that a task holds, by the daemon's own account.
fn held(daemon: &Daemon, place: &Place, task: &str) -> Option<Vec<String>> {
    let status = daemon.status(place);
    let task = status.tasks.into_iter().find(|known| known.task.as_str() == task)?;
    Some(task.gpus.iter().map(|card| card.id.to_string()).collect())
}
