//! Long-polls: what those who wait cost, and how soon they are woken.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::fill::{Filled, id_of};
use crate::http::Client;
use crate::measure::percentiles;
use crate::process::Process;
use crate::{Outcome, Plan, say};

/// Wake-ups of one waiter that are measured beside the others.
const WAKE_UPS: usize = 200;

/// Opens many connections that wait, and wakes them: one at a time, and all at once.
pub(crate) async fn run(server: &Process, plan: &Plan, filled: &Filled) -> Outcome<Value> {
    if plan.waiting == 0 || !"waiting".contains(&plan.only) {
        return Ok(Value::Null);
    }
    let mut client = server.client().await?;
    let crowded = id_of(&mut client, "queues.create", &json!({"name": "crowded"})).await?;
    let own = id_of(&mut client, "queues.create", &json!({"name": "own"})).await?;

    let before = server.resident()?;
    let crowd = Crowd::gather(server, &crowded, plan.waiting).await?;
    let per_waiter = (server.resident()? - before) * 1024.0 / plan.waiting as f64;
    let mut single = wake_one_by_one(server, &mut client, &own, filled).await?;
    single.sort_unstable();
    let mut all = crowd.wake(&mut client, &crowded, &filled.tasks[0]).await?;
    all.sort_unstable();

    let [p50, _, p99, max] = percentiles(&single);
    let [all_p50, _, _, all_max] = percentiles(&all);
    say(&format!(
        "{} connections wait: {per_waiter:.1} KB each; another waiter is woken in p50 {p50:.3} ms, p99 {p99:.3}, max \
         {max:.3} (enqueue sent to wake-up received); all of one queue in p50 {all_p50:.1} ms, last {all_max:.1}",
        plan.waiting
    ));
    Ok(json!({
        "connections": plan.waiting, "kb_each": per_waiter,
        "one_ms": {"p50": p50, "p99": p99, "max": max}, "all_ms": {"p50": all_p50, "last": all_max},
    }))
}

fn wait_body(queue: &str) -> String {
    json!({"queues": [queue], "timeout_seconds": 55}).to_string()
}

/// Many who wait for one queue.
struct Crowd {
    waiting: Vec<tokio::task::JoinHandle<Outcome<Instant>>>,
}

impl Crowd {
    async fn gather(server: &Process, queue: &str, count: usize) -> Outcome<Self> {
        let body = wait_body(queue);
        let mut waiting = Vec::new();
        for mut client in server.clients(count).await? {
            let body = body.clone();
            waiting.push(tokio::spawn(async move {
                client.json("hostler.wait_for_queues", &body).await?;
                Ok(Instant::now())
            }));
        }
        // All have sent their request when each has had its turn; the server has them when it has nothing to do.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Self { waiting })
    }

    async fn wake(self, client: &mut Client, queue: &str, task: &str) -> Outcome<Vec<Duration>> {
        let body = json!({"task": task, "queue": queue}).to_string();
        let began = Instant::now();
        client.json("tasks.enqueue", &body).await?;
        let ended = try_join_all(self.waiting).await?;
        ended.into_iter().map(|ended| Ok(ended?.duration_since(began))).collect()
    }
}

async fn wake_one_by_one(
    server: &Process,
    client: &mut Client,
    queue: &str,
    filled: &Filled,
) -> Outcome<Vec<Duration>> {
    let body = wait_body(queue);
    let mut waiter = server.client().await?;
    let mut latencies = Vec::new();
    for task in filled.tasks.iter().skip(1000).take(WAKE_UPS) {
        let enqueue = json!({"task": task, "queue": queue}).to_string();
        let waiting = async {
            waiter.json("hostler.wait_for_queues", &body).await?;
            Ok::<_, std::io::Error>(Instant::now())
        };
        let waking = async {
            // Long enough for the waiter to be at the server.
            tokio::time::sleep(Duration::from_millis(3)).await;
            let began = Instant::now();
            client.json("tasks.enqueue", &enqueue).await?;
            Ok(began)
        };
        let (woken, began) = futures::future::try_join(waiting, waking).await?;
        latencies.push(woken.duration_since(began));
        client.json("queues.get_next_task", &json!({"queue": queue}).to_string()).await?;
    }
    Ok(latencies)
}
