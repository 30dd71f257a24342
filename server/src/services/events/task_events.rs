//! `events.get_task_events`: everything that a task reported, page by page.

use protocols::clearml::error::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::log::Order;
use super::request::{MetricVariants, filter, known_owner, size};
use super::scroll;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, Cursor, Kind, MergeQuery, MetricFilter, Shown};

/// Events of a page when the request does not say, and at most.
const DEFAULT_EVENTS: usize = 500;
const MAX_EVENTS: i64 = 10_000;

#[derive(Debug, Deserialize)]
struct GetTaskEvents {
    task: Option<String>,
    event_type: Option<String>,
    order: Option<Order>,
    batch_size: Option<i64>,
    metrics: Option<Vec<MetricVariants>>,
    scroll_id: Option<String>,
    #[serde(default)]
    model_events: bool,
}

/// What a reader asked for at first, and where it is.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    task: String,
    model: bool,
    event_type: String,
    descending: bool,
    metrics: Vec<(String, Vec<String>)>,
    size: usize,
    cursor: Cursor,
}

/// A page of events in the order of their iterations, console lines last. After the last page comes an empty one.
pub(super) async fn get_task_events(state: &State, call: &Call) -> Reply {
    let request: GetTaskEvents = call.arguments()?;
    let size = size("batch_size", request.batch_size, DEFAULT_EVENTS, MAX_EVENTS)?;
    let position = match &request.scroll_id {
        Some(id) => {
            let position: Position = scroll::decode(id)?;
            Position { size: if request.batch_size.is_some() { size } else { position.size }, ..position }
        }
        None => Position {
            task: request.task.ok_or_else(|| ApiError::missing_field("task"))?,
            model: request.model_events,
            event_type: request.event_type.unwrap_or_else(|| "*".to_owned()),
            descending: request.order == Some(Order::Desc),
            metrics: filter(request.metrics).metrics,
            size,
            cursor: Cursor::Start,
        },
    };
    page(state, position).await
}

#[derive(Debug, Deserialize)]
struct GetScalarMetricData {
    task: Option<String>,
    metric: Option<String>,
    scroll_id: Option<String>,
    #[serde(default)]
    model_events: bool,
}

/// `events.get_scalar_metric_data`: all scalars of one metric.
pub(super) async fn get_scalar_metric_data(state: &State, call: &Call) -> Reply {
    let request: GetScalarMetricData = call.arguments()?;
    let position = match &request.scroll_id {
        Some(id) => scroll::decode(id)?,
        None => Position {
            task: request.task.ok_or_else(|| ApiError::missing_field("task"))?,
            model: request.model_events,
            event_type: Kind::Scalar.event_type().to_owned(),
            descending: false,
            metrics: request.metric.into_iter().map(|metric| (metric, Vec::new())).collect(),
            size: DEFAULT_EVENTS,
            cursor: Cursor::Start,
        },
    };
    page(state, position).await
}

async fn page(state: &State, mut position: Position) -> Reply {
    let (kinds, with_log): (&[Kind], bool) = match position.event_type.as_str() {
        "*" | "" => (&Kind::ALL, true),
        "log" => (&[], true),
        other => match Kind::ALL.iter().find(|kind| kind.event_type() == other) {
            Some(kind) => (std::slice::from_ref(kind), false),
            None => return Err(ApiError::bad_field("event_type", &format!("unknown event type {other}"))),
        },
    };
    let filter = MetricFilter { metrics: position.metrics.clone() };
    // Console lines have no metric.
    let with_log = with_log && filter.is_empty();
    state
        .store
        .read(move |connection| {
            known_owner(connection, &position.task, position.model)?;
            let Some(owner) = events::owner_of(connection, &position.task)? else {
                let scroll_id = scroll::encode(&position)?;
                return Ok(json!({"events": [], "returned": 0, "total": 0, "scroll_id": scroll_id}));
            };
            let series = events::series_of(connection, owner, kinds, &filter)?;
            let stored: i64 = series.iter().map(|one| one.events).sum();
            let total = stored + if with_log { owner.log_lines } else { 0 };
            let query = MergeQuery {
                shown: Shown { owner: &position.task, is_model: position.model },
                owner,
                series: &series,
                with_log,
                descending: position.descending,
                size: position.size,
            };
            let (events, cursor) = events::merged_page(connection, &query, &position.cursor)?;
            position.cursor = cursor;
            let scroll_id = scroll::encode(&position)?;
            Ok(json!({"returned": events.len(), "events": events, "total": total, "scroll_id": scroll_id}))
        })
        .await
}
