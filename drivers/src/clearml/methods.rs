//! [`TaskServer`] over HTTP: which endpoint each method is, and what its answer means.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use protocols::clearml::events::{AddBatchResponse, GetTaskLogRequest, GetTaskLogResponse, LogEvent};
use protocols::clearml::extension::{
    EXTENSIONS_KEY, MAX_WAIT_SECONDS, WAIT_FOR_QUEUES, WAIT_FOR_TASKS, WaitForQueuesRequest, WaitForQueuesResponse,
    WaitForTasksRequest, WaitForTasksResponse, WatchedTask,
};
use protocols::clearml::queues::{
    CreateQueueRequest, GetAllQueuesRequest, GetAllQueuesResponse, GetNextTaskRequest, GetNextTaskResponse, Queue,
    QueueRequest, QueueResponse, QueueSummary,
};
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::{
    EditRuntimeRequest, EnqueueRequest, GetAllTasksRequest, GetAllTasksResponse, SetRequirementsRequest,
    StatusChangeRequest, Task, TaskRequest, TaskResponse,
};
use protocols::clearml::workers::{RegisterRequest, StatusReport};
use protocols::ids::{QueueId, TaskId, WorkerId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{ClearMlClient, ClientError, ServerFuture, TaskServer, queue_lookup};

/// Most objects that a server answers at once.
const PAGE_SIZE: usize = 500;

/// Log events asked for at once: each may be 64 KiB.
const LOG_PAGE_SIZE: u64 = 100;

/// What a long-poll's answer may take beyond its own waiting time.
const LONG_POLL_SLACK: Duration = Duration::from_secs(15);

impl ClearMlClient {
    /// A call with typed request and answer.
    async fn ask<T: DeserializeOwned>(&self, endpoint: &str, request: &impl Serialize) -> Result<T, ClientError> {
        let data = self.call(endpoint, to_value(request)).await?;
        read(endpoint, data)
    }

    /// A call whose answer does not matter.
    async fn tell(&self, endpoint: &str, request: &impl Serialize) -> Result<(), ClientError> {
        self.call(endpoint, to_value(request)).await.map(|_| ())
    }

    async fn long_poll<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        request: &impl Serialize,
        wait: Duration,
    ) -> Result<T, ClientError> {
        let data = self.call_once_with_timeout(endpoint, to_value(request), wait + LONG_POLL_SLACK).await?;
        read(endpoint, data)
    }

    async fn all_queues(&self) -> Result<Vec<QueueSummary>, ClientError> {
        let mut found = Vec::new();
        for page in 0.. {
            let request = GetAllQueuesRequest {
                only_fields: vec!["id".to_owned(), "name".to_owned()],
                page: Some(page),
                page_size: Some(PAGE_SIZE as u64),
                search_hidden: true,
                ..Default::default()
            };
            let answer: GetAllQueuesResponse = self.ask("queues.get_all", &request).await?;
            let is_last = answer.queues.len() < PAGE_SIZE;
            found.extend(answer.queues.into_iter().map(summary));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    async fn find_queue(&self, queue: &str) -> Result<QueueSummary, ClientError> {
        queue_lookup::find(queue, &self.all_queues().await?)
    }

    async fn get_task(&self, task: &TaskId) -> Result<Option<Task>, ClientError> {
        match self.ask::<TaskResponse>("tasks.get_by_id", &TaskRequest { task: task.clone() }).await {
            Ok(answer) => Ok(Some(answer.task)),
            Err(error) if error.is_unknown_task() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get_tasks(&self, tasks: &[TaskId], fields: &[&str]) -> Result<HashMap<TaskId, Task>, ClientError> {
        let mut found = HashMap::new();
        for ids in tasks.chunks(PAGE_SIZE) {
            let request = GetAllTasksRequest {
                id: ids.to_vec(),
                only_fields: fields.iter().map(ToString::to_string).collect(),
                search_hidden: true,
                page: 0,
                page_size: PAGE_SIZE as u64,
            };
            let answer: GetAllTasksResponse = self.ask("tasks.get_all", &request).await?;
            found.extend(answer.tasks.into_iter().map(|task| (task.task_id(), task)));
        }
        Ok(found)
    }

    /// Ends a task without force. A refusal is success where the task is there already.
    async fn end(
        &self,
        endpoint: &str,
        task: &TaskId,
        reason: &str,
        message: &str,
        status: TaskStatus,
    ) -> Result<(), ClientError> {
        let request = StatusChangeRequest {
            task: task.clone(),
            force: false,
            status_reason: reason.to_owned(),
            status_message: message.to_owned(),
            expected_status: Vec::new(),
        };
        let refused = match self.tell(endpoint, &request).await {
            Err(error) if error.is_status_refused() => error,
            other => return other,
        };
        let now = self.get_tasks(std::slice::from_ref(task), &["id", "status"]).await?;
        if now.get(task).is_some_and(|task| task.status == status) { Ok(()) } else { Err(refused) }
    }

    async fn give_back(&self, task: &TaskId, queue: &QueueId) -> Result<(), ClientError> {
        let mut request =
            EnqueueRequest { task: task.clone(), queue: queue.clone(), force: false, status_reason: String::new() };
        let refused = match self.tell("tasks.enqueue", &request).await {
            Err(error) if error.is_api(400, 706) => return Ok(()),
            Err(error) if error.is_status_refused() => error,
            other => return other,
        };
        let now = self.get_tasks(std::slice::from_ref(task), &["id", "status"]).await?;
        if now.get(task).is_none_or(|task| task.status != TaskStatus::InProgress) {
            return Err(refused);
        }
        request.force = true;
        self.tell("tasks.enqueue", &request).await
    }

    async fn add_runtime(&self, task: &TaskId, add: Map<String, Value>) -> Result<(), ClientError> {
        let known_missing = self.without_edit_runtime();
        if !known_missing.load(Ordering::Relaxed) {
            let request = EditRuntimeRequest { task: task.clone(), add_or_update: add.clone() };
            match self.tell("tasks.edit_runtime", &request).await {
                Err(error) if error.api().is_some_and(|error| error.status == 404) => {
                    known_missing.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        let tasks = self.get_tasks(std::slice::from_ref(task), &["id", "runtime"]).await?;
        let mut runtime = tasks.get(task).map(|task| task.runtime.clone()).unwrap_or_default();
        runtime.extend(add);
        self.tell("tasks.edit", &json!({"task": task, "force": true, "runtime": runtime})).await
    }

    async fn read_logs(&self, task: &TaskId, timestamp_ms: i64) -> Result<Vec<LogEvent>, ClientError> {
        // The server's cursor is exclusive, and no page ends between two events of one time stamp.
        let mut from_timestamp = timestamp_ms - 1;
        let mut events = Vec::new();
        loop {
            let request = GetTaskLogRequest {
                task: task.clone(),
                batch_size: LOG_PAGE_SIZE,
                navigate_earlier: false,
                from_timestamp: Some(from_timestamp),
            };
            let mut page = self.ask::<GetTaskLogResponse>("events.get_task_log", &request).await?.events;
            page.retain(|event| event.timestamp > from_timestamp);
            page.sort_by_key(|event| event.timestamp);
            let Some(last) = page.last() else { return Ok(events) };
            from_timestamp = last.timestamp;
            events.append(&mut page);
        }
    }
}

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

    fn edit_runtime<'a>(&'a self, task: &'a TaskId, add: Map<String, Value>) -> ServerFuture<'a, ()> {
        self.add_runtime(task, add).boxed()
    }

    fn register_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()> {
        async move { self.tell("workers.register", &registration(worker, queues)).await }.boxed()
    }

    fn unregister_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()> {
        async move { self.tell("workers.unregister", &registration(worker, queues)).await }.boxed()
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

    fn logs_since<'a>(&'a self, task: &'a TaskId, timestamp_ms: i64) -> ServerFuture<'a, Vec<LogEvent>> {
        self.read_logs(task, timestamp_ms).boxed()
    }
}

fn to_value(request: &impl Serialize) -> Value {
    serde_json::to_value(request).expect("a request is plain data with text keys")
}

fn read<T: DeserializeOwned>(endpoint: &str, data: Value) -> Result<T, ClientError> {
    serde_json::from_value(data)
        .map_err(|error| ClientError::Answer { endpoint: endpoint.to_owned(), why: error.to_string() })
}

fn summary(queue: Queue) -> QueueSummary {
    QueueSummary { id: queue.id, name: queue.name }
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
