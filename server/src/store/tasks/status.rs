//! Changes of status. The transition table itself is in `protocols`.

use protocols::clearml::error::ApiError;
use protocols::clearml::status::TaskStatus;

use super::{DEVELOPMENT, Task, TaskUpdate, forbidden_by_status};
use crate::auth::Identity;
use crate::store::query::Row;
use crate::store::shared::Shared;
use crate::store::{StoreResult, Tx, queues};
use crate::time::{self, Micros};

/// Status message of a running task whose end was asked for; its worker looks for exactly this.
pub(crate) const STOPPING: &str = "stopping";

/// A worker that was not heard of for so long does not run the task any more.
const WORKER_SILENCE: Micros = 600 * 1_000_000;

/// A wanted change of status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transition<'a> {
    /// The new status.
    pub(crate) to: TaskStatus,
    /// Why, for users.
    pub(crate) reason: &'a str,
    /// What is going on, for programs.
    pub(crate) message: &'a str,
    /// Does it whatever the transition table says.
    pub(crate) force: bool,
}

/// Changes the status of a task, together with `update`; returns the changed fields.
///
/// The read of `task` and this write are in one transaction of the only writer, so nobody can come between.
pub(crate) fn transition(
    tx: &Tx<'_>,
    task: &Task,
    wanted: Transition<'_>,
    by: &Identity,
    mut update: TaskUpdate,
) -> StoreResult<Row> {
    let Transition { to, reason, message, force } = wanted;
    if !force && !task.status.may_become(to) {
        let details: [(&str, &dyn std::fmt::Display); 2] = [("current_status", &task.status), ("new_status", &to)];
        return Err(ApiError::invalid_task_status("Invalid status change", &details).into());
    }
    let now = time::now();
    // A stop that was asked for is never forgotten, even by a forced start that crosses it: stock servers
    // overwrite the message here, and the abort is lost.
    let message = if task.is_stopping() && to == TaskStatus::InProgress { STOPPING } else { message };
    update
        .progress()
        .text("status", to.as_str())
        .text("status_reason", reason)
        .text("status_message", message)
        .time("status_changed", now);
    if to == TaskStatus::Queued && task.has_system_tag(DEVELOPMENT) {
        let tags = task.system_tags.iter().filter(|tag| *tag != DEVELOPMENT).cloned().collect();
        update.texts("system_tags", tags);
    }
    if task.status == TaskStatus::Queued && to != TaskStatus::Queued {
        queues::remove_from_all(tx, &task.id)?;
    }
    if task.status == TaskStatus::InProgress
        && to != TaskStatus::InProgress
        && let Some(started) = task.started
    {
        update.integer("active_duration", (now - started) / 1_000_000);
    }
    if let Some(project) = &task.project {
        tx.at_commit(Shared::Project { id: project.clone(), now });
    }
    update.apply(tx, &task.id, &by.user_id)
}

/// Marks a task as running. `expected`, when it is not empty, names the statuses that it must have; then a stop
/// that was asked for is a refusal too.
pub(crate) fn start(
    tx: &Tx<'_>,
    task: &Task,
    expected: &[TaskStatus],
    wanted: Transition<'_>,
    by: &Identity,
) -> StoreResult<Row> {
    if !expected.is_empty() && (!expected.contains(&task.status) || task.is_stopping()) {
        return Err(forbidden_by_status(task, "The task is not in an expected status").into());
    }
    let mut update = TaskUpdate::default();
    if task.status != TaskStatus::InProgress || task.started.is_none() {
        update.time("started", time::now()).unset("completed").unset("active_duration");
    }
    transition(tx, task, wanted, by, update)
}

/// Ends a task, or asks the worker that runs it to end it.
pub(crate) fn stop(tx: &Tx<'_>, task: &Task, reason: &str, force: bool, by: &Identity) -> StoreResult<Row> {
    let is_heard_of = time::now() - task.last_update <= WORKER_SILENCE;
    let is_run_by_worker = task.last_worker.is_some() && is_heard_of && !task.has_system_tag(DEVELOPMENT);
    if task.status == TaskStatus::InProgress && is_run_by_worker {
        let wanted = Transition { to: TaskStatus::InProgress, reason, message: STOPPING, force };
        return transition(tx, task, wanted, by, TaskUpdate::default());
    }
    let message = format!("Stopped by {}", by.user_name);
    let wanted = Transition { to: TaskStatus::Stopped, reason, message: &message, force };
    transition(tx, task, wanted, by, TaskUpdate::default())
}
