//! Scalars as curves and as single values.

use std::collections::HashMap;

use protocols::clearml::error::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::request::{MetricVariants, check_count, filter, known_owner, size};
use super::scroll;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, Axis, Kind, MetricFilter, Sampled, SeriesRow};
use crate::store::{Snapshot, StoreResult};

/// Points of a curve when the request does not say, and at most.
const DEFAULT_SAMPLES: usize = 2_000;
const MAX_SAMPLES: i64 = 6_000;

/// Points of a page of raw scalars when the request does not say, and at most.
const DEFAULT_RAW_POINTS: usize = 10_000;
const MAX_RAW_POINTS: i64 = 200_000;

/// What clients want on the x axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    #[default]
    Iter,
    Timestamp,
    IsoTime,
}

impl Key {
    fn axis(self) -> Axis {
        match self {
            Self::Iter => Axis::Iteration,
            Self::Timestamp | Self::IsoTime => Axis::Timestamp,
        }
    }

    fn show(self, x: i64) -> Value {
        match self {
            Self::Iter | Self::Timestamp => x.into(),
            Self::IsoTime => iso_time(x).into(),
        }
    }
}

/// The form that the SDK itself makes of a timestamp: milliseconds and a `Z`.
fn iso_time(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

#[derive(Debug, Deserialize)]
struct Histogram {
    task: Option<String>,
    #[serde(default)]
    tasks: Vec<String>,
    samples: Option<i64>,
    #[serde(default)]
    key: Key,
    metrics: Option<Vec<MetricVariants>>,
    #[serde(default)]
    model_events: bool,
}

/// `events.scalar_metrics_iter_histogram`: `{metric: {variant: {name, x, y}}}`, without anything around it.
pub(super) async fn histogram(state: &State, call: &Call) -> Reply {
    let request: Histogram = call.arguments()?;
    let task = request.task.ok_or_else(|| ApiError::missing_field("task"))?;
    let samples = size("samples", request.samples, DEFAULT_SAMPLES, MAX_SAMPLES)?;
    let filter = filter(request.metrics);
    let (key, is_model) = (request.key, request.model_events);
    state
        .store
        .read(move |connection| {
            known_owner(connection, &task, is_model)?;
            let mut metrics = Map::new();
            for (series, curve) in curves(connection, &task, &filter, key, samples)? {
                let mut shown = show(key, &series.variant, curve);
                if let Some(label) = &series.x_axis_label {
                    shown.insert("x_axis_label".to_owned(), label.as_str().into());
                }
                insert(&mut metrics, &[&series.metric, &series.variant], Value::Object(shown));
            }
            Ok(Value::Object(metrics))
        })
        .await
}

/// `events.multi_task_scalar_metrics_iter_histogram`: the same of several tasks, for comparison.
pub(super) async fn multi_task_histogram(state: &State, call: &Call) -> Reply {
    let request: Histogram = call.arguments()?;
    check_count(&request.tasks)?;
    let samples = size("samples", request.samples, DEFAULT_SAMPLES, MAX_SAMPLES)?;
    let filter = filter(request.metrics);
    let (key, is_model) = (request.key, request.model_events);
    state
        .store
        .read(move |connection| {
            let mut metrics = Map::new();
            for task in &request.tasks {
                let facts = known_owner(connection, task, is_model)?;
                for (series, curve) in curves(connection, task, &filter, key, samples)? {
                    let shown = Value::Object(show(key, &facts.name, curve));
                    insert(&mut metrics, &[&series.metric, &series.variant, task], shown);
                }
            }
            Ok(json!({"metrics": metrics}))
        })
        .await
}

fn curves(
    connection: &Snapshot,
    task: &str,
    filter: &MetricFilter,
    key: Key,
    samples: usize,
) -> StoreResult<Vec<(SeriesRow, Sampled)>> {
    let Some(owner) = events::owner_of(connection, task)? else { return Ok(Vec::new()) };
    let mut curves = Vec::new();
    for series in events::series_of(connection, owner, &[Kind::Scalar], filter)? {
        let curve = events::sampled(connection, &series, key.axis(), samples)?;
        if !curve.x.is_empty() {
            curves.push((series, curve));
        }
    }
    Ok(curves)
}

fn show(key: Key, name: &str, curve: Sampled) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), name.into());
    shown.insert("x".to_owned(), curve.x.into_iter().map(|x| key.show(x)).collect());
    shown.insert("y".to_owned(), curve.y.into());
    shown
}

/// Puts `value` at a path of objects.
pub(super) fn insert(root: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut object = root;
    for parent in parents {
        let child = object.entry(*parent).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(child) = child else { return };
        object = child;
    }
    object.insert((*last).to_owned(), value);
}

#[derive(Debug, Deserialize)]
struct SingleValues {
    tasks: Vec<String>,
    metrics: Option<Vec<MetricVariants>>,
    #[serde(default)]
    model_events: bool,
}

/// `events.get_task_single_value_metrics`: tasks without any are left out.
pub(super) async fn get_task_single_value_metrics(state: &State, call: &Call) -> Reply {
    let request: SingleValues = call.arguments()?;
    check_count(&request.tasks)?;
    let filter = filter(request.metrics);
    state
        .store
        .read(move |connection| {
            let mut tasks = Vec::new();
            for task in &request.tasks {
                let facts = known_owner(connection, task, request.model_events)?;
                let values = single_values(connection, task, &filter)?;
                if !values.is_empty() {
                    tasks.push(json!({"task": task, "task_name": facts.name, "values": values}));
                }
            }
            Ok(json!({"tasks": tasks}))
        })
        .await
}

fn single_values(connection: &Snapshot, task: &str, filter: &MetricFilter) -> StoreResult<Vec<Value>> {
    let Some(owner) = events::owner_of(connection, task)? else { return Ok(Vec::new()) };
    let mut values = Vec::new();
    for series in events::series_of(connection, owner, &[Kind::Scalar], filter)? {
        if let Some(point) = events::single_value(connection, series.key)? {
            values.push(json!({
                "metric": series.metric, "variant": series.variant, "value": point.value, "timestamp": point.timestamp,
            }));
        }
    }
    Ok(values)
}

/// Points of the curves; single values are none.
fn count(connection: &Snapshot, series: &[SeriesRow]) -> StoreResult<i64> {
    series.iter().try_fold(0, |points, one| {
        let is_single = events::single_value(connection, one.key)?.is_some();
        Ok(points + one.events - i64::from(is_single))
    })
}

#[derive(Debug, Deserialize)]
struct Raw {
    task: String,
    metric: MetricVariants,
    #[serde(default)]
    key: Key,
    batch_size: Option<i64>,
    #[serde(default)]
    count_total: bool,
    scroll_id: Option<String>,
    #[serde(default)]
    model_events: bool,
}

/// Where a reader of raw scalars is.
#[derive(Debug, Serialize, Deserialize)]
struct RawPosition {
    /// Series that are read to their end.
    done: usize,
    /// Last iteration read of the next series.
    after: Option<i64>,
}

/// `events.scalar_metrics_iter_raw`: every point, variant after variant.
pub(super) async fn raw(state: &State, call: &Call) -> Reply {
    let request: Raw = call.arguments()?;
    let size = size("batch_size", request.batch_size, DEFAULT_RAW_POINTS, MAX_RAW_POINTS)?;
    let filter = filter(Some(vec![request.metric]));
    let mut position: RawPosition = match &request.scroll_id {
        Some(id) => scroll::decode(id)?,
        None => RawPosition { done: 0, after: None },
    };
    let (key, count_total) = (request.key, request.count_total);
    state
        .store
        .read(move |connection| {
            known_owner(connection, &request.task, request.model_events)?;
            let series = match events::owner_of(connection, &request.task)? {
                // Ordered by their numbers: a series that is born while somebody reads comes last.
                Some(owner) => {
                    let mut series = events::series_of(connection, owner, &[Kind::Scalar], &filter)?;
                    series.sort_by_key(|one| one.key);
                    series
                }
                None => Vec::new(),
            };
            let mut variants: HashMap<&str, Map<String, Value>> = HashMap::new();
            let mut returned = 0;
            while let Some(one) = series.get(position.done).filter(|_| returned < size) {
                let points = events::raw_points(connection, one.key, position.after, size - returned)?;
                match points.last() {
                    Some(last) => position.after = Some(last.iter),
                    None => position = RawPosition { done: position.done + 1, after: None },
                }
                if !points.is_empty() {
                    returned += points.len();
                    let (name, x): (_, Value) = match key {
                        Key::Iter => ("iter", points.iter().map(|point| point.iter).collect()),
                        Key::Timestamp => ("timestamp", points.iter().map(|point| point.timestamp).collect()),
                        Key::IsoTime => ("iso_time", points.iter().map(|point| iso_time(point.timestamp)).collect()),
                    };
                    let shown = variants.entry(one.variant.as_str()).or_default();
                    shown.insert("name".to_owned(), one.variant.as_str().into());
                    shown.insert(name.to_owned(), x);
                    shown.insert("y".to_owned(), points.iter().map(|point| point.value).collect());
                }
            }
            let total = if count_total { Some(count(connection, &series)?) } else { None };
            let scroll_id = scroll::encode(&position)?;
            Ok(json!({"variants": variants, "returned": returned, "total": total, "scroll_id": scroll_id}))
        })
        .await
}
