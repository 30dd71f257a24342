//! Changes of status.

use protocols::clearml::error::ApiError;
use protocols::clearml::extension::EXPECTED_STATUS;
use protocols::clearml::status::TaskStatus;
use serde::Deserialize;
use serde_json::Value;

use super::{ManyTasks, OneTask, PipelineSteps, Reasons, updated, updated_and};
use crate::auth::Identity;
use crate::http::{Call, Reply};
use crate::services::batch;
use crate::state::State;
use crate::store::tasks::{self, Task, TaskUpdate, Transition};
use crate::store::{StoreResult, Tx};
use crate::time;

impl Reasons {
    fn to(&self, to: TaskStatus) -> Transition<'_> {
        Transition { to, reason: &self.status_reason, message: &self.status_message, force: self.force }
    }
}

/// Marks a task as running. With `expected_status`, only from one of those, and not when it is to be stopped.
pub(super) async fn started(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let reasons: Reasons = call.arguments()?;
    let expected = expected_status(call.body.get(EXPECTED_STATUS))?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let task = Task::require(tx, &task)?;
            tasks::start(tx, &task, &expected, reasons.to(TaskStatus::InProgress), &by)
        })
        .await?;
    Ok(updated_and(fields, "started", 1))
}

fn expected_status(value: Option<&Value>) -> Result<Vec<TaskStatus>, ApiError> {
    let expected = match value {
        Some(Value::Null) | None => return Ok(Vec::new()),
        Some(single @ Value::String(_)) => serde_json::from_value(single.clone()).map(|status| vec![status]),
        Some(list) => serde_json::from_value(list.clone()),
    };
    expected.map_err(|error| ApiError::bad_field(EXPECTED_STATUS, &error.to_string()))
}

/// Marks a task as stopped or failed.
pub(super) async fn ended(state: &State, call: &Call, to: TaskStatus) -> Reply {
    let OneTask { task } = call.arguments()?;
    let reasons: Reasons = call.arguments()?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let mut update = TaskUpdate::default();
            update.time("completed", time::now());
            tasks::transition(tx, &Task::require(tx, &task)?, reasons.to(to), &by, update)
        })
        .await?;
    Ok(Value::Object(updated(fields)))
}

#[derive(Deserialize)]
struct Publishing {
    #[serde(default)]
    publish: bool,
    publish_model: Option<bool>,
}

/// Marks a task as completed and, if asked, publishes it.
pub(super) async fn completed(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let reasons: Reasons = call.arguments()?;
    let Publishing { publish, .. } = call.arguments()?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let mut update = TaskUpdate::default();
            update.time("completed", time::now());
            let wanted = reasons.to(TaskStatus::Completed);
            let mut fields = tasks::transition(tx, &Task::require(tx, &task)?, wanted, &by, update)?;
            if publish {
                let wanted = reasons.to(TaskStatus::Published);
                fields.extend(tasks::publish(tx, &Task::require(tx, &task)?, wanted, true, &by)?);
            }
            Ok(fields)
        })
        .await?;
    Ok(updated_and(fields, "published", i64::from(publish)))
}

/// Puts a stopped task away.
pub(super) async fn close(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let reasons: Reasons = call.arguments()?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let wanted = reasons.to(TaskStatus::Closed);
            tasks::transition(tx, &Task::require(tx, &task)?, wanted, &by, TaskUpdate::default())
        })
        .await?;
    Ok(Value::Object(updated(fields)))
}

/// Ends a task, or asks its worker to.
pub(super) async fn stop(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let reasons: Reasons = call.arguments()?;
    let steps: PipelineSteps = call.arguments()?;
    let by = call.identity();
    let fields = state.store.write(move |tx| stop_one(tx, &task, &reasons, steps, &by)).await?;
    Ok(Value::Object(updated(fields)))
}

/// [`stop`] for each task.
pub(super) async fn stop_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let reasons: Reasons = call.arguments()?;
    let steps: PipelineSteps = call.arguments()?;
    let by = call.identity();
    let outcome = state
        .store
        .write(move |tx| batch::each(tx, &ids, |id| Ok(updated(stop_one(tx, id, &reasons, steps, &by)?))))
        .await?;
    Ok(Value::Object(outcome.into_answer()))
}

fn stop_one(
    tx: &Tx<'_>,
    id: &str,
    reasons: &Reasons,
    steps: PipelineSteps,
    by: &Identity,
) -> StoreResult<crate::store::query::Row> {
    let task = Task::require(tx, id)?;
    for step in steps.of(tx, &task)? {
        let step = Task::require(tx, &step)?;
        if matches!(step.status, TaskStatus::Queued | TaskStatus::InProgress) {
            tasks::stop(tx, &step, &reasons.status_reason, true, by)?;
        }
    }
    tasks::stop(tx, &task, &reasons.status_reason, reasons.force, by)
}

/// Makes a task read-only for good.
pub(super) async fn publish(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let reasons: Reasons = call.arguments()?;
    let Publishing { publish_model, .. } = call.arguments()?;
    let by = call.identity();
    let fields = state
        .store
        .write(move |tx| {
            let wanted = reasons.to(TaskStatus::Published);
            tasks::publish(tx, &Task::require(tx, &task)?, wanted, publish_model.unwrap_or(true), &by)
        })
        .await?;
    Ok(Value::Object(updated(fields)))
}

/// [`publish`] for each task.
pub(super) async fn publish_many(state: &State, call: &Call) -> Reply {
    let ids = ManyTasks::of(call)?;
    let reasons: Reasons = call.arguments()?;
    let Publishing { publish_model, .. } = call.arguments()?;
    let by = call.identity();
    let outcome = state
        .store
        .write(move |tx| {
            batch::each(tx, &ids, |id| {
                let wanted = reasons.to(TaskStatus::Published);
                let task = Task::require(tx, id)?;
                Ok(updated(tasks::publish(tx, &task, wanted, publish_model.unwrap_or(true), &by)?))
            })
        })
        .await?;
    Ok(Value::Object(outcome.into_answer()))
}
