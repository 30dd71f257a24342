//! Five hundred tasks on eight cards, and a crash in the middle.

use std::collections::BTreeMap;

use protocols::journal::JournalRecord;
use serde_json::{Value, json};

use super::{Note, Policy, begun, create, held, never_oversold, notes};
use crate::harness::{Daemon, Gate, Place, Server, audit, eventually, journal_of};

/// Queues in order of priority, what their tasks get, and how many there are.
const QUEUES: [(&str, &str, usize); 5] =
    [("held", "1", 2), ("dual", "2", 100), ("single", "1", 200), ("elastic", "1-4", 80), ("half", "0.5", 118)];

fn policy(name: &str) -> Policy {
    match name.split('-').next() {
        Some("dual") => (1000, 2..=2),
        Some("held" | "single") => (1000, 1..=1),
        Some("elastic") => (1000, 1..=4),
        Some("half") => (500, 1..=1),
        other => panic!("no queue is called {other:?}"),
    }
}

#[test]
fn five_hundred_tasks_share_eight_cards_through_a_crash() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut gate = Gate::shut(&place.path("gate"));
    let mut tasks: BTreeMap<String, String> = BTreeMap::new();
    for (queue, _, count) in QUEUES {
        let id = api.call("queues.create", json!({ "name": queue }))["id"].as_str().unwrap().to_owned();
        for number in 0..count {
            let name = format!("{queue}-{number}");
            let gate = (queue == "held").then_some(&gate);
            let task = create(&place, &api, &name, gate, Value::Null);
            api.call("tasks.enqueue", json!({ "task": task, "queue": id }));
            tasks.insert(name, task);
        }
    }
    assert_eq!(tasks.len(), 500);
    let demands: Vec<String> = QUEUES.iter().map(|(queue, demand, _)| format!("{queue}={demand}")).collect();
    let mut arguments = vec!["--simulate", "8xH100", "--dynamic-gpus", "--gpus", "0-7", "--queue"];
    arguments.extend(demands.iter().map(String::as_str));
    let mut daemon = Daemon::start(&place, &server, &arguments);

    // Two tasks hold a card each all the time: what they hold is what the crash must not lose.
    let ended = || notes(&place).iter().filter(|note| !note.begins).count();
    eventually("a part of the tasks has ended", || ended() >= 120);
    let held_by = |daemon: &Daemon| ["held-0", "held-1"].map(|name| held(daemon, &place, &tasks[name]).unwrap());
    let before = held_by(&daemon);
    daemon.kill();
    let daemon = Daemon::start(&place, &server, &arguments);
    assert_eq!(held_by(&daemon), before, "a daemon that was killed knows every lease");
    eventually("the others have ended", || ended() == 498);
    gate.open();
    for task in tasks.values() {
        api.ended_as(task, "completed");
    }
    // On a machine that is free, an elastic task gets the most that it may have.
    let last = create(&place, &api, "elastic-last", None, Value::Null);
    api.enqueue(&last, "elastic");
    api.ended_as(&last, "completed");
    assert_eq!(begun(&place).pop(), Some(("elastic-last".to_owned(), 4)));

    let notes = notes(&place);
    assert_eq!(notes.len(), 2 * 501, "each ran once");
    let left = never_oversold(&notes, policy);
    assert_eq!(left.len(), 8, "every card was used: {left:?}");
    assert!(left.values().all(|left| *left == 0), "{left:?}");
    tasks.insert("elastic-last".to_owned(), last);
    check_pulls(&place, &tasks, &notes);
    audit(&place);
}

/// Each task saw the cards that were leased to it, as far back as the journal goes; and tasks were pulled in the order
/// of priority, which the log has of all of them.
fn check_pulls(place: &Place, tasks: &BTreeMap<String, String>, notes: &[Note]) {
    let names: BTreeMap<&str, &str> = tasks.iter().map(|(name, id)| (id.as_str(), name.as_str())).collect();
    let seen: BTreeMap<&str, &Vec<String>> = notes.iter().map(|note| (note.name.as_str(), &note.cards)).collect();
    for entry in journal_of(&place.path("state")) {
        let JournalRecord::Pulled { gpus, .. } = &entry.record else { continue };
        let name = names[entry.task.as_str()];
        let leased: Vec<String> = gpus.iter().map(|card| card.id.to_string()).collect();
        assert_eq!(&leased, seen[name], "{name} saw what was leased to it");
    }
    let pulled: Vec<&str> = place
        .lines("logs/daemon.log")
        .iter()
        .filter(|line| line.contains(" pulled "))
        .filter_map(|line| names.iter().find(|(id, _)| line.contains(*id)).map(|(_, name)| *name))
        .collect();
    // One that the first daemon took, and did not live to log.
    assert!((500..=501).contains(&pulled.len()), "{} are in the log", pulled.len());
    assert_eq!(pulled.last(), Some(&"elastic-last"));
    let rank = |name: &&str| QUEUES.iter().position(|(queue, _, _)| name.starts_with(queue));
    let ranks: Vec<_> = pulled[..pulled.len() - 1].iter().map(rank).collect();
    assert!(ranks.is_sorted(), "a queue was served before one that has priority: {pulled:?}");
}
