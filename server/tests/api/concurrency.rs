//! Many clients at one thing, each on a connection of its own that it keeps.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Api, http_client, start};

/// A client with connections of its own.
fn another(api: &Api) -> Api {
    Api { client: http_client(), ..api.clone() }
}

/// One pop, as its client saw it.
#[derive(Clone, Debug)]
struct Pop {
    sent: Instant,
    answered: Instant,
    task: String,
}

/// Makes drafts, as fast as 16 clients can.
async fn drafts(api: &Api, count: usize) -> Vec<String> {
    const CLIENTS: usize = 16;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let api = another(api);
        clients.spawn(async move {
            let mut made = Vec::new();
            for number in (client..count).step_by(CLIENTS) {
                made.push(api.task(&format!("task {number}")).await);
            }
            made
        });
    }
    clients.join_all().await.concat()
}

async fn pop_until_empty(api: Api, queue: String) -> Vec<Pop> {
    let mut pops = Vec::new();
    loop {
        let sent = Instant::now();
        let data = api.ok("queues.get_next_task", json!({"queue": queue})).await;
        let Some(task) = data["entry"]["task"].as_str() else { return pops };
        pops.push(Pop { sent, answered: Instant::now(), task: task.to_owned() });
    }
}

/// Whether one queue that answers one client after the other could have answered so: a pop that was sent after
/// another one was answered has a later place.
#[track_caller]
fn check_order(mut pops: Vec<Pop>, places: &HashMap<&str, usize>) {
    let mut answered: Vec<(Instant, usize)> = pops.iter().map(|pop| (pop.answered, places[&*pop.task])).collect();
    answered.sort();
    pops.sort_by_key(|pop| pop.sent);
    let mut answered = answered.into_iter().peekable();
    let mut last_before = None;
    for pop in pops {
        while let Some((_, place)) = answered.next_if(|(at, _)| *at < pop.sent) {
            last_before = last_before.max(Some(place));
        }
        let place = places[&*pop.task];
        assert!(last_before < Some(place), "place {place} was popped after place {last_before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_pop_a_queue_in_its_order_without_loss_or_repetition() {
    const TASKS: usize = 5_000;
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("contended").await;
    let tasks = drafts(api, TASKS).await;
    for some in tasks.chunks(1000) {
        let answer = api.ok("tasks.enqueue_many", json!({"ids": some, "queue": queue})).await;
        assert_eq!(answer["succeeded"].as_array().unwrap().len(), some.len());
    }
    let entries = api.ok("queues.get_by_id", json!({"queue": queue})).await["queue"]["entries"].clone();
    let entries: Vec<&str> = entries.as_array().unwrap().iter().map(|entry| entry["task"].as_str().unwrap()).collect();
    assert_eq!(entries, tasks, "the queue's order is the order in which they came");
    let places: HashMap<&str, usize> = tasks.iter().enumerate().map(|(place, task)| (&**task, place)).collect();

    let mut clients = JoinSet::new();
    for _ in 0..16 {
        clients.spawn(pop_until_empty(another(api), queue.clone()));
    }
    let popped = clients.join_all().await;
    assert!(popped.iter().filter(|pops| !pops.is_empty()).count() > 1, "one client had it all to itself");
    let pops = popped.concat();
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    pops.iter().for_each(|pop| *times.entry(places[&*pop.task]).or_default() += 1);
    assert!(times.values().all(|times| *times == 1), "a task was popped twice");
    assert_eq!(times.len(), TASKS, "a task was lost");
    check_order(pops, &places);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_enqueues_are_popped_once_each_while_they_come() {
    const TASKS: usize = 400;
    let fixture = start().await;
    let api = &fixture.api;
    let queue = api.queue("busy").await;
    let tasks = drafts(api, TASKS).await;
    let mut clients = JoinSet::new();
    for some in tasks.chunks(TASKS / 4) {
        let (api, queue, some) = (another(api), queue.clone(), some.to_vec());
        clients.spawn(async move {
            for task in some {
                api.ok("tasks.enqueue", json!({"task": task, "queue": queue})).await;
            }
            Vec::new()
        });
    }
    for _ in 0..4 {
        let (api, queue) = (another(api), queue.clone());
        clients.spawn(async move {
            let mut popped = Vec::new();
            while popped.len() < TASKS / 4 {
                // Returns when there is an entry, which another client may take first.
                api.ok("hostler.wait_for_queues", json!({"queues": [queue], "timeout_seconds": 30})).await;
                let data = api.ok("queues.get_next_task", json!({"queue": queue})).await;
                popped.extend(data["entry"]["task"].as_str().map(str::to_owned));
            }
            popped
        });
    }
    let mut popped = clients.join_all().await.concat();
    let mut tasks = tasks;
    popped.sort();
    tasks.sort();
    assert_eq!(popped, tasks);
    let now = crate::harness::now();
    let asked = json!({"queue_ids": [queue], "from_date": now - 600.0, "to_date": now + 600.0, "interval": 1});
    let metrics = api.ok("queues.get_queue_metrics", asked).await;
    assert_eq!(metrics["queues"][0]["queue_lengths"].as_array().unwrap().last().unwrap(), 0, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_clients_edit_the_parameters_of_one_task_and_no_acknowledged_edit_is_lost() {
    const EDITS: usize = 40;
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("contended").await;
    let mut clients = JoinSet::new();
    for client in 0..10 {
        let (api, task) = (another(api), task.clone());
        clients.spawn(async move {
            let edit = |items: Value| json!({"task": task, "hyperparams": items});
            let item = |name: &str, value: usize| json!({"section": "Args", "name": name, "value": value});
            for number in 0..EDITS {
                // A new parameter, a counter of this client's own, and one that all set.
                let items = json!([
                    item(&format!("{client}-{number}"), number),
                    item(&format!("{client}-last"), number),
                    item("shared", client * 1000 + number),
                ]);
                api.ok("tasks.edit_hyper_params", edit(items)).await;
                if number % 10 == 5 {
                    let gone = json!([{"section": "Args", "name": format!("{client}-{}", number - 1)}]);
                    api.ok("tasks.delete_hyper_params", edit(gone)).await;
                }
            }
        });
    }
    clients.join_all().await;
    let mut shown = api.get(&task).await["hyperparams"]["Args"].clone();
    let parameters = shown.as_object_mut().unwrap();
    let shared: usize = parameters.remove("shared").unwrap()["value"].as_str().unwrap().parse().unwrap();
    assert_eq!(shared % 1000, EDITS - 1, "the last edit of all was some client's last");
    let value = |item: &Value| item["value"].as_str().unwrap().to_owned();
    let found: BTreeMap<String, String> = parameters.iter().map(|(name, item)| (name.clone(), value(item))).collect();
    let mut expected = BTreeMap::new();
    for client in 0..10 {
        expected.insert(format!("{client}-last"), (EDITS - 1).to_string());
        let kept = (0..EDITS).filter(|number| number % 10 != 4);
        expected.extend(kept.map(|number| (format!("{client}-{number}"), number.to_string())));
    }
    assert_eq!(found, expected);
}
