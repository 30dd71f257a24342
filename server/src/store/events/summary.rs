//! What a task shows of its metrics: `last_metrics`, `unique_metrics`, `metric_stats`.

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Map, Value, json};

use super::model::Kind;
use super::series::{Owner, SeriesRow, owner_of};
use crate::store::StoreResult;
use crate::store::query::Expression;

/// Names in `unique_metrics` at most.
const UNIQUE_METRICS: usize = 2000;

/// The metrics of one task or model, as the API shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TaskMetrics {
    /// `{md5(metric): {md5(variant): {metric, variant, value, min_value, ..}}}`.
    pub(crate) last_metrics: Map<String, Value>,
    /// `metric/variant` of every scalar, sorted.
    pub(crate) unique_metrics: Vec<Value>,
    /// `{md5(metric): {metric, event_stats_by_type: {type: {last_update}}}}`.
    pub(crate) metric_stats: Map<String, Value>,
}

/// Reads the metrics of tasks or models; those without events are left out.
pub(crate) fn task_metrics<Id: AsRef<str>>(
    connection: &Connection,
    ids: &[Id],
) -> StoreResult<HashMap<String, TaskMetrics>> {
    let mut found = HashMap::new();
    for id in ids {
        if let Some(owner) = owner_of(connection, id.as_ref())? {
            found.insert(id.as_ref().to_owned(), of_owner(connection, owner)?);
        }
    }
    Ok(found)
}

fn of_owner(connection: &Connection, owner: Owner) -> StoreResult<TaskMetrics> {
    let mut metrics = TaskMetrics::default();
    let sql = SeriesRow::sql("WHERE s.owner = ?1 ORDER BY s.metric, s.variant, s.kind");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([owner.key])?;
    while let Some(row) = rows.next()? {
        let series = SeriesRow::read(row)?;
        add_stats(&mut metrics.metric_stats, &series);
        if series.kind == Kind::Scalar {
            if metrics.unique_metrics.len() < UNIQUE_METRICS {
                metrics.unique_metrics.push(format!("{}/{}", series.metric, series.variant).into());
            }
            let variants = object(&mut metrics.last_metrics, &series.metric_hash);
            variants.insert(series.variant_hash.clone(), last_metric(&series));
        }
    }
    Ok(metrics)
}

fn last_metric(series: &SeriesRow) -> Value {
    let mut metric = Map::new();
    metric.insert("metric".to_owned(), series.metric.as_str().into());
    metric.insert("variant".to_owned(), series.variant.as_str().into());
    if let Some((value, _)) = series.last {
        metric.insert("value".to_owned(), json!(value));
    }
    for (name, pair) in [("min_value", series.min), ("max_value", series.max), ("first_value", series.first)] {
        if let Some((value, iter)) = pair {
            metric.insert(name.to_owned(), json!(value));
            metric.insert(format!("{name}_iteration"), iter.into());
        }
    }
    metric.insert("count".to_owned(), series.reports.into());
    let mean = series.sum / series.reports as f64;
    if mean.is_finite() {
        metric.insert("mean_value".to_owned(), json!(mean));
    }
    if let Some(label) = &series.x_axis_label {
        metric.insert("x_axis_label".to_owned(), label.as_str().into());
    }
    Value::Object(metric)
}

fn add_stats(stats: &mut Map<String, Value>, series: &SeriesRow) {
    let metric = object(stats, &series.metric_hash);
    metric.entry("metric").or_insert_with(|| series.metric.as_str().into());
    let by_type = object(metric, "event_stats_by_type");
    let one = object(by_type, series.kind.event_type());
    let earlier = one.get("last_update").and_then(Value::as_i64).unwrap_or(i64::MIN);
    one.insert("last_update".to_owned(), earlier.max(series.last_timestamp).into());
}

/// The object below `key`, made if it is not there.
fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object just now")
}

/// SQL of one value of `last_metrics`, for filters and order: `path` is `last_metrics`, md5 of the metric, md5 of the
/// variant, and the name of the value; `id` is the SQL of the task's or model's id. `None` for other paths.
pub(crate) fn last_metric_sql(id: &str, path: &[String]) -> Option<Expression> {
    let [root, metric, variant, value] = path else { return None };
    let value = match value.as_str() {
        "value" => "s.value",
        "min_value" => "s.min_value",
        "min_value_iteration" => "s.min_value_iter",
        "max_value" => "s.max_value",
        "max_value_iteration" => "s.max_value_iter",
        "first_value" => "s.first_value",
        "first_value_iteration" => "s.first_value_iter",
        "count" => "s.reports",
        "mean_value" => "s.value_sum / s.reports",
        "metric" => "s.metric",
        "variant" => "s.variant",
        _ => return None,
    };
    (root == "last_metrics").then(|| {
        Expression::new(
            format!(
                "(SELECT {value} FROM event_owners o JOIN event_series s ON s.owner = o.key AND s.kind = {} \
                 WHERE o.owner = {id} AND s.metric_hash = ? AND s.variant_hash = ?)",
                Kind::Scalar.code()
            ),
            vec![Sql::Text(metric.clone()), Sql::Text(variant.clone())],
        )
    })
}

impl TaskMetrics {
    /// Copies what is at `path` to a row, making the objects above it.
    pub(crate) fn copy_to(&self, row: &mut Map<String, Value>, path: &[String]) {
        let [name, below @ ..] = path else { return };
        if name == "unique_metrics" {
            row.insert(name.clone(), Value::Array(self.unique_metrics.clone()));
            return;
        }
        let from = match name.as_str() {
            "last_metrics" => &self.last_metrics,
            "metric_stats" => &self.metric_stats,
            _ => return,
        };
        copy(from, object(row, name), below);
    }
}

fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, path: &[String]) {
    let [name, below @ ..] = path else {
        to.extend(from.iter().map(|(name, value)| (name.clone(), value.clone())));
        return;
    };
    match from.get(name) {
        Some(Value::Object(from)) => copy(from, object(to, name), below),
        Some(value) if below.is_empty() => {
            to.insert(name.clone(), value.clone());
        }
        Some(_) | None => {}
    }
}
