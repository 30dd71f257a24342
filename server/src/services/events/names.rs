//! Which metrics and variants tasks have.

use std::collections::{BTreeMap, BTreeSet};

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{check_count, known_owner};
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, Kind, MetricFilter, SeriesRow};

#[derive(Debug, Deserialize)]
struct Names {
    task: Option<String>,
    #[serde(default)]
    tasks: Vec<String>,
    event_type: Option<String>,
    #[serde(default)]
    model_events: bool,
}

/// Variants by metric.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// `events.get_task_metrics`: the metrics of each task.
pub(super) async fn get_task_metrics(state: &State, call: &Call) -> Reply {
    let request: Names = call.arguments()?;
    check_count(&request.tasks)?;
    let kinds = kinds(request.event_type.as_deref())?;
    let found = metrics(state, request.tasks, kinds, request.model_events).await?;
    let metrics: Vec<Value> = found
        .iter()
        .map(|(task, metrics)| json!({"task": task, "metrics": metrics.keys().collect::<Vec<_>>()}))
        .collect();
    Ok(json!({"metrics": metrics}))
}

/// `events.get_multi_task_metrics`: the metrics and variants of all the tasks together.
pub(super) async fn get_multi_task_metrics(state: &State, call: &Call) -> Reply {
    let request: Names = call.arguments()?;
    check_count(&request.tasks)?;
    let kinds = kinds(request.event_type.as_deref())?;
    let mut together = Metrics::new();
    for (_, metrics) in metrics(state, request.tasks, kinds, request.model_events).await? {
        for (metric, variants) in metrics {
            together.entry(metric).or_default().extend(variants);
        }
    }
    let metrics: Vec<Value> =
        together.iter().map(|(metric, variants)| json!({"metric": metric, "variants": variants})).collect();
    Ok(json!({"metrics": metrics}))
}

/// `events.get_scalar_metrics_and_variants`: `{metric: [variants]}`.
pub(super) async fn get_scalar_metrics_and_variants(state: &State, call: &Call) -> Reply {
    variants_of(state, call, Kind::Scalar).await
}

/// `events.get_vector_metrics_and_variants`: `{metric: [variants]}`.
pub(super) async fn get_vector_metrics_and_variants(state: &State, call: &Call) -> Reply {
    variants_of(state, call, Kind::Vector).await
}

async fn variants_of(state: &State, call: &Call, kind: Kind) -> Reply {
    let request: Names = call.arguments()?;
    let task = request.task.ok_or_else(|| ApiError::missing_field("task"))?;
    let found = metrics(state, vec![task], vec![kind], request.model_events).await?;
    Ok(json!({"metrics": found.into_iter().next().map(|(_, metrics)| metrics).unwrap_or_default()}))
}

fn kinds(event_type: Option<&str>) -> Result<Vec<Kind>, ApiError> {
    match event_type {
        None | Some("*") => Ok(Kind::ALL.to_vec()),
        Some("log") => Ok(Vec::new()),
        Some(name) => match Kind::from_event_type(name) {
            Some(kind) => Ok(vec![kind]),
            None => Err(ApiError::bad_field("event_type", &format!("unknown event type {name}"))),
        },
    }
}

async fn metrics(
    state: &State,
    tasks: Vec<String>,
    kinds: Vec<Kind>,
    is_model: bool,
) -> Result<Vec<(String, Metrics)>, ApiError> {
    state
        .store
        .read(move |connection| {
            let mut found = Vec::new();
            for task in tasks {
                known_owner(connection, &task, is_model)?;
                let mut metrics = Metrics::new();
                if let Some(owner) = events::owner_of(connection, &task)? {
                    for series in events::series_of(connection, owner, &kinds, &MetricFilter::default())? {
                        metrics.entry(series.metric).or_default().insert(series.variant);
                    }
                }
                found.push((task, metrics));
            }
            Ok(found)
        })
        .await
}

/// `events.get_task_latest_scalar_values`: last values of all curves that are above zero.
pub(super) async fn get_task_latest_scalar_values(state: &State, call: &Call) -> Reply {
    let request: Names = call.arguments()?;
    let task = request.task.ok_or_else(|| ApiError::missing_field("task"))?;
    state
        .store
        .read(move |connection| {
            let facts = known_owner(connection, &task, request.model_events)?;
            let series = match events::owner_of(connection, &task)? {
                Some(owner) => events::series_of(connection, owner, &[Kind::Scalar], &MetricFilter::default())?,
                None => Vec::new(),
            };
            let last_timestamp = series.iter().map(|one| one.last_timestamp).max();
            let mut metrics: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
            for (one, value) in series.iter().filter_map(above_zero) {
                metrics.entry(&one.metric).or_default().push(json!({
                    "name": one.variant, "last_value": value, "last_timestamp": one.last_timestamp,
                }));
            }
            let metrics: Vec<Value> =
                metrics.into_iter().map(|(name, variants)| json!({"name": name, "variants": variants})).collect();
            Ok(json!({
                "metrics": metrics, "last_iter": facts.last_iteration, "name": facts.name, "status": facts.status,
                "last_timestamp": last_timestamp,
            }))
        })
        .await
}

fn above_zero(series: &SeriesRow) -> Option<(&SeriesRow, f64)> {
    series.last.filter(|(value, _)| *value > 0.0).map(|(value, _)| (series, value))
}
