//! `hostler queue`.

use std::collections::BTreeMap;

use protocols::clearml::queues::Queue;
use protocols::clearml::tasks::Task;
use serde_json::{Value, json};

use super::api::Api;
use super::context::Context;
use super::{lookup, worker};
use crate::cli::{MoveTarget, QueueCommand};
use crate::exit::Problem;
use crate::output::{Table, local_time};

pub(super) async fn run(context: &Context, command: QueueCommand) -> anyhow::Result<()> {
    let api = context.api()?;
    match command {
        QueueCommand::List => list(context, &api).await,
        QueueCommand::Create { name } => create(context, &api, &name).await,
        QueueCommand::Show { queue } => show(context, &api, &queue).await,
        QueueCommand::Move { queue, task, target } => move_task(context, &api, &queue, &task, &target).await,
    }
}

async fn list(context: &Context, api: &Api) -> anyhow::Result<()> {
    let body = json!({"only_fields": ["id", "name", "entries", "tags", "system_tags"], "search_hidden": true});
    let mut queues: Vec<Queue> = api.field("queues.get_all", body, "queues").await?;
    queues.sort_by(|left, right| left.name.cmp(&right.name));
    let workers = worker::seen(api).await?;
    let mut table = Table::new(&["NAME", "TASKS", "WORKERS", "ID"], "there are no queues");
    let mut documents = Vec::new();
    for queue in &queues {
        let serving: Vec<&str> = workers
            .iter()
            .filter(|worker| worker.queues.iter().any(|served| served.id == queue.id.as_str()))
            .map(|worker| worker.id.as_str())
            .collect();
        table.row([
            queue.name.clone(),
            queue.entries.len().to_string(),
            serving.len().to_string(),
            queue.id.to_string(),
        ]);
        documents.push(json!({
            "id": queue.id, "name": queue.name, "tasks": queue.entries.len(), "workers": serving, "tags": queue.tags,
        }));
    }
    context.output.table(&Value::Array(documents), &table)
}

async fn create(context: &Context, api: &Api, name: &str) -> anyhow::Result<()> {
    let existing = api.queue_names().await?;
    if let Some((id, _)) = existing.iter().find(|(_, existing)| existing == name) {
        return Err(Problem::refused(format!("there is a queue {name:?} already, its id is {id}")));
    }
    let id: String = api.field("queues.create", json!({"name": name}), "id").await?;
    context.output.either(&json!({"id": id, "name": name}), &id)
}

async fn show(context: &Context, api: &Api, queue: &str) -> anyhow::Result<()> {
    let summary = api.queue(queue).await?;
    let answer: Value = api.field("queues.get_by_id", json!({"queue": summary.id}), "queue").await?;
    let queue: Queue = serde_json::from_value(answer)?;
    let tasks = tasks_by_id(api, &queue).await?;
    let mut table = Table::new(&["POSITION", "TASK", "NAME", "ADDED"], "nothing waits in this queue");
    let mut entries = Vec::new();
    for (position, entry) in queue.entries.iter().enumerate() {
        let name = tasks.get(entry.task.as_str()).map_or("", |task| task.name.as_str());
        table.row([(position + 1).to_string(), entry.task.to_string(), name.to_owned(), local_time(&entry.added)]);
        entries.push(json!({"task": entry.task, "name": name, "added": entry.added}));
    }
    context.output.table(&json!({"id": queue.id, "name": queue.name, "entries": entries}), &table)
}

async fn tasks_by_id(api: &Api, queue: &Queue) -> anyhow::Result<BTreeMap<String, Task>> {
    let mut tasks = BTreeMap::new();
    for entries in queue.entries.chunks(500) {
        let ids: Vec<_> = entries.iter().map(|entry| &entry.task).collect();
        let body =
            json!({"id": ids, "only_fields": ["id", "name"], "search_hidden": true, "page": 0, "page_size": 500});
        let found: Vec<Task> = api.field("tasks.get_all", body, "tasks").await?;
        tasks.extend(found.into_iter().map(|task| (task.id.clone(), task)));
    }
    Ok(tasks)
}

async fn move_task(context: &Context, api: &Api, queue: &str, task: &str, target: &MoveTarget) -> anyhow::Result<()> {
    let queue = api.queue(queue).await?;
    let task = lookup::task(api, task).await?;
    let mut body = json!({"queue": queue.id, "task": task.id});
    let endpoint = match target {
        MoveTarget { to_front: true, .. } => "queues.move_task_to_front",
        MoveTarget { to_back: true, .. } => "queues.move_task_to_back",
        MoveTarget { up: Some(count), .. } => {
            body["count"] = (*count).into();
            "queues.move_task_forward"
        }
        MoveTarget { down, .. } => {
            body["count"] = down.unwrap_or(1).into();
            "queues.move_task_backward"
        }
    };
    let position: u64 = api.field(endpoint, body, "position").await?;
    let document = json!({"task": task.id, "queue": queue.id, "position": position + 1});
    context.output.either(&document, &format!("{} is now number {} in {}", task.name, position + 1, queue.name))
}
