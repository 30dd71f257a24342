//! What takes the client more than one plain call.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocols::clearml::events::{GetTaskLogRequest, GetTaskLogResponse, LogEvent};
use protocols::clearml::queues::{GetAllQueuesRequest, GetAllQueuesResponse, Queue, QueueSummary};
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::{
    EditRuntimeRequest, EnqueueRequest, GetAllTasksRequest, GetAllTasksResponse, StatusChangeRequest, Task,
    TaskRequest, TaskResponse,
};
use protocols::ids::{QueueId, TaskId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{ClearMlClient, ClientError, queue_lookup};

/// Most objects that a server answers at once.
pub(super) const PAGE_SIZE: usize = 500;

/// Log events asked for at once: each may be 64 KiB.
const LOG_PAGE_SIZE: u64 = 100;

/// What a long-poll's answer may take beyond its own waiting time.
const LONG_POLL_SLACK: Duration = Duration::from_secs(15);

impl ClearMlClient {
    /// A call with typed request and answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        let data = self.call(endpoint, to_value(request)).await?;
        read(endpoint, data)
    }

    /// A call whose answer does not matter.
    pub(super) async fn tell(&self, endpoint: &str, request: &impl Serialize) -> Result<(), ClientError> {
        self.call(endpoint, to_value(request)).await.map(|_| ())
    }

    pub(super) async fn long_poll<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        request: &impl Serialize,
        wait: Duration,
    ) -> Result<T, ClientError> {
        let data = self.call_once_with_timeout(endpoint, to_value(request), wait + LONG_POLL_SLACK).await?;
        read(endpoint, data)
    }

    pub(super) async fn all_queues(&self) -> Result<Vec<QueueSummary>, ClientError> {
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

    pub(super) async fn find_queue(&self, queue: &str) -> Result<QueueSummary, ClientError> {
        queue_lookup::find(queue, &self.all_queues().await?)
    }

    pub(super) async fn get_task(&self, task: &TaskId) -> Result<Option<Task>, ClientError> {
        match self.ask::<TaskResponse>("tasks.get_by_id", &TaskRequest { task: task.clone() }).await {
            Ok(answer) => Ok(Some(answer.task)),
            Err(error) if error.is_unknown_task() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get_tasks(
        &self,
        tasks: &[TaskId],
        fields: &[&str],
    ) -> Result<HashMap<TaskId, Task>, ClientError> {
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
    pub(super) async fn end(
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

    pub(super) async fn give_back(&self, task: &TaskId, queue: &QueueId) -> Result<(), ClientError> {
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

    pub(super) async fn add_runtime(&self, task: &TaskId, add: Map<String, Value>) -> Result<(), ClientError> {
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

    pub(super) async fn read_logs(&self, task: &TaskId, timestamp_ms: i64) -> Result<Vec<LogEvent>, ClientError> {
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

fn to_value(request: &impl Serialize) -> Value {
    serde_json::to_value(request).expect("a request is plain data with text keys")
}

pub(super) fn read<T: DeserializeOwned>(endpoint: &str, data: Value) -> Result<T, ClientError> {
    serde_json::from_value(data)
        .map_err(|error| ClientError::Answer { endpoint: endpoint.to_owned(), why: error.to_string() })
}

fn summary(queue: Queue) -> QueueSummary {
    QueueSummary { id: queue.id, name: queue.name }
}
