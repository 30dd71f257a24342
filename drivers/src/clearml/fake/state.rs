//! What the fake server remembers, and its rules.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use protocols::clearml::error::ApiError;
use protocols::clearml::events::LogEvent;
use protocols::clearml::queues::QueueSummary;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::ids::{QueueId, TaskId, WorkerId};

use super::{ClientError, FakeCall, FakeWorker, StatusChange};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) extensions: BTreeMap<String, u64>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) history: BTreeMap<TaskId, Vec<StatusChange>>,
    pub(super) logs: BTreeMap<TaskId, Vec<LogEvent>>,
    pub(super) queues: Vec<FakeQueue>,
    pub(super) workers: BTreeMap<WorkerId, FakeWorker>,
    pub(super) calls: Vec<FakeCall>,
    pub(super) failures: HashMap<&'static str, VecDeque<Failure>>,
    pub(super) broken: HashMap<&'static str, ClientError>,
    pub(super) delays: HashMap<&'static str, Duration>,
    /// With which message somebody else starts the next task that is started, right afterwards.
    pub(super) rival: Option<String>,
    pub(super) is_down: bool,
}

#[derive(Debug)]
pub(super) struct FakeQueue {
    pub(super) id: QueueId,
    pub(super) name: String,
    pub(super) entries: Vec<TaskId>,
}

#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Nothing happens.
    Before(ClientError),
    /// It happens, and nobody hears of it.
    After(ClientError),
}

/// What every call gets while the server is down.
pub(super) fn down() -> ClientError {
    ClientError::Unreachable { url: "fake://server".to_owned(), why: "it is down".to_owned() }
}

pub(super) fn refused(method: &str, error: ApiError) -> ClientError {
    ClientError::Api { endpoint: method.to_owned(), error }
}

impl State {
    pub(super) fn next_failure(&mut self, method: &'static str) -> Option<Failure> {
        if self.is_down {
            return Some(Failure::Before(down()));
        }
        if let Some(error) = self.broken.get(method) {
            return Some(Failure::Before(error.clone()));
        }
        self.failures.get_mut(method)?.pop_front()
    }

    pub(super) fn add_queue(&mut self, id: QueueId, name: &str) {
        self.queues.push(FakeQueue { id, name: name.to_owned(), entries: Vec::new() });
    }

    pub(super) fn queue(&self, id: &QueueId) -> Option<&FakeQueue> {
        self.queues.iter().find(|queue| queue.id == *id)
    }

    pub(super) fn queue_mut(&mut self, id: &QueueId) -> Option<&mut FakeQueue> {
        self.queues.iter_mut().find(|queue| queue.id == *id)
    }

    pub(super) fn known_queue(&mut self, id: &QueueId) -> Result<&mut FakeQueue, ClientError> {
        let unknown = || refused("queues", ApiError::invalid_queue_id("", &[("id", id)]));
        self.queues.iter_mut().find(|queue| queue.id == *id).ok_or_else(unknown)
    }

    pub(super) fn known_task(&mut self, id: &TaskId) -> Result<&mut Task, ClientError> {
        let unknown = || refused("tasks", ApiError::invalid_task_id("", &[("id", id)]));
        self.tasks.get_mut(id).ok_or_else(unknown)
    }

    pub(super) fn summaries(&self) -> Vec<QueueSummary> {
        self.queues.iter().map(|queue| QueueSummary { id: queue.id.clone(), name: queue.name.clone() }).collect()
    }

    pub(super) fn set_status(&mut self, id: &TaskId, status: TaskStatus, reason: &str, message: &str) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.status = status;
        task.status_reason = reason.to_owned();
        task.status_message = message.to_owned();
        let change = StatusChange { status, reason: reason.to_owned(), message: message.to_owned() };
        self.history.entry(id.clone()).or_default().push(change);
    }

    pub(super) fn request_stop(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.status == TaskStatus::InProgress {
            task.status_message = "stopping".to_owned();
            return;
        }
        for queue in &mut self.queues {
            queue.entries.retain(|entry| entry != id);
        }
        self.set_status(id, TaskStatus::Stopped, "", "Stopped by somebody");
    }

    /// Changes a status where the rules allow it.
    pub(super) fn transition(
        &mut self,
        id: &TaskId,
        status: TaskStatus,
        reason: &str,
        message: &str,
    ) -> Result<(), ClientError> {
        let task = self.known_task(id)?;
        if !task.status.may_become(status) {
            return Err(status_refused(task.status, status));
        }
        self.set_status(id, status, reason, message);
        Ok(())
    }

    pub(super) fn start(
        &mut self,
        id: &TaskId,
        reason: &str,
        message: &str,
        expected: &[TaskStatus],
    ) -> Result<(), ClientError> {
        let checks = !self.extensions.is_empty() && !expected.is_empty();
        let task = self.known_task(id)?;
        if checks && (!expected.contains(&task.status) || task.is_stopping()) {
            return Err(status_refused(task.status, TaskStatus::InProgress));
        }
        self.set_status(id, TaskStatus::InProgress, reason, message);
        if let Some(rival) = self.rival.take() {
            self.set_status(id, TaskStatus::InProgress, reason, &rival);
        }
        Ok(())
    }

    pub(super) fn enqueue(&mut self, id: &TaskId, queue: &QueueId) -> Result<(), ClientError> {
        let status = self.known_task(id)?.status;
        let entries = &self.known_queue(queue)?.entries;
        if status == TaskStatus::Queued && entries.contains(id) {
            return Ok(());
        }
        if !status.may_become(TaskStatus::Queued) && status != TaskStatus::InProgress {
            return Err(status_refused(status, TaskStatus::Queued));
        }
        for other in &mut self.queues {
            other.entries.retain(|entry| entry != id);
        }
        self.known_queue(queue)?.entries.push(id.clone());
        self.set_status(id, TaskStatus::Queued, "", "");
        Ok(())
    }
}

fn status_refused(current: TaskStatus, new: TaskStatus) -> ClientError {
    let details: [(&str, &dyn std::fmt::Display); 2] = [("current_status", &current), ("new_status", &new)];
    refused("tasks", ApiError::invalid_task_status("Invalid status change", &details))
}
