//! `--disable-monitoring`: the server as the agent sees it, without console, heartbeats and the end of the task.
//!
//! As with the stock agent, whoever started this program watches over the task and reports how it ended. That it begins,
//! and what its preparation found out, is told all the same; and an abort ends it, as ever.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use drivers::clearml::{ClearMlClient, ServerFuture, TaskServer};
use protocols::clearml::events::{LogEvent, ScalarEvent};
use protocols::clearml::extension::WatchedTask;
use protocols::clearml::queues::QueueSummary;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::clearml::workers::StatusReport;
use protocols::ids::{QueueId, TaskId, WorkerId};
use serde_json::{Map, Value};

#[derive(Debug)]
pub(super) struct QuietServer(ClearMlClient);

impl QuietServer {
    pub(super) fn new(client: ClearMlClient) -> Self {
        Self(client)
    }
}

/// As if it had been told.
fn not_told<'a, T: Send + 'a>(answer: T) -> ServerFuture<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl TaskServer for QuietServer {
    fn completed<'a>(&'a self, _: &'a TaskId, _: &'a str, _: &'a str) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn failed<'a>(&'a self, _: &'a TaskId, _: &'a str, _: &'a str) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn stopped<'a>(&'a self, _: &'a TaskId, _: &'a str, _: &'a str) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn ping<'a>(&'a self, _: &'a TaskId) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn register_worker<'a>(&'a self, _: &'a WorkerId, _: &'a [QueueId]) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn unregister_worker<'a>(&'a self, _: &'a WorkerId, _: &'a [QueueId]) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn set_worker_property<'a>(&'a self, _: &'a WorkerId, _: &'a str, _: &'a str) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn status_report(&self, _: StatusReport) -> ServerFuture<'_, ()> {
        not_told(())
    }

    fn add_logs<'a>(&'a self, events: &'a [LogEvent]) -> ServerFuture<'a, u64> {
        not_told(events.len() as u64)
    }

    fn add_scalars<'a>(&'a self, _: &'a [ScalarEvent]) -> ServerFuture<'a, ()> {
        not_told(())
    }

    fn login(&self) -> ServerFuture<'_, ()> {
        self.0.login()
    }

    fn extensions(&self) -> ServerFuture<'_, BTreeMap<String, u64>> {
        self.0.extensions()
    }

    fn queue_by_name_or_id<'a>(&'a self, queue: &'a str) -> ServerFuture<'a, QueueSummary> {
        self.0.queue_by_name_or_id(queue)
    }

    fn default_queue(&self) -> ServerFuture<'_, QueueSummary> {
        self.0.default_queue()
    }

    fn create_queue<'a>(&'a self, name: &'a str) -> ServerFuture<'a, QueueSummary> {
        self.0.create_queue(name)
    }

    fn queue_entries<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<TaskId>> {
        self.0.queue_entries(queue)
    }

    fn queues_heads<'a>(&'a self, queues: &'a [QueueId]) -> ServerFuture<'a, Vec<(QueueId, Option<TaskId>)>> {
        self.0.queues_heads(queues)
    }

    fn pop<'a>(&'a self, queue: &'a QueueId, expected: Option<&'a TaskId>) -> ServerFuture<'a, Option<TaskId>> {
        self.0.pop(queue, expected)
    }

    fn leave_queue<'a>(&'a self, queue: &'a QueueId, task: &'a TaskId) -> ServerFuture<'a, bool> {
        self.0.leave_queue(queue, task)
    }

    fn wait_for_queues<'a>(
        &'a self,
        queues: &'a [QueueId],
        timeout: Duration,
    ) -> ServerFuture<'a, Option<(QueueId, TaskId)>> {
        self.0.wait_for_queues(queues, timeout)
    }

    fn wait_for_tasks<'a>(&'a self, tasks: &'a [TaskId], timeout: Duration) -> ServerFuture<'a, Vec<WatchedTask>> {
        self.0.wait_for_tasks(tasks, timeout)
    }

    fn task<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, Option<Task>> {
        self.0.task(task)
    }

    fn task_wishes<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, HashMap<TaskId, Task>> {
        self.0.task_wishes(tasks)
    }

    fn queue_workers<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<WorkerId>> {
        self.0.queue_workers(queue)
    }

    fn task_statuses<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, Vec<WatchedTask>> {
        self.0.task_statuses(tasks)
    }

    fn started<'a>(
        &'a self,
        task: &'a TaskId,
        reason: &'a str,
        message: &'a str,
        expected: &'a [TaskStatus],
    ) -> ServerFuture<'a, ()> {
        self.0.started(task, reason, message, expected)
    }

    fn enqueue<'a>(&'a self, task: &'a TaskId, queue: &'a QueueId) -> ServerFuture<'a, ()> {
        self.0.enqueue(task, queue)
    }

    fn set_requirements<'a>(&'a self, task: &'a TaskId, requirements: Value) -> ServerFuture<'a, ()> {
        self.0.set_requirements(task, requirements)
    }

    fn set_commit<'a>(&'a self, task: &'a TaskId, commit: &'a str) -> ServerFuture<'a, ()> {
        self.0.set_commit(task, commit)
    }

    fn set_container<'a>(&'a self, task: &'a TaskId, container: Value) -> ServerFuture<'a, ()> {
        self.0.set_container(task, container)
    }

    fn edit_runtime<'a>(&'a self, task: &'a TaskId, add: Map<String, Value>) -> ServerFuture<'a, ()> {
        self.0.edit_runtime(task, add)
    }

    fn logs_since<'a>(&'a self, task: &'a TaskId, timestamp_ms: i64) -> ServerFuture<'a, Vec<LogEvent>> {
        self.0.logs_since(task, timestamp_ms)
    }
}
