//! What the agent asks of a ClearML server, as an interface: the real client and the fake implement it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::future::BoxFuture;
use protocols::clearml::events::{LogEvent, ScalarEvent};
use protocols::clearml::extension::WatchedTask;
use protocols::clearml::queues::QueueSummary;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::clearml::workers::StatusReport;
use protocols::ids::{QueueId, TaskId, WorkerId};
use serde_json::{Map, Value};

use super::ClientError;

/// Answer of a [`TaskServer`] method.
pub type ServerFuture<'a, T> = BoxFuture<'a, Result<T, ClientError>>;

/// A ClearML server. Every method is one try: whether and when to try again is the caller's decision, on
/// [`ClientError::is_transient`].
pub trait TaskServer: Send + Sync + std::fmt::Debug + 'static {
    /// Makes sure that the server is there and lets us in.
    fn login(&self) -> ServerFuture<'_, ()>;

    /// Hostler's extensions that the server has, by endpoint name, with their versions. Empty for a stock server.
    fn extensions(&self) -> ServerFuture<'_, BTreeMap<String, u64>>;

    /// The queue that a person means: an id, or a name (exact, else regardless of case).
    fn queue_by_name_or_id<'a>(&'a self, queue: &'a str) -> ServerFuture<'a, QueueSummary>;

    /// The server's default queue; where it has none, or several, the one named `default`.
    fn default_queue(&self) -> ServerFuture<'_, QueueSummary>;

    /// Makes a queue; one that exists already is answered as it is.
    fn create_queue<'a>(&'a self, name: &'a str) -> ServerFuture<'a, QueueSummary>;

    /// All waiting tasks of a queue, next first.
    fn queue_entries<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<TaskId>>;

    /// The next task of each queue, in the order asked for. A queue that does not exist (any more) is left out.
    fn queues_heads<'a>(&'a self, queues: &'a [QueueId]) -> ServerFuture<'a, Vec<(QueueId, Option<TaskId>)>>;

    /// Takes the next task from a queue. Destructive: the entry is gone, the task stays `queued`.
    ///
    /// With `expected` only that task is taken. A server older than API 2.21 does not know the condition and may
    /// give another: compare. When the call fails and [`ClientError::is_undecided`], look at
    /// [`TaskServer::queue_entries`] to find out.
    fn pop<'a>(&'a self, queue: &'a QueueId, expected: Option<&'a TaskId>) -> ServerFuture<'a, Option<TaskId>>;

    /// Takes a task out of a queue, wherever in it it stands; whether it stood there. The task stays `queued`, and of
    /// two who try only one hears that it did.
    fn leave_queue<'a>(&'a self, queue: &'a QueueId, task: &'a TaskId) -> ServerFuture<'a, bool>;

    /// Waits until one of the queues has an entry and answers its head, without taking it; `None` after `timeout`.
    /// Only where [`TaskServer::extensions`] has it.
    fn wait_for_queues<'a>(
        &'a self,
        queues: &'a [QueueId],
        timeout: Duration,
    ) -> ServerFuture<'a, Option<(QueueId, TaskId)>>;

    /// Waits until one of the tasks is to be stopped, or is no longer `in_progress`, and answers those that are;
    /// empty after `timeout`. Only where [`TaskServer::extensions`] has it.
    fn wait_for_tasks<'a>(&'a self, tasks: &'a [TaskId], timeout: Duration) -> ServerFuture<'a, Vec<WatchedTask>>;

    /// A whole task; `None` where it does not exist (any more).
    fn task<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, Option<Task>>;

    /// What tells how much of the machine tasks want, of many at once: name, user properties and container. A task that
    /// does not exist (any more) is left out.
    fn task_wishes<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, HashMap<TaskId, Task>>;

    /// The workers that served a queue in the last minutes, on all machines.
    fn queue_workers<'a>(&'a self, queue: &'a QueueId) -> ServerFuture<'a, Vec<WorkerId>>;

    /// Status and status message of many tasks at once, in the order asked for; `status` is absent where a task
    /// does not exist (any more).
    fn task_statuses<'a>(&'a self, tasks: &'a [TaskId]) -> ServerFuture<'a, Vec<WatchedTask>>;

    /// Makes the task `in_progress`, by force. A server with Hostler's extension refuses it
    /// ([`ClientError::is_status_refused`]) unless the status is one of `expected` and no stop was asked for; with an
    /// empty `expected`, and on a stock server, it is not checked, and the message, `stopping` among them, is lost.
    fn started<'a>(
        &'a self,
        task: &'a TaskId,
        reason: &'a str,
        message: &'a str,
        expected: &'a [TaskStatus],
    ) -> ServerFuture<'a, ()>;

    /// Makes the task `completed`. Success too where it is that already; [`ClientError::is_status_refused`] where
    /// the status it has forbids it.
    fn completed<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()>;

    /// Makes the task `failed`; otherwise as [`TaskServer::completed`].
    fn failed<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()>;

    /// Makes the task `stopped`; otherwise as [`TaskServer::completed`].
    fn stopped<'a>(&'a self, task: &'a TaskId, reason: &'a str, message: &'a str) -> ServerFuture<'a, ()>;

    /// Tells that the task is alive.
    fn ping<'a>(&'a self, task: &'a TaskId) -> ServerFuture<'a, ()>;

    /// Gives a task back to a queue, by force where it is `in_progress`. Success too where it waits there already.
    fn enqueue<'a>(&'a self, task: &'a TaskId, queue: &'a QueueId) -> ServerFuture<'a, ()>;

    /// Replaces the task's requirements, package manager name to requirements.
    fn set_requirements<'a>(&'a self, task: &'a TaskId, requirements: Value) -> ServerFuture<'a, ()>;

    /// Records which commit is run.
    fn set_commit<'a>(&'a self, task: &'a TaskId, commit: &'a str) -> ServerFuture<'a, ()>;

    /// Records which container it runs in: the whole of `container`.
    fn set_container<'a>(&'a self, task: &'a TaskId, container: Value) -> ServerFuture<'a, ()>;

    /// Sets runtime properties of the task; others stay. Not atomic on servers that have no `tasks.edit_runtime`.
    fn edit_runtime<'a>(&'a self, task: &'a TaskId, add: Map<String, Value>) -> ServerFuture<'a, ()>;

    /// Makes a worker known.
    fn register_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()>;

    /// Takes a worker off the list; one that is not there is no error.
    fn unregister_worker<'a>(&'a self, worker: &'a WorkerId, queues: &'a [QueueId]) -> ServerFuture<'a, ()>;

    /// Sets a runtime property of a worker; others stay. Not every server keeps such: the stock one answers 404.
    fn set_worker_property<'a>(&'a self, worker: &'a WorkerId, key: &'a str, value: &'a str) -> ServerFuture<'a, ()>;

    /// A worker's heartbeat.
    fn status_report(&self, report: StatusReport) -> ServerFuture<'_, ()>;

    /// Adds console events, in one request; answers how many were stored. Nothing is sent for an empty slice.
    ///
    /// Not idempotent: when the call fails and [`ClientError::is_undecided`], look at [`TaskServer::logs_since`]
    /// before sending the batch again.
    fn add_logs<'a>(&'a self, events: &'a [LogEvent]) -> ServerFuture<'a, u64>;

    /// Adds points of plots, in one request. Points that arrive twice are one.
    fn add_scalars<'a>(&'a self, events: &'a [ScalarEvent]) -> ServerFuture<'a, ()>;

    /// Every console event of a task from `timestamp_ms` (milliseconds since the epoch, included) on, oldest first.
    fn logs_since<'a>(&'a self, task: &'a TaskId, timestamp_ms: i64) -> ServerFuture<'a, Vec<LogEvent>>;
}
