//! [`TaskServer`] over HTTP: which endpoint each method is, and what its answer means.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::FutureExt;
use protocols::clearml::events::{AddBatchResponse, LogEvent, ScalarEvent};
use protocols::clearml::extension::{
    EXTENSIONS_KEY, MAX_WAIT_SECONDS, WAIT_FOR_QUEUES, WAIT_FOR_TASKS, WaitForQueuesRequest, WaitForQueuesResponse,
    WaitForTasksRequest, WaitForTasksResponse, WatchedTask,
};
use protocols::clearml::queues::{
    CreateQueueRequest, GetAllQueuesRequest, GetAllQueuesResponse, GetNextTaskRequest, GetNextTaskResponse, Queue,
    QueueRequest, QueueResponse, QueueSummary,
};
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::{SetRequirementsRequest, StatusChangeRequest, Task, TaskRequest};
use protocols::clearml::workers::{
    GetAllWorkersResponse, RegisterRequest, RuntimeProperty, SetRuntimePropertiesRequest, StatusReport, Worker,
};
use protocols::ids::{QueueId, TaskId, WorkerId};
use serde_json::{Map, Value, json};

use super::steps::{PAGE_SIZE, read};
use super::{ClearMlClient, ClientError, ServerFuture, TaskServer};

/// A worker that was not heard of for longer is gone.
const RECENT_SECONDS: u64 = 600;

impl TaskServer for ClearMlClient {
    fn login(&self) -> ServerFuture<'_, ()> {
        self.login_now().boxed()
    }

    fn extensions(&self) -> ServerFuture<'_, BTreeMap<String, u64>> {
        async {
            let data = match self.call("server.info", json!({})).await {
                Err(error @ ClientError::Api { .. }) if !error.is_transient() => {
                    tracing::debug!(%error, "the server tells nothing of extensions");
                    return Ok(BTreeMap::new());
                }
                other => other?,
            };
            Ok(data.get(EXTENSIONS_KEY).cloned().and_then(|map| serde_json::from_value(map).ok()).unwrap_or_default())
        }
        .boxed()
    }

    fn queue_by_name_or_id<'a>(&'a self, queue: &'a str) -> ServerFuture<'a, QueueSummary> {
        self.find_queue(queue).boxed()
    }

    fn default_queue(&self) -> ServerFuture<'_, QueueSummary> {
        async {
            match self.ask::<QueueSummary>("queues.get_default", &json!({})).await {
                Ok(queue) if queue.name.is_empty() => self.find_queue(queue.id.as_str()).await,
                Err(error @ ClientError::Api { .. }) if !error.is_transient() => {
                    self.find_queue("default").await.map_err(|_| error)
                }
                other => other,
            }
        }
        .boxed()
    }

    fn create_queue<'a>(&'a self, name: &'a str) -> ServerFuture<'a, QueueSummary> {
        async move {
            let created: Result<QueueSummary, _> =
                self.ask("queues.create", &CreateQueueRequest { name: name.to_owned() }).await;
            match created {
                Ok(queue) => Ok(QueueSummary { id: queue.id, name: name.to_owned() }),
                Err(error) if error.is_api(400, 801) => self.find_queue(name).await,
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn queue_entries<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<TaskId>> {
        async move {
            let answer: QueueResponse = self.ask("queues.get_by_id", &QueueRequest { queue: queue.clone() }).await?;
            Ok(answer.queue.entries.into_iter().map(|entry| entry.task).collect())
        }
        .boxed()
    }

    fn queues_heads<'a>(&'a self, queues: &'a [QueueId]) -> ServerFuture<'a, Vec<(QueueId, Option<TaskId>)>> {
        async move {
            let mut heads: HashMap<QueueId, Option<TaskId>> = HashMap::new();
            for ids in queues.chunks(PAGE_SIZE) {
                let request = GetAllQueuesRequest {
                    id: ids.to_vec(),
                    search_hidden: true,
                    max_task_entries: Some(1),
                    page: Some(0),
                    page_size: Some(PAGE_SIZE as u64),
                    ..Default::default()
                };
                let answer: GetAllQueuesResponse = self.ask("queues.get_all", &request).await?;
                heads.extend(answer.queues.into_iter().map(head));
            }
            Ok(queues.iter().filter_map(|queue| Some((queue.clone(), heads.get(queue)?.clone()))).collect())
        }
        .boxed()
    }

    fn pop<'a>(&'a self, queue: &'a QueueId, expected: Option<&'a TaskId>) -> ServerFuture<'a, Option<TaskId>> {
        async move {
            let request = GetNextTaskRequest { queue: queue.clone(), task: expected.cloned() };
            let answer: GetNextTaskResponse = self.ask("queues.get_next_task", &request).await?;
            Ok(answer.entry.map(|entry| entry.task))
        }
        .boxed()
    }

    fn leave_queue<'a>(&'a self, queue: &'a QueueId, task: &'a TaskId) -> ServerFuture<'a, bool> {
        async move {
            match self.tell("queues.remove_task", &json!({ "queue": queue, "task": task })).await {
                Ok(()) => Ok(true),
                // It does not stand there; or there is no such queue.
                Err(error) if error.is_api(400, 703) || error.is_api(400, 701) => Ok(false),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn wait_for_queues<'a>(
        &'a self,
        queues: &'a [QueueId],
        timeout: Duration,
    ) -> ServerFuture<'a, Option<(QueueId, TaskId)>> {
        async move {
            let wait = timeout.min(Duration::from_secs(MAX_WAIT_SECONDS));
            let request = WaitForQueuesRequest { queues: queues.to_vec(), timeout_seconds: wait.as_secs_f64() };
            let answer: WaitForQueuesResponse = self.long_poll(WAIT_FOR_QUEUES, &request, wait).await?;
            Ok(answer.queue.zip(answer.task))
        }
        .boxed()
    }

    fn wait_for_tasks<'a>(&'a self, tasks: &'a [TaskId], timeout: Duration) -> ServerFuture<'a, Vec<WatchedTask>> {
        async move {
            let wait = timeout.min(Duration::from_secs(MAX_WAIT_SECONDS));
            let request = WaitForTasksRequest { tasks: tasks.to_vec(), timeout_seconds: wait.as_secs_f64() };
            let answer: WaitForTasksResponse = self.long_poll(WAIT_FOR_TASKS, &request, wait).await?;
            Ok(answer.tasks)
        }
        .boxed()
    }

    fn task<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, Option<Task>> {
        self.get_task(task).boxed()
    }

    fn task_wishes<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, HashMap<TaskId, Task>> {
        async move {
            if tasks.is_empty() {
                return Ok(HashMap::new());
            }
            self.get_tasks(tasks, &["id", "name", "hyperparams.properties", "container"]).await
        }
        .boxed()
    }

    fn queue_workers<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<WorkerId>> {
        async move {
            let request = json!({ "last_seen": RECENT_SECONDS });
            let answer: GetAllWorkersResponse = self.ask("workers.get_all", &request).await?;
            let serves = |worker: &Worker| worker.queues.iter().any(|served| served.id == *queue);
            Ok(answer.workers.into_iter().filter(serves).map(|worker| worker.id).collect())
        }
        .boxed()
    }

    fn task_statuses<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, Vec<WatchedTask>> {
        async move {
            let mut found = self.get_tasks(tasks, &["id", "status", "status_message"]).await?;
            Ok(tasks.iter().map(|id| watched(id, found.remove(id))).collect())
        }
        .boxed()
    }

    fn started<'a>(
        &'a self,
        task: &'a TaskId,
        reason: &'a str,
        message: &'a str,
        expected: &'a [TaskStatus],
    ) -> ServerFuture<'a, ()> {
        async move {
            let request = StatusChangeRequest {
                task: task.clone(),
                force: true,
                status_reason: reason.to_owned(),
                status_message: message.to_owned(),
                expected_status: expected.to_vec(),
            };
            self.tell("tasks.started", &request).await
        }
        .boxed()
    }

    fn completed<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()> {
        self.end("tasks.completed", task, reason, message, TaskStatus::Completed).boxed()
    }

    fn failed<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()> {
        self.end("tasks.failed", task, reason, message, TaskStatus::Failed).boxed()
    }

    fn stopped<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()> {
        self.end("tasks.stopped", task, reason, message, TaskStatus::Stopped).boxed()
    }

    fn ping<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, ()> {
        async move { self.tell("tasks.ping", &TaskRequest { task: task.clone() }).await }.boxed()
    }

    fn enqueue<'a>(&'a self, task: &'a TaskId, queue: &'a QueueId) -> ServerFuture<'a, ()> {
        self.give_back(task, queue).boxed()
    }

    fn set_requirements<'a>(&'a self, task: &'a TaskId, requirements: Value) -> ServerFuture<'a, ()> {
        async move {
            self.tell("tasks.set_requirements", &SetRequirementsRequest { task: task.clone(), requirements }).await
        }
        .boxed()
    }

    fn set_commit<'a>(&'a self, task: &'a TaskId, commit: &'a str) -> ServerFuture<'a, ()> {
        async move {
            let request = json!({"task": task, "force": true, "script": {"version_num": commit}});
            self.tell("tasks.edit", &request).await
        }
        .boxed()
    }

    fn set_container<'a>(&'a self, task: &'a TaskId, container: Value) -> ServerFuture<'a, ()> {
        async move {
            let request = json!({"task": task, "force": true, "container": container});
            self.tell("tasks.edit", &request).await
        }
        .boxed()
    }

    fn edit_runtime<'a>(&'a self, task: &'a TaskId, add: Map<String, Value>) -> ServerFuture<'a, ()> {
        self.add_runtime(task, add).boxed()
    }

    fn register_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()> {
        async move { self.tell("workers.register", &registration(worker, queues)).await }.boxed()
    }

    fn unregister_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()> {
        async move { self.tell("workers.unregister", &registration(worker, queues)).await }.boxed()
    }

    fn set_worker_property<'a>(&'a self, worker: &'a WorkerId, key: &'a str, value: &'a str) -> ServerFuture<'a, ()> {
        let request = SetRuntimePropertiesRequest {
            worker: worker.clone(),
            runtime_properties: vec![RuntimeProperty { key: key.to_owned(), value: value.to_owned() }],
        };
        async move { self.tell("workers.set_runtime_properties", &request).await }.boxed()
    }

    fn status_report(&self, report: StatusReport) -> ServerFuture<'_, ()> {
        async move { self.tell("workers.status_report", &report).await }.boxed()
    }

    fn add_logs<'a>(&'a self, events: &'a [LogEvent]) -> ServerFuture<'a, u64> {
        async move {
            if events.is_empty() {
                return Ok(0);
            }
            let mut lines = String::new();
            for event in events {
                lines.push_str(&serde_json::to_string(event).expect("a log event is plain data"));
                lines.push('\n');
            }
            let data = self.call_with_lines("events.add_batch", lines).await?;
            let answer: AddBatchResponse = read("events.add_batch", data)?;
            if answer.errors > 0 {
                tracing::warn!(errors = answer.errors, info = ?answer.errors_info, "the server refused log events");
            }
            Ok(answer.added)
        }
        .boxed()
    }

    fn add_scalars<'a>(&'a self, events: &'a [ScalarEvent]) -> ServerFuture<'a, ()> {
        async move {
            if events.is_empty() {
                return Ok(());
            }
            let lines = events.iter().map(|event| serde_json::to_string(event).expect("a point is plain data") + "\n");
            self.call_with_lines("events.add_batch", lines.collect()).await.map(drop)
        }
        .boxed()
    }

    fn logs_since<'a>(&'a self, task: &'a TaskId, timestamp_ms: i64) -> ServerFuture<'a, Vec<LogEvent>> {
        self.read_logs(task, timestamp_ms).boxed()
    }
}

fn head(queue: Queue) -> (QueueId, Option<TaskId>) {
    (queue.id, queue.entries.into_iter().next().map(|entry| entry.task))
}

fn watched(id: &TaskId, task: Option<Task>) -> WatchedTask {
    let (status, status_message) = task.map(|task| (task.status, task.status_message)).unzip();
    WatchedTask { id: id.clone(), status, status_message: status_message.unwrap_or_default() }
}

fn registration(worker: &WorkerId, queues: &[QueueId]) -> RegisterRequest {
    RegisterRequest { worker: worker.clone(), queues: queues.to_vec(), timeout: None, tags: Vec::new() }
}
