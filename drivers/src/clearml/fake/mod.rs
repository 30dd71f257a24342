//! A ClearML server in memory, for tests of actors: deterministic, in virtual time, with failures on order.
//!
//! Methods are named as in [`TaskServer`](super::TaskServer), for example `"pop"`.

mod methods;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use protocols::clearml::events::LogEvent;
use protocols::clearml::extension::{WAIT_FOR_QUEUES, WAIT_FOR_TASKS};
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::{Script, Task};
use protocols::clearml::workers::StatusReport;
use protocols::ids::{QueueId, TaskId, WorkerId};
use tokio::sync::Notify;

use super::{ClientError, ServerFuture};
use state::{Failure, State};

/// A worker as the server knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FakeWorker {
    /// Whether it is registered now.
    pub is_registered: bool,
    /// Its queues, as told last.
    pub queues: Vec<QueueId>,
    /// Every status report of it, oldest first.
    pub reports: Vec<StatusReport>,
}

/// One call of a method, recorded when it began, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeCall {
    /// Name of the method.
    pub method: &'static str,
    /// The task, queue or worker that it was about; several are joined with commas.
    pub subject: String,
    /// When, by tokio's clock.
    pub at: tokio::time::Instant,
}

/// One change of a task's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The new status.
    pub status: TaskStatus,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// The server. Clones are the same server.
#[derive(Clone, Debug, Default)]
pub struct FakeServer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl FakeServer {
    /// A stock server: empty, without Hostler's extensions.
    pub fn new() -> Self {
        Self::default()
    }

    /// A server that has Hostler's extensions.
    pub fn with_extensions() -> Self {
        let server = Self::default();
        server.change(|state| {
            state.extensions = [WAIT_FOR_QUEUES, WAIT_FOR_TASKS].map(|name| (name.to_owned(), 1)).into();
        });
        server
    }

    /// Adds an empty queue. The first one is the default queue.
    pub fn add_queue(&self, id: &str, name: &str) -> QueueId {
        self.change(|state| state.add_queue(QueueId::from(id), name));
        QueueId::from(id)
    }

    /// Removes a queue; its tasks stay as they are.
    pub fn remove_queue(&self, queue: &QueueId) {
        self.change(|state| state.queues.retain(|candidate| candidate.id != *queue));
    }

    /// Adds or replaces a task as it is.
    pub fn add_task(&self, task: Task) {
        self.change(|state| {
            state.tasks.insert(task.task_id(), task);
        });
    }

    /// Adds a task that runs a literal script, and puts it at the end of a queue.
    pub fn add_queued_task(&self, id: &str, queue: &QueueId) -> TaskId {
        let script = Script {
            diff: "print('hello')\n".to_owned(),
            entry_point: "script.py".to_owned(),
            binary: "python3".to_owned(),
            ..Script::default()
        };
        let id = TaskId::from(id);
        let task = Task {
            id: id.as_str().to_owned(),
            name: id.as_str().to_owned(),
            status: TaskStatus::Queued,
            script: Some(script),
            ..Task::default()
        };
        self.change(|state| {
            state.tasks.insert(id.clone(), task);
            if let Some(queue) = state.queue_mut(queue) {
                queue.entries.push(id.clone());
            }
        });
        id
    }

    /// Removes a task from everywhere.
    pub fn remove_task(&self, task: &TaskId) {
        self.change(|state| {
            state.tasks.remove(task);
            for queue in &mut state.queues {
                queue.entries.retain(|entry| entry != task);
            }
        });
    }

    /// A person asks for the task to stop: one that runs is marked, any other is `stopped` and leaves its queue.
    pub fn request_stop(&self, task: &TaskId) {
        self.change(|state| state.request_stop(task));
    }

    /// Gives the task a status, as a person or the SDK may.
    pub fn set_status(&self, task: &TaskId, status: TaskStatus, message: &str) {
        self.change(|state| state.set_status(task, status, "", message));
    }

    /// The task as it is now.
    pub fn task_now(&self, task: &TaskId) -> Option<Task> {
        self.state().tasks.get(task).cloned()
    }

    /// Every change of the task's status, oldest first.
    pub fn history(&self, task: &TaskId) -> Vec<StatusChange> {
        self.state().history.get(task).cloned().unwrap_or_default()
    }

    /// The task's console events, in the order of their arrival.
    pub fn logs(&self, task: &TaskId) -> Vec<LogEvent> {
        self.state().logs.get(task).cloned().unwrap_or_default()
    }

    /// The task's console as one text.
    pub fn console(&self, task: &TaskId) -> String {
        self.logs(task).into_iter().map(|event| event.msg).collect()
    }

    /// The tasks that wait in a queue, next first.
    pub fn entries(&self, queue: &QueueId) -> Vec<TaskId> {
        self.state().queue(queue).map(|queue| queue.entries.clone()).unwrap_or_default()
    }

    /// What is known of a worker.
    pub fn worker(&self, worker: &WorkerId) -> Option<FakeWorker> {
        self.state().workers.get(worker).cloned()
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<FakeCall> {
        self.state().calls.clone()
    }

    /// How often a method has been called.
    pub fn count(&self, method: &str) -> usize {
        self.state().calls.iter().filter(|call| call.method == method).count()
    }

    /// The next call of the method fails before it has any effect. May be ordered several times.
    pub fn fail_next(&self, method: &'static str, error: ClientError) {
        self.change(|state| state.failures.entry(method).or_default().push_back(Failure::Before(error)));
    }

    /// The next call of the method has its effect, and its answer is lost.
    pub fn lose_next_answer(&self, method: &'static str) {
        let error = ClientError::Timeout { url: format!("fake://server/{method}"), seconds: 30 };
        self.change(|state| state.failures.entry(method).or_default().push_back(Failure::After(error)));
    }

    /// Somebody else starts the next task that is started, right after it, and leaves this status message.
    pub fn start_next_again(&self, message: &str) {
        self.change(|state| state.rival = Some(message.to_owned()));
    }

    /// Every call of the method fails, without effect, until [`FakeServer::heal`].
    pub fn fail_always(&self, method: &'static str, error: ClientError) {
        self.change(|state| {
            state.broken.insert(method, error);
        });
    }

    /// Takes back every failure and delay that was ordered for the method.
    pub fn heal(&self, method: &'static str) {
        self.change(|state| {
            state.broken.remove(method);
            state.failures.remove(method);
            state.delays.remove(method);
        });
    }

    /// Every call of the method takes this long, before it has its effect.
    pub fn delay(&self, method: &'static str, delay: Duration) {
        self.change(|state| {
            state.delays.insert(method, delay);
        });
    }

    /// While the server is down, every call fails without effect, and long-polls break off.
    pub fn set_down(&self, is_down: bool) {
        self.change(|state| state.is_down = is_down);
    }

    /// Waits until `condition` holds; it is looked at after every call and every change.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.shared.changed.notify_waiters();
        result
    }

    /// One call: it is recorded, delayed, perhaps failed, and has its effect.
    fn perform<'a, T: Send + 'a>(
        &'a self,
        method: &'static str,
        subject: String,
        effect: impl FnOnce(&mut State) -> Result<T, ClientError> + Send + 'a,
    ) -> ServerFuture<'a, T> {
        async move {
            let failure = self.begin(method, subject).await;
            match failure {
                Some(Failure::Before(error)) => Err(error),
                Some(Failure::After(error)) => self.change(effect).and(Err(error)),
                None => self.change(effect),
            }
        }
        .boxed()
    }

    /// Records the call, waits for its delay, and tells how it is to fail.
    async fn begin(&self, method: &'static str, subject: String) -> Option<Failure> {
        let call = FakeCall { method, subject, at: tokio::time::Instant::now() };
        let delay = self.change(|state| {
            state.calls.push(call);
            state.delays.get(method).copied()
        });
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        self.change(|state| state.next_failure(method))
    }

    /// A long-poll: looks until something is there, the time is over, or the server goes down.
    async fn poll<T: Default>(
        &self,
        timeout: Duration,
        look: impl Fn(&State) -> Result<Option<T>, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.is_down {
                    return Err(state::down());
                }
                if let Some(found) = look(&state)? {
                    return Ok(found);
                }
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(T::default());
            }
        }
    }
}
