//! Pieces that requests of this service have in common.

use protocols::clearml::error::ApiError;
use serde::Deserialize;

use crate::company::COMPANY;
use crate::store::events::{MetricFilter, OwnerFacts, owner_facts};
use crate::store::{Snapshot, StoreResult};

/// Tasks in one request at most.
const MAX_TASKS: usize = 100;

/// A metric and its variants, as clients select them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MetricVariants {
    pub(super) metric: String,
    #[serde(default)]
    pub(super) variants: Option<Vec<String>>,
}

/// The filter that `metrics` of a request means.
pub(super) fn filter(metrics: Option<Vec<MetricVariants>>) -> MetricFilter {
    let metrics = metrics.unwrap_or_default();
    MetricFilter { metrics: metrics.into_iter().map(|one| (one.metric, one.variants.unwrap_or_default())).collect() }
}

/// Looks up the task or model of a request.
///
/// # Errors
/// 400/101 or 400/201 when it does not exist.
pub(super) fn known_owner(connection: &Snapshot, id: &str, is_model: bool) -> StoreResult<OwnerFacts> {
    let facts = owner_facts(connection, id, is_model)?;
    let unknown = if is_model { ApiError::invalid_model_id } else { ApiError::invalid_task_id };
    Ok(facts.ok_or_else(|| unknown("", &[("id", &id), ("company", &COMPANY)]))?)
}

/// Refuses a request for too many tasks.
pub(super) fn check_count(tasks: &[String]) -> Result<(), ApiError> {
    if tasks.is_empty() {
        return Err(ApiError::bad_field("tasks", "at least one is required"));
    }
    if tasks.len() > MAX_TASKS {
        return Err(ApiError::fields_value("too many tasks", &[("tasks", &tasks.len()), ("limit", &MAX_TASKS)]));
    }
    Ok(())
}

/// A size that a request asks for: refused when it is not positive, cut to `high` when it is larger than that.
pub(super) fn size(field: &str, value: Option<i64>, default: usize, high: i64) -> Result<usize, ApiError> {
    match value {
        None => Ok(default),
        Some(value) if value < 1 => Err(ApiError::bad_field(field, "must be at least 1")),
        Some(value) => Ok(usize::try_from(value.min(high)).unwrap_or(default)),
    }
}
