//! `hostler task enqueue|dequeue|abort|reset|delete`.

use protocols::clearml::queues::QueueSummary;
use protocols::clearml::tasks::Task;
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::context::Context;
use super::super::lookup;
use crate::cli::{TaskEnqueueArgs, TasksArgs};
use crate::output::note;

/// What is done to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Dequeue,
    Abort,
    Reset,
    Delete,
}

impl Change {
    fn endpoint(self) -> &'static str {
        match self {
            Self::Dequeue => "tasks.dequeue",
            Self::Abort => "tasks.stop",
            Self::Reset => "tasks.reset",
            Self::Delete => "tasks.delete",
        }
    }

    fn done(self, answer: &Value) -> &'static str {
        match self {
            Self::Dequeue if answer["updated"] == 0 => "was in no queue",
            Self::Dequeue => "is out of its queue",
            // Without a status the worker is asked, and stops it.
            Self::Abort if answer["fields"].get("status").is_none() => "is being stopped by its worker",
            Self::Abort => "is stopped",
            Self::Reset => "is a draft again",
            Self::Delete => "is deleted",
        }
    }
}

pub(super) async fn enqueue(context: &Context, api: &Api, args: &TaskEnqueueArgs) -> anyhow::Result<()> {
    let task = lookup::task(api, &args.task).await?;
    let queue = api.queue(&args.queue).await?;
    put(api, &task.id, &task.name, &queue).await?;
    let document = json!({"id": task.id, "queue": queue.id});
    context.output.either(&document, &format!("{} ({}) waits in {}", task.name, task.id, queue.name))
}

/// Puts a task into a queue, and says so if nobody serves it.
pub(super) async fn put(api: &Api, task: &str, name: &str, queue: &QueueSummary) -> anyhow::Result<()> {
    let body = json!({"task": task, "queue": queue.id, "verify_watched_queue": true});
    let answer = api.call("tasks.enqueue", body).await?;
    if answer["queue_watched"] == false {
        note(&format!("no worker serves the queue {} now: {name} waits until one does", queue.name));
    }
    Ok(())
}

/// Changes each of the tasks. All are found before the first is changed.
pub(super) async fn all(context: &Context, api: &Api, args: &TasksArgs, change: Change) -> anyhow::Result<()> {
    let mut tasks: Vec<Task> = Vec::new();
    for name_or_id in &args.tasks {
        tasks.push(lookup::task(api, name_or_id).await?);
    }
    for task in tasks {
        let mut body = json!({"task": task.id});
        if change != Change::Dequeue {
            body["force"] = args.force.into();
        }
        let answer = api.call(change.endpoint(), body).await.map_err(|error| explain(error, &task, change))?;
        let done = change.done(&answer);
        let document = json!({"id": task.id, "done": done});
        context.output.either(&document, &format!("{} ({}) {done}", task.name, task.id))?;
    }
    Ok(())
}

fn explain(error: anyhow::Error, task: &Task, change: Change) -> anyhow::Error {
    let status_forbids = error
        .downcast_ref::<drivers::clearml::ClientError>()
        .is_some_and(|error| error.is_status_refused() || error.is_api(400, 123));
    if !status_forbids {
        return error;
    }
    let (verb, way) = match change {
        Change::Dequeue => ("taken out of a queue", ""),
        Change::Abort => ("stopped", ""),
        Change::Reset => ("reset", "; --force does so nevertheless"),
        Change::Delete => ("deleted", "; --force does so nevertheless"),
    };
    error.context(format!("{} is {} and cannot be {verb}{way}", task.name, task.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_tells_what_was_done() {
        assert_eq!(
            Change::Abort.done(&json!({"updated": 1, "fields": {"status_message": "stopping"}})),
            "is being stopped by its worker"
        );
        assert_eq!(Change::Abort.done(&json!({"updated": 1, "fields": {"status": "stopped"}})), "is stopped");
        assert_eq!(Change::Dequeue.done(&json!({"updated": 0})), "was in no queue");
        assert_eq!(Change::Dequeue.done(&json!({"updated": 1})), "is out of its queue");
    }
}
