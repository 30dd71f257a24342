//! Deletes events.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::json;

use super::request::known_owner;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::StoreResult;
use crate::store::events::{self, ClearLog, OwnerFacts};
use crate::time;

#[derive(Debug, Deserialize)]
struct Delete {
    task: Option<String>,
    model: Option<String>,
    #[serde(default)]
    allow_locked: bool,
}

/// `events.delete_for_task`.
pub(super) async fn delete_for_task(state: &State, call: &Call) -> Reply {
    let request: Delete = call.arguments()?;
    let task = request.task.ok_or_else(|| ApiError::missing_field("task"))?;
    delete(state, task, false, request.allow_locked).await
}

/// `events.delete_for_model`.
pub(super) async fn delete_for_model(state: &State, call: &Call) -> Reply {
    let request: Delete = call.arguments()?;
    let model = request.model.ok_or_else(|| ApiError::missing_field("model"))?;
    delete(state, model, true, request.allow_locked).await
}

async fn delete(state: &State, id: String, is_model: bool, allow_locked: bool) -> Reply {
    let deleted = state
        .store
        .write(move |tx| {
            check_unlocked(&known_owner(tx, &id, is_model)?, &id, is_model, allow_locked)?;
            events::delete_owner(tx, &id)
        })
        .await?;
    Ok(json!({"deleted": deleted > 0}))
}

fn check_unlocked(facts: &OwnerFacts, id: &str, is_model: bool, allow_locked: bool) -> StoreResult<()> {
    if allow_locked || !facts.is_locked() {
        return Ok(());
    }
    if is_model {
        return Err(ApiError::model_is_ready("", &[("id", &id)]).into());
    }
    Err(ApiError::new(400, 113, format!("Task published: id={id}")).into())
}

#[derive(Debug, Deserialize)]
struct ClearTaskLog {
    task: String,
    #[serde(default)]
    allow_locked: bool,
    #[serde(default)]
    threshold_sec: i64,
    #[serde(default)]
    include_metrics: Vec<String>,
    #[serde(default)]
    exclude_metrics: Vec<String>,
}

/// `events.clear_task_log`: removes the console lines that are older than `threshold_sec`, or all of them; of some metrics
/// only, or not of some. In steps, so that other writes go on meanwhile; when it is interrupted, a second call does the
/// rest.
pub(super) async fn clear_task_log(state: &State, call: &Call) -> Reply {
    let request: ClearTaskLog = call.arguments()?;
    let before = match request.threshold_sec {
        0 => i64::MAX,
        seconds => (time::now() / 1000).saturating_sub(seconds.saturating_mul(1000)),
    };
    let mut clear = ClearLog {
        before,
        include: request.include_metrics,
        exclude: request.exclude_metrics,
        after: (i64::MIN, i64::MIN),
    };
    let mut deleted = 0;
    loop {
        let (task, allow_locked, mut step) = (request.task.clone(), request.allow_locked, clear.clone());
        let removed = state
            .store
            .write(move |tx| {
                check_unlocked(&known_owner(tx, &task, false)?, &task, false, allow_locked)?;
                let removed = match events::owner_of(tx, &task)? {
                    Some(owner) => events::clear_log_step(tx, owner, &mut step)?,
                    None => None,
                };
                Ok(removed.map(|removed| (removed, step)))
            })
            .await?;
        let Some((removed, next)) = removed else { return Ok(json!({"deleted": deleted})) };
        deleted += removed;
        clear = next;
    }
}
