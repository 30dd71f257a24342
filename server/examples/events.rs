//! A task with very many events, and what reading and writing it costs:
//! `cargo run --release -p hostler-server --example events -- [POINTS] [LINES]`, by default 1 and 10 million.
//!
//! Everything goes over HTTP, as a client does it; beside it, what SQLite takes to scan the same rows. The data is in a
//! temporary directory (`TMPDIR`) and is gone afterwards.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use server::{RunningServer, Server, ServerConfig};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Events in a batch, as many as a busy client sends at once.
const BATCH: i64 = 5_000;

struct Client {
    http: reqwest::Client,
    api_url: String,
    token: String,
}

impl Client {
    async fn login(running: &RunningServer) -> Outcome<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tcp_nodelay(true).build()?;
        let (key, secret) = running.new_credentials.clone().ok_or("the first start makes credentials")?;
        let login = http.get(format!("{}/auth.login", running.api_url)).basic_auth(key, Some(secret));
        let reply: Value = login.send().await?.json().await?;
        let token = reply["data"]["token"].as_str().ok_or("no token")?.to_owned();
        Ok(Self { http, api_url: running.api_url.clone(), token })
    }

    async fn send(&self, endpoint: &str, kind: &'static str, body: String) -> Outcome<String> {
        let request = self.http.post(format!("{}/v2.23/{endpoint}", self.api_url)).bearer_auth(&self.token);
        let response = request.header("content-type", kind).body(body).send().await?.error_for_status()?;
        Ok(response.text().await?)
    }

    async fn call(&self, endpoint: &str, body: &Value) -> Outcome<String> {
        self.send(endpoint, "application/json", body.to_string()).await
    }

    async fn task(&self, name: &str) -> Outcome<String> {
        let reply = self.call("tasks.create", &json!({"name": name, "type": "training"})).await?;
        let reply: Value = serde_json::from_str(&reply)?;
        Ok(reply["data"]["id"].as_str().ok_or("no task")?.to_owned())
    }

    /// Appends events in batches; shows what a batch takes at first and at last.
    async fn fill(&self, what: &str, count: i64, event: impl Fn(i64) -> String) -> Outcome<()> {
        let mut took = Vec::new();
        let began = Instant::now();
        for start in (0..count).step_by(BATCH as usize) {
            let body: String = (start..(start + BATCH).min(count)).map(&event).collect();
            let began = Instant::now();
            self.send("events.add_batch", "application/json-lines", body).await?;
            took.push(began.elapsed());
        }
        let fifth = (took.len() / 5).max(1);
        let last = took.split_off(took.len() - fifth);
        took.truncate(fifth);
        println!(
            "{count} {what} in {:.1?}; a batch of {BATCH}: {} in the first fifth, {} in the last",
            began.elapsed(),
            show(took),
            show(last)
        );
        Ok(())
    }

    async fn read(&self, what: &str, rounds: u32, endpoint: &str, body: &Value) -> Outcome<()> {
        let mut bytes = 0;
        let took = times(rounds, async || {
            bytes = self.call(endpoint, body).await?.len();
            Ok(())
        })
        .await?;
        println!("{what}: {} ({} KB)", show(took), bytes / 1000);
        Ok(())
    }
}

async fn times(rounds: u32, mut work: impl AsyncFnMut() -> Outcome<()>) -> Outcome<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        work().await?;
        took.push(began.elapsed());
    }
    Ok(took)
}

fn show(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |percent: usize| took.get(((took.len() - 1) * percent).div_ceil(100)).copied().unwrap_or_default();
    format!("p50 {:.2?}, p95 {:.2?}, max {:.2?}", at(50), at(95), at(100))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<i64>());
    let points = arguments.next().transpose()?.unwrap_or(1_000_000);
    let lines = arguments.next().transpose()?.unwrap_or(10_000_000);
    let directory = tempfile::tempdir()?;
    let config = ServerConfig { api_port: 0, web_port: 0, files_port: 0, ..ServerConfig::new(directory.path()) };
    let running = Server::start(config).await?;
    let client = Client::login(&running).await?;
    let task = client.task("very many events").await?;

    let point = |iter: i64| {
        let event = json!({
            "type": "training_stats_scalar", "task": task, "metric": "loss", "variant": "train", "iter": iter,
            "value": 1.0 / (iter + 1) as f64, "timestamp": 1_700_000_000_000 + iter * 37,
        });
        format!("{event}\n")
    };
    client.fill("points", points, point).await?;
    let histogram = |samples: i64, key: &str| json!({"task": task, "samples": samples, "key": key});
    for (samples, key) in [(2000, "iter"), (100, "iter"), (6000, "iter"), (2000, "timestamp"), (2000, "iso_time")] {
        let what = format!("histogram of {points} points, {samples} samples by {key}");
        client.read(&what, 40, "events.scalar_metrics_iter_histogram", &histogram(samples, key)).await?;
    }
    let raw = Connection::open_with_flags(directory.path().join("server.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let took = times(10, async || {
        let mut select = raw.prepare_cached("SELECT iter, value FROM scalar_points WHERE series = 1 ORDER BY iter")?;
        let mut rows = select.query([])?;
        let mut sum = 0.0;
        while let Some(row) = rows.next()? {
            sum += row.get::<_, i64>(0)? as f64 + row.get::<_, f64>(1)?;
        }
        std::hint::black_box(sum);
        Ok(())
    })
    .await?;
    println!("raw SQLite, the same {points} rows one by one: {}", show(took));

    let start = 1_700_000_000_000_i64;
    let line = |n: i64| {
        let event = json!({
            "type": "log", "task": task, "level": "INFO", "worker": "host:gpu0", "timestamp": start + n,
            "msg": format!("epoch {} step {n} loss {:.6} and some more text of a usual line", n / 1000, 1.0 / (n + 1) as f64),
        });
        format!("{event}\n")
    };
    client.fill("console lines", lines, line).await?;
    for (what, body) in [
        ("latest 100 lines", json!({"task": task, "batch_size": 100})),
        ("latest 5000 lines", json!({"task": task, "batch_size": 5000})),
        ("100 lines before the middle", json!({"task": task, "batch_size": 100, "from_timestamp": start + lines / 2})),
        ("first 100 lines", json!({"task": task, "batch_size": 100, "navigate_earlier": false})),
    ] {
        client.read(what, 40, "events.get_task_log", &body).await?;
    }
    client.read("the whole log as a file", 1, "events.download_task_log", &json!({"task": task})).await?;

    let began = Instant::now();
    client.call("events.delete_for_task", &json!({"task": task})).await?;
    println!("delete of all of it: {:.2?}", began.elapsed());
    let other = client.task("another").await?;
    let event = json!({"type": "log", "task": other, "msg": "x"}).to_string();
    let took =
        times(500, async || client.send("events.add_batch", "application/json-lines", event.clone()).await.map(drop))
            .await?;
    println!("one line of another task, while the rows are removed: {}", show(took));
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    running.stop().await;
    Ok(())
}
