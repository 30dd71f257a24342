//! What workers tell.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::queues;
use crate::store::tasks::{Task, TaskUpdate, unknown_task};
use crate::store::time_series::{self, Figures, Report};
use crate::store::workers::{self, Worker};
use crate::time::{self, Micros};

/// Seconds after which a silent worker is gone, unless it says otherwise.
const DEFAULT_TIMEOUT: i64 = 600;

/// The longest silence that a worker may ask for, in seconds: a year.
const LONGEST_TIMEOUT: i64 = 31_536_000;

/// Milliseconds that a report may be late: a month.
const OLDEST_REPORT: i64 = 30 * 24 * 3_600_000;

/// Milliseconds that a worker's clock may be ahead of ours.
const LARGEST_ADVANCE: i64 = 600_000;

fn key_of(call: &Call, worker: &str) -> String {
    let identity = call.identity();
    format!("worker_{}_{}_{worker}", identity.company, identity.user_id)
}

#[derive(Deserialize)]
struct Register {
    worker: String,
    timeout: Option<i64>,
    #[serde(default)]
    queues: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    system_tags: Vec<String>,
    #[serde(default)]
    resources: Map<String, Value>,
}

/// Makes a worker known; one of the same name starts anew.
pub(super) async fn register(state: &State, call: &Call) -> Reply {
    let Register { worker, timeout, queues: served, tags, system_tags, resources } = call.arguments()?;
    let timeout = timeout.filter(|seconds| *seconds != 0).unwrap_or(DEFAULT_TIMEOUT);
    if !(1..=LONGEST_TIMEOUT).contains(&timeout) {
        return Err(ApiError::worker_registration_failed("invalid timeout", &[("timeout", &timeout)]));
    }
    let worker = Worker {
        queues: served,
        tags,
        system_tags,
        resources: Value::Object(resources),
        ..new_worker(call, &worker, timeout, time::now())
    };
    let company = call.identity().company;
    state
        .store
        .write(move |tx| {
            for queue in &worker.queues {
                queues::require(tx, queue)?;
            }
            workers::put(tx, &company, &worker)
        })
        .await?;
    Ok(json!({}))
}

fn new_worker(call: &Call, id: &str, timeout: i64, now: Micros) -> Worker {
    Worker {
        key: key_of(call, id),
        id: id.to_owned(),
        user: call.identity().user_id,
        ip: call.ip.map(|ip| ip.to_string()),
        task: None,
        queue: None,
        queues: Vec::new(),
        register_time: now,
        register_timeout: timeout,
        last_activity_time: now,
        last_report_time: None,
        expires: now + timeout * 1_000_000,
        tags: Vec::new(),
        system_tags: Vec::new(),
        resources: json!({}),
        machine_stats: json!({}),
    }
}

#[derive(Deserialize)]
struct Unregister {
    worker: String,
}

/// Forgets a worker. One that is not known is no error.
pub(super) async fn unregister(state: &State, call: &Call) -> Reply {
    let Unregister { worker } = call.arguments()?;
    let key = key_of(call, &worker);
    state.store.write(move |tx| workers::remove(tx, &key)).await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
struct StatusReport {
    worker: String,
    /// When, by the clock of the worker, in milliseconds since the epoch. Only the figures go by it.
    timestamp: f64,
    task: Option<String>,
    queue: Option<String>,
    #[serde(default)]
    queues: Vec<String>,
    #[serde(default)]
    machine_stats: Map<String, Value>,
    tags: Option<Vec<String>>,
    system_tags: Option<Vec<String>>,
}

/// When the figures of a report are from, in milliseconds since the epoch: as the worker says, unless its clock is
/// plainly wrong.
fn moment(timestamp: f64, now: Micros) -> i64 {
    let now = now / 1000;
    let told = timestamp as i64;
    if (now - OLDEST_REPORT..=now + LARGEST_ADVANCE).contains(&told) { told } else { now }
}

/// A heartbeat: what the worker runs, and its figures. A worker that is not known is registered.
pub(super) async fn status_report(state: &State, call: &Call) -> Reply {
    let report: StatusReport = call.arguments()?;
    let now = time::now();
    let fresh = new_worker(call, &report.worker, DEFAULT_TIMEOUT, now);
    let by = call.identity();
    let unknown = state
        .store
        .write(move |tx| {
            let mut worker = workers::get(tx, &fresh.key, now)?.unwrap_or_else(|| fresh.clone());
            worker.ip = fresh.ip;
            worker.last_activity_time = now;
            worker.last_report_time = Some(now);
            worker.expires = now + worker.register_timeout * 1_000_000;
            worker.queue = report.queue;
            if !report.queues.is_empty() {
                worker.queues = report.queues;
            }
            worker.tags = report.tags.unwrap_or(worker.tags);
            worker.system_tags = report.system_tags.unwrap_or(worker.system_tags);
            let report_of_now = Report {
                at: moment(report.timestamp, now),
                is_busy: report.task.is_some(),
                figures: Figures::pack(&report.machine_stats),
            };
            time_series::record_report(tx, &worker.id, &report_of_now)?;
            if !report.machine_stats.is_empty() {
                worker.machine_stats = Value::Object(report.machine_stats);
            }
            worker.task = report.task;
            let mut unknown = None;
            if let Some(id) = &worker.task {
                if Task::find(tx, id)?.is_some() {
                    let mut update = TaskUpdate::default();
                    update.progress().text("last_worker", &*worker.id).time("last_worker_report", now);
                    update.apply(tx, id, &by.user_id)?;
                } else {
                    // The heartbeat counts all the same.
                    unknown = worker.task.take();
                }
            }
            workers::put(tx, &by.company, &worker)?;
            Ok(unknown)
        })
        .await?;
    match unknown {
        Some(task) => Err(unknown_task(&task)),
        None => Ok(json!({})),
    }
}
