//! The server under attack, and what must hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use server::{RunningServer, Server, ServerConfig};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::chance::Rng;
use crate::request::{Generator, endpoints};
use crate::values::Known;

/// Calls at one time.
const CALLERS: u64 = 32;

/// Findings that are shown; more of them would say the same.
const SHOWN: usize = 10;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What panicked, in any thread of this process.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Requests(u64),
    Passed(Duration),
}

/// A running attack.
pub(crate) struct Attack {
    pub(crate) seed: u64,
    pub(crate) generator: Arc<Generator>,
    pub(crate) server: RunningServer,
    pub(crate) known: Arc<RwLock<Known>>,
    findings: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<BTreeMap<u16, u64>>>,
    data: TempDir,
}

impl Attack {
    /// Starts a server with something in it.
    pub(crate) async fn start(seed: u64) -> Self {
        // In its place as long as the attack goes on: what panics is a finding.
        std::panic::set_hook(Box::new(|panic| PANICS.lock().unwrap().push(panic.to_string())));
        let data = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(data.path());
        (config.api_port, config.web_port, config.files_port) = (0, 0, 0);
        let server = Server::start(config).await.unwrap();
        let (key, secret) = server.new_credentials.clone().unwrap();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")));
        let generator = Arc::new(Generator { endpoints: endpoints(), authorization });
        let attack = Self {
            seed,
            generator,
            server,
            known: Arc::default(),
            findings: Arc::default(),
            answers: Arc::default(),
            data,
        };
        for number in 0..8 {
            attack.make("tasks.create", json!({"name": format!("task {number}"), "type": "training"})).await;
            attack.make("queues.create", json!({"name": format!("queue {number}")})).await;
            attack.make("projects.create", json!({"name": format!("project {number}")})).await;
            attack.make("models.create", json!({"name": format!("model {number}"), "uri": "file:///m"})).await;
        }
        attack
    }

    /// A call that must go well.
    pub(crate) async fn make(&self, endpoint: &str, body: Value) -> Value {
        let request =
            Request::builder().uri(format!("/{endpoint}")).header("authorization", &*self.generator.authorization);
        let request = request.body(Body::from(body.to_string())).unwrap();
        let (status, bytes) = answer(self.server.in_process(), request).await;
        let envelope: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(status, 200, "{endpoint}: {}", envelope["meta"]);
        remember(&self.known, &format!("/{endpoint}"), &envelope);
        envelope["data"].clone()
    }

    /// Sends requests through the router.
    pub(crate) async fn in_process(&self, until: Until) {
        let began = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let (generator, router, next) = (Arc::clone(&self.generator), self.server.in_process(), Arc::clone(&next));
            let (known, findings, answers) =
                (Arc::clone(&self.known), Arc::clone(&self.findings), Arc::clone(&self.answers));
            let seed = self.seed;
            callers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if until.is_over(number, began) {
                        break;
                    }
                    let mut rng = Rng::new(seed.wrapping_add(number.wrapping_mul(0xd129_8ab7)));
                    let sent = generator.request(&mut rng, &known.read().unwrap());
                    let Some(request) = sent.request() else { continue };
                    let outcome = tokio::time::timeout(PATIENCE, answer(router.clone(), request)).await;
                    let found = match outcome {
                        Err(_) => Some("no answer".to_owned()),
                        Ok((status, bytes)) => {
                            *answers.lock().unwrap().entry(status.as_u16()).or_default() += 1;
                            let envelope = envelope_of(status, &bytes);
                            remember(&known, &sent.target, &envelope);
                            fault(status, &envelope)
                        }
                    };
                    if let Some(found) = found {
                        findings.lock().unwrap().push(format!("request {number}: {found}\n  {sent:?}"));
                    }
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    }

    /// Notes what an answer over a socket shows.
    pub(crate) fn note(&self, status: u16, fault: Option<String>) {
        *self.answers.lock().unwrap().entry(status).or_default() += 1;
        self.findings.lock().unwrap().extend(fault);
    }

    /// Bodies of many small values, sent at one time; none of them is kept by the sender.
    pub(crate) async fn large_bodies(&self, count: usize, size: usize) {
        let kinds: [(&str, &str, &'static str); 4] = [
            ("tasks.get_all", "application/json", "[[],[],[],[],[],[],[],[],[],[],[],[]],"),
            ("tasks.get_all", "application/json", "{\"a\":1},{\"a\":1},{\"a\":1},{\"a\":1},"),
            ("events.add_batch", "application/json-lines", "{\"type\":\"log\",\"task\":\"x\",\"msg\":\"y\"}\n"),
            ("debug.ping", "application/x-www-form-urlencoded", "a=1&b=2&c=3&d=4&"),
        ];
        let mut callers = tokio::task::JoinSet::new();
        for position in 0..count {
            let (endpoint, content_type, repeated) = kinds[position % kinds.len()];
            let chunk = Bytes::from(repeated.repeat((64 << 10) / repeated.len()));
            let chunks = size / chunk.len();
            let is_json = content_type == "application/json";
            let (head, tail) = if is_json { ("{\"tags\":[", "0]}") } else { ("", "") };
            let parts = stream::iter(0..chunks + 2).map(move |part| {
                let part = if part == 0 {
                    Bytes::from(head)
                } else if part > chunks {
                    Bytes::from(tail)
                } else {
                    chunk.clone()
                };
                Ok::<_, std::io::Error>(part)
            });
            let request = Request::builder()
                .uri(format!("/{endpoint}"))
                .header("authorization", &*self.generator.authorization)
                .header("content-type", content_type)
                .body(Body::from_stream(parts))
                .unwrap();
            let router = self.server.in_process();
            callers.spawn(async move { tokio::time::timeout(PATIENCE, answer(router, request)).await });
        }
        while let Some(ended) = callers.join_next().await {
            let (status, bytes) = ended.unwrap().expect("every body is answered in the end");
            assert!((400..500).contains(&status.as_u16()), "{status}: {}", String::from_utf8_lossy(&bytes));
        }
    }

    /// Slow filters, each with the processor time that it took.
    pub(crate) async fn slow_filters(&self) {
        let project = self.make("projects.create", json!({"name": "slow project"})).await["id"].clone();
        for number in 0..300 {
            let comment = "ab".repeat(20_000 + number);
            let tags: Vec<String> = (0..100).map(|tag| format!("tag {tag}")).collect();
            let task = json!({"name": format!("slow {number}"), "type": "training", "comment": comment, "tags": tags, "project": project});
            self.make("tasks.create", task).await;
        }
        let all_of = |count: usize| {
            let wanted = (0..count).map(|tag| json!(format!("tag {}", tag % 100)));
            Value::Array([json!("__$all")].into_iter().chain(wanted).collect())
        };
        let patterns =
            ["(a|b|ab)*d", "(x+x+)+y", "[ab]*a[ab]{400}c", "(.*a){12}d", r"(?i)(\w|\d|.)*\W\W", "^(?!.*(ba)*c).*d"];
        let searches = patterns.iter().map(|pattern| json!({"_any_": {"fields": ["comment"], "pattern": pattern}}));
        let filters = [
            json!({"tags": all_of(2000)}),
            json!({"filters": {"tags": {"all": {"include": all_of(2000)}, "any": {"exclude": all_of(2000)}}}}),
            json!({"search_text": "x ".repeat(400)}),
            json!({"order_by": ["hyperparams.a.b", "hyperparams.c.d", "comment"]}),
        ];
        for body in searches.chain(filters) {
            let shown: String = body.to_string().chars().take(80).collect();
            let request =
                Request::builder().uri("/tasks.get_all").header("authorization", &*self.generator.authorization);
            let request = request.body(Body::from(body.to_string())).unwrap();
            let before = processor_time();
            let (status, bytes) = answer(self.server.in_process(), request).await;
            let used = processor_time() - before;
            assert!(matches!(status.as_u16(), 200 | 400), "{shown}: {status} {:.300}", String::from_utf8_lossy(&bytes));
            // Writing the answer of those that are quick enough is not theirs alone: a fifth on top of the second.
            assert!(used < Duration::from_millis(1200), "{shown} took {used:?} and was answered with {status}");
        }
    }

    /// Checks what must hold after all that: nothing found, and a server as good as new.
    pub(crate) async fn finish(self, memory: usize) {
        // What fails from here on is said as usual.
        drop(std::panic::take_hook());
        let peak = peak_memory();
        say(&format!("seed {}: answers {:?}, at most {} MiB", self.seed, self.answers.lock().unwrap(), peak >> 20));
        let findings = std::mem::take(&mut *self.findings.lock().unwrap());
        let panics = std::mem::take(&mut *PANICS.lock().unwrap());
        let shown = panics.iter().chain(&findings).take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
        let count = panics.len() + findings.len();
        assert!(count == 0, "{count} findings with the seed {}:\n{shown}", self.seed);
        assert!(peak < memory, "the process took {} MiB", peak >> 20);

        let task = self.make("tasks.create", json!({"name": "afterwards", "type": "training"})).await;
        let found = self.make("tasks.get_by_id", json!({"task": task["id"]})).await;
        assert_eq!(found["task"]["name"], "afterwards");
        self.server.stop().await;
        let database = rusqlite::Connection::open(self.data.path().join("server.db")).unwrap();
        let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}

impl Until {
    pub(crate) fn is_over(self, number: u64, began: Instant) -> bool {
        match self {
            Self::Requests(count) => number >= count,
            Self::Passed(time) => began.elapsed() >= time,
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a run has seen, for whoever reads its output")]
fn say(text: &str) {
    eprintln!("{text}");
}

async fn answer(router: Router, request: Request<Body>) -> (StatusCode, Bytes) {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    // A stream that breaks is an answer too.
    (status, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default())
}

/// The envelope of an answer. Of data that went well only what [`remember`] looks at is kept: lists are long, and this
/// is a test of the server, not of its client.
fn envelope_of(status: StatusCode, bytes: &[u8]) -> Value {
    #[derive(Deserialize)]
    struct Well {
        meta: Value,
        data: Made,
    }
    #[derive(Deserialize)]
    struct Made {
        id: Option<Value>,
        pipeline: Option<Value>,
    }
    if status.is_success()
        && let Ok(Well { meta, data: Made { id, pipeline } }) = serde_json::from_slice(bytes)
    {
        return json!({"meta": meta, "data": {"id": id, "pipeline": pipeline}});
    }
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// What is wrong with an answer, if anything.
fn fault(status: StatusCode, envelope: &Value) -> Option<String> {
    let code = &envelope["meta"]["result_code"];
    let full_disk = status == 500 && envelope["meta"]["result_subcode"] == 4;
    if status.is_server_error() && !full_disk {
        return Some(format!("{status}: {}", envelope["meta"]["result_msg"]));
    }
    if !code.is_null() && *code != status.as_u16() {
        return Some(format!("the status is {status}, the code {code}"));
    }
    let has_data = envelope["data"].as_object().is_some_and(|data| !data.is_empty());
    (status.is_client_error() && has_data).then(|| "an error with data".to_owned())
}

/// Notes the id of what was made.
fn remember(known: &RwLock<Known>, target: &str, envelope: &Value) {
    const KEPT: usize = 40;
    let data = &envelope["data"];
    let Some(id) = data["id"].as_str().or_else(|| data["pipeline"].as_str()) else { return };
    let mut known = known.write().unwrap();
    let ids = if target.contains("queues.") {
        &mut known.queues
    } else if target.contains("projects.") {
        &mut known.projects
    } else if target.contains("models.") {
        &mut known.models
    } else if target.contains("tasks.") || target.contains("reports.") || target.contains("pipelines.") {
        &mut known.tasks
    } else {
        return;
    };
    if ids.len() >= KEPT {
        ids.remove(0);
    }
    ids.push(id.to_owned());
}

/// Bytes of memory that this process has had at most.
pub(crate) fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Processor time that all threads of this process have used, those that have ended included.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.cast_unsigned(), u32::try_from(used.tv_nsec).unwrap())
}
