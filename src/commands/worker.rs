//! `hostler worker`.

use protocols::clearml::tasks::null_as_default;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::Api;
use super::context::Context;
use crate::cli::WorkerCommand;
use crate::output::{Age, Table};

/// A worker that was silent for longer is not listed.
const LAST_SEEN_SECONDS: u32 = 600;

/// A worker as `workers.get_all` gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenWorker {
    pub(super) id: String,
    #[serde(default)]
    task: Option<Reference>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) queues: Vec<Reference>,
    #[serde(default, deserialize_with = "null_as_default")]
    last_activity_time: String,
    #[serde(default, deserialize_with = "null_as_default")]
    ip: String,
}

/// Something of the server, with its name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reference {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    name: String,
}

pub(super) async fn run(context: &Context, command: WorkerCommand) -> anyhow::Result<()> {
    match command {
        WorkerCommand::List => list(context).await,
    }
}

/// The workers that were heard of lately.
pub(super) async fn seen(api: &Api) -> anyhow::Result<Vec<SeenWorker>> {
    let mut workers: Vec<SeenWorker> =
        api.field("workers.get_all", json!({"last_seen": LAST_SEEN_SECONDS}), "workers").await?;
    workers.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(workers)
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let workers = seen(&context.api()?).await?;
    let mut table = Table::new(&["WORKER", "TASK", "QUEUES", "SEEN", "FROM"], "no worker was heard of lately");
    for worker in &workers {
        let task = worker.task.as_ref().filter(|task| !task.id.is_empty());
        let task = task.map_or("-".to_owned(), |task| format!("{} ({})", task.name, task.id));
        let queues: Vec<&str> = worker
            .queues
            .iter()
            .map(|queue| if queue.name.is_empty() { &queue.id } else { &queue.name }.as_str())
            .collect();
        let age = Age::since(&worker.last_activity_time).map_or("-".to_owned(), |age| format!("{age} ago"));
        table.row([worker.id.clone(), task, queues.join(","), age, worker.ip.clone()]);
    }
    let documents: Vec<Value> = workers.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    context.output.table(&Value::Array(documents), &table)
}
