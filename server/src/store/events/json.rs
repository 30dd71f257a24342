//! Events as the API shows them.

use serde_json::{Map, Value, json};

use super::model::Kind;
use super::series::SeriesRow;
use crate::store::StoreResult;

/// Whose events are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    /// Id of the task or model.
    pub(crate) owner: &'a str,
    /// Whether it is a model.
    pub(crate) is_model: bool,
}

/// What the tables of all kinds of series have in common.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) iter: i64,
    pub(super) timestamp: i64,
    /// Value, payload or url, by the kind of the series.
    pub(super) content: Content,
    pub(super) worker: String,
    pub(super) extra: Option<String>,
}

/// Content of a stored event.
#[derive(Debug)]
pub(super) enum Content {
    Number(f64),
    Text(String),
    Image { key: String, url: String },
}

/// The event as the API shows it.
pub(super) fn series_event(shown: Shown<'_>, series: &SeriesRow, stored: Stored) -> StoreResult<Value> {
    let mut event = start(stored.extra.as_deref())?;
    let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
    set("iter", stored.iter.into());
    set("metric", series.metric.as_str().into());
    set("variant", series.variant.as_str().into());
    match (series.kind, stored.content) {
        (_, Content::Number(value)) => {
            set("value", json!(value));
        }
        (Kind::Vector, Content::Text(text)) => {
            set("value", serde_json::from_str(&text)?);
        }
        (_, Content::Text(text)) => {
            set("plot_len", text.len().into());
            set("plot_str", text.into());
        }
        (_, Content::Image { key, url }) => {
            set("key", key.into());
            set("url", url.into());
        }
    }
    if let Some(label) = &series.x_axis_label {
        set("x_axis_label", label.as_str().into());
    }
    finish(event, shown, series.kind.event_type(), stored.timestamp, stored.worker)
}

/// The console line as the API shows it.
pub(super) fn log_event(
    shown: Shown<'_>,
    timestamp: i64,
    (worker, level): (String, String),
    message: String,
    extra: Option<&str>,
) -> StoreResult<Value> {
    let mut event = start(extra)?;
    event.entry("metric").or_insert_with(|| "".into());
    event.entry("variant").or_insert_with(|| "".into());
    event.insert("msg".to_owned(), message.into());
    event.insert("level".to_owned(), level.into());
    finish(event, shown, "log", timestamp, worker)
}

fn start(extra: Option<&str>) -> StoreResult<Map<String, Value>> {
    Ok(extra.map(serde_json::from_str).transpose()?.unwrap_or_default())
}

fn finish(
    mut event: Map<String, Value>,
    shown: Shown<'_>,
    event_type: &str,
    timestamp: i64,
    worker: String,
) -> StoreResult<Value> {
    event.insert("type".to_owned(), event_type.into());
    event.insert("task".to_owned(), shown.owner.into());
    event.insert("timestamp".to_owned(), timestamp.into());
    event.insert("worker".to_owned(), worker.into());
    if shown.is_model {
        event.insert("model_event".to_owned(), true.into());
    }
    Ok(Value::Object(event))
}
