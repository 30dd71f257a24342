//! [`TaskServer`] in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::FutureExt;
use protocols::clearml::error::ApiError;
use protocols::clearml::events::{LogEvent, ScalarEvent};
use protocols::clearml::extension::WatchedTask;
use protocols::clearml::queues::QueueSummary;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::clearml::workers::StatusReport;
use protocols::ids::{QueueId, TaskId, WorkerId};
use serde_json::{Map, Value};

use super::super::{ServerFuture, TaskServer, queue_lookup};
use super::state::{Failure, State, refused};
use super::{FakeServer, FakeWorker};

fn joined<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    ids.into_iter().collect::<Vec<_>>().join(",")
}

fn watched(state: &State, id: &TaskId) -> WatchedTask {
    let task = state.tasks.get(id);
    WatchedTask {
        id: id.clone(),
        status: task.map(|task| task.status),
        status_message: task.map(|task| task.status_message.clone()).unwrap_or_default(),
    }
}

impl TaskServer for FakeServer {
    fn login(&self) -> ServerFuture<'_, ()> {
        self.perform("login", String::new(), |_| Ok(()))
    }

    fn extensions(&self) -> ServerFuture<'_, BTreeMap<String, u64>> {
        self.perform("extensions", String::new(), |state| Ok(state.extensions.clone()))
    }

    fn queue_by_name_or_id<'a>(&'a self, queue: &'a str) -> ServerFuture<'a, QueueSummary> {
        self.perform("queue_by_name_or_id", queue.to_owned(), move |state| {
            queue_lookup::find(queue, &state.summaries())
        })
    }

    fn default_queue(&self) -> ServerFuture<'_, QueueSummary> {
        self.perform("default_queue", String::new(), |state| {
            let none = || refused("queues.get_default", ApiError::no_default_queue("", &[]));
            state.summaries().into_iter().next().ok_or_else(none)
        })
    }

    fn create_queue<'a>(&'a self, name: &'a str) -> ServerFuture<'a, QueueSummary> {
        self.perform("create_queue", name.to_owned(), move |state| {
            if !state.queues.iter().any(|queue| queue.name == name) {
                state.add_queue(QueueId::new(format!("id-of-{name}")), name);
            }
            queue_lookup::find(name, &state.summaries())
        })
    }

    fn queue_entries<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<TaskId>> {
        self.perform("queue_entries", queue.to_string(), move |state| Ok(state.known_queue(queue)?.entries.clone()))
    }

    fn queues_heads<'a>(&'a self, queues: &'a [QueueId]) -> ServerFuture<'a, Vec<(QueueId, Option<TaskId>)>> {
        self.perform("queues_heads", joined(queues.iter().map(QueueId::as_str)), move |state| {
            let head = |id: &QueueId| Some((id.clone(), state.queue(id)?.entries.first().cloned()));
            Ok(queues.iter().filter_map(head).collect())
        })
    }

    fn pop<'a>(&'a self, queue: &'a QueueId, expected: Option<&'a TaskId>) -> ServerFuture<'a, Option<TaskId>> {
        self.perform("pop", queue.to_string(), move |state| {
            let entries = &mut state.known_queue(queue)?.entries;
            let is_wanted = |head: &TaskId| expected.is_none_or(|expected| expected == head);
            Ok(if entries.first().is_some_and(is_wanted) { Some(entries.remove(0)) } else { None })
        })
    }

    fn leave_queue<'a>(&'a self, queue: &'a QueueId, task: &'a TaskId) -> ServerFuture<'a, bool> {
        self.perform("leave_queue", queue.to_string(), move |state| {
            let Some(queue) = state.queue_mut(queue) else { return Ok(false) };
            let before = queue.entries.len();
            queue.entries.retain(|entry| entry != task);
            Ok(queue.entries.len() < before)
        })
    }

    fn wait_for_queues<'a>(
        &'a self,
        queues: &'a [QueueId],
        timeout: Duration,
    ) -> ServerFuture<'a, Option<(QueueId, TaskId)>> {
        async move {
            let subject = joined(queues.iter().map(QueueId::as_str));
            match self.begin("wait_for_queues", subject).await {
                Some(Failure::Before(error) | Failure::After(error)) => Err(error),
                None => {
                    self.poll(timeout, |state| {
                        let head = |id: &QueueId| Some((id.clone(), state.queue(id)?.entries.first()?.clone()));
                        Ok(queues.iter().find_map(head).map(Some))
                    })
                    .await
                }
            }
        }
        .boxed()
    }

    fn wait_for_tasks<'a>(&'a self, tasks: &'a [TaskId], timeout: Duration) -> ServerFuture<'a, Vec<WatchedTask>> {
        async move {
            match self.begin("wait_for_tasks", joined(tasks.iter().map(TaskId::as_str))).await {
                Some(Failure::Before(error) | Failure::After(error)) => Err(error),
                None => {
                    self.poll(timeout, |state| {
                        let is_plain = |task: &&Task| task.status == TaskStatus::InProgress && !task.is_stopping();
                        let found: Vec<_> = tasks
                            .iter()
                            .filter(|id| state.tasks.get(id).filter(is_plain).is_none())
                            .map(|id| watched(state, id))
                            .collect();
                        Ok((!found.is_empty()).then_some(found))
                    })
                    .await
                }
            }
        }
        .boxed()
    }

    fn task<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, Option<Task>> {
        self.perform("task", task.to_string(), move |state| Ok(state.tasks.get(task).cloned()))
    }

    fn task_wishes<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, HashMap<TaskId, Task>> {
        self.perform("task_wishes", joined(tasks.iter().map(TaskId::as_str)), move |state| {
            Ok(tasks.iter().filter_map(|id| Some((id.clone(), state.tasks.get(id)?.clone()))).collect())
        })
    }

    fn queue_workers<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<WorkerId>> {
        self.perform("queue_workers", queue.to_string(), move |state| {
            let serving =
                state.workers.iter().filter(|(_, worker)| worker.is_registered && worker.queues.contains(queue));
            Ok(serving.map(|(id, _)| id.clone()).collect())
        })
    }

    fn task_statuses<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, Vec<WatchedTask>> {
        self.perform("task_statuses", joined(tasks.iter().map(TaskId::as_str)), move |state| {
            Ok(tasks.iter().map(|id| watched(state, id)).collect())
        })
    }

    fn started<'a>(
        &'a self,
        task: &'a TaskId,
        reason: &'a str,
        message: &'a str,
        expected: &'a [TaskStatus],
    ) -> ServerFuture<'a, ()> {
        self.perform("started", task.to_string(), move |state| state.start(task, reason, message, expected))
    }

    fn completed<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()> {
        self.perform("completed", task.to_string(), move |state| {
            state.transition(task, TaskStatus::Completed, reason, message)
        })
    }

    fn failed<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()> {
        self.perform("failed", task.to_string(), move |state| {
            state.transition(task, TaskStatus::Failed, reason, message)
        })
    }

    fn stopped<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()> {
        self.perform("stopped", task.to_string(), move |state| {
            state.transition(task, TaskStatus::Stopped, reason, message)
        })
    }

    fn ping<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, ()> {
        self.perform("ping", task.to_string(), |_| Ok(()))
    }

    fn enqueue<'a>(&'a self, task: &'a TaskId, queue: &'a QueueId) -> ServerFuture<'a, ()> {
        self.perform("enqueue", task.to_string(), move |state| state.enqueue(task, queue))
    }

    fn set_requirements<'a>(&'a self, task: &'a TaskId, requirements: Value) -> ServerFuture<'a, ()> {
        self.perform("set_requirements", task.to_string(), move |state| {
            let script = state.known_task(task)?.script.get_or_insert_default();
            script.requirements = requirements.as_object().cloned().unwrap_or_default().into_iter().collect();
            Ok(())
        })
    }

    fn set_commit<'a>(&'a self, task: &'a TaskId, commit: &'a str) -> ServerFuture<'a, ()> {
        self.perform("set_commit", task.to_string(), move |state| {
            commit.clone_into(&mut state.known_task(task)?.script.get_or_insert_default().version_num);
            Ok(())
        })
    }

    fn set_container<'a>(&'a self, task: &'a TaskId, container: Value) -> ServerFuture<'a, ()> {
        self.perform("set_container", task.to_string(), move |state| {
            let container = serde_json::from_value(container).unwrap_or_default();
            state.known_task(task)?.container = container;
            Ok(())
        })
    }

    fn edit_runtime<'a>(&'a self, task: &'a TaskId, add: Map<String, Value>) -> ServerFuture<'a, ()> {
        self.perform("edit_runtime", task.to_string(), move |state| {
            state.known_task(task)?.runtime.extend(add);
            Ok(())
        })
    }

    fn register_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()> {
        self.perform("register_worker", worker.to_string(), move |state| {
            for queue in queues {
                state.known_queue(queue)?;
            }
            let entry = state.workers.entry(worker.clone()).or_default();
            entry.is_registered = true;
            entry.queues = queues.to_vec();
            Ok(())
        })
    }

    fn unregister_worker<'a>(&'a self, worker: &'a WorkerId, _queues: &'a [QueueId]) -> ServerFuture<'a, ()> {
        self.perform("unregister_worker", worker.to_string(), move |state| {
            if let Some(worker) = state.workers.get_mut(worker) {
                worker.is_registered = false;
            }
            Ok(())
        })
    }

    fn set_worker_property<'a>(&'a self, worker: &'a WorkerId, key: &'a str, value: &'a str) -> ServerFuture<'a, ()> {
        self.perform("set_worker_property", format!("{worker} {key}={value}"), |_| Ok(()))
    }

    fn status_report(&self, report: StatusReport) -> ServerFuture<'_, ()> {
        self.perform("status_report", report.worker.to_string(), move |state| {
            let worker = state.workers.entry(report.worker.clone()).or_insert_with(FakeWorker::default);
            worker.is_registered = true;
            if !report.queues.is_empty() {
                worker.queues.clone_from(&report.queues);
            }
            let task = report.task.clone();
            let reporter = report.worker.to_string();
            worker.reports.push(report);
            if let Some(task) = task {
                state.known_task(&task)?.last_worker = reporter;
            }
            Ok(())
        })
    }

    fn add_logs<'a>(&'a self, events: &'a [LogEvent]) -> ServerFuture<'a, u64> {
        let subject = events.first().map(|event| event.task.to_string()).unwrap_or_default();
        self.perform("add_logs", subject, move |state| {
            let mut added = 0;
            for event in events.iter().filter(|event| state.tasks.contains_key(&event.task)) {
                state.logs.entry(event.task.clone()).or_default().push(event.clone());
                added += 1;
            }
            if added == 0 && !events.is_empty() {
                return Err(refused("events.add_batch", ApiError::events_not_added("", &[])));
            }
            Ok(added)
        })
    }

    fn add_scalars<'a>(&'a self, events: &'a [ScalarEvent]) -> ServerFuture<'a, ()> {
        let subject = events.first().map(|event| event.task.to_string()).unwrap_or_default();
        self.perform("add_scalars", subject, |_| Ok(()))
    }

    fn logs_since<'a>(&'a self, task: &'a TaskId, timestamp_ms: i64) -> ServerFuture<'a, Vec<LogEvent>> {
        self.perform("logs_since", task.to_string(), move |state| {
            let all = state.logs.get(task).into_iter().flatten();
            let mut events: Vec<_> = all.filter(|event| event.timestamp >= timestamp_ms).cloned().collect();
            events.sort_by_key(|event| event.timestamp);
            Ok(events)
        })
    }
}
