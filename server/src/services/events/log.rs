//! `events.get_task_log`.

use protocols::clearml::envelope::ApiVersion;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::request::{MetricVariants, filter, known_owner, size};
use super::scroll;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, LogPage, Shown};

/// Lines of a page when the request does not say, and at most.
const DEFAULT_LINES: usize = 5_000;
const MAX_LINES: i64 = 100_000;

#[derive(Debug, Deserialize)]
struct GetTaskLog {
    task: String,
    batch_size: Option<i64>,
    #[serde(default = "yes")]
    navigate_earlier: bool,
    from_timestamp: Option<f64>,
    order: Option<Order>,
    metrics: Option<Vec<MetricVariants>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    Asc,
    Desc,
}

fn yes() -> bool {
    true
}

/// The first version whose pages begin at a timestamp; earlier ones have scroll ids.
const BY_TIMESTAMP: ApiVersion = ApiVersion::new(2, 9);

/// A page of the console output. `order` turns the page round and does not choose another one.
pub(super) async fn get_task_log(state: &State, call: &Call) -> Reply {
    if call.version < BY_TIMESTAMP {
        return get_scrolled(state, call).await;
    }
    let request: GetTaskLog = call.arguments()?;
    let page = LogPage {
        from: request.from_timestamp.map(|timestamp| timestamp as i64),
        earlier: request.navigate_earlier,
        size: size("batch_size", request.batch_size, DEFAULT_LINES, MAX_LINES)?,
        filter: filter(request.metrics),
    };
    let natural = if request.navigate_earlier { Order::Desc } else { Order::Asc };
    let turned = request.order.is_some_and(|order| order != natural);
    state
        .store
        .read(move |connection| {
            known_owner(connection, &request.task, false)?;
            let owner = events::owner_of(connection, &request.task)?;
            let (mut lines, total) = match owner {
                Some(owner) => events::log_page(connection, owner, &page)?,
                None => (Vec::new(), 0),
            };
            if turned {
                lines.reverse();
            }
            let shown = Shown { owner: &request.task, is_model: false };
            let events = lines.into_iter().map(|line| line.into_event(shown)).collect::<Result<Vec<_>, _>>()?;
            let mut reply = json!({"returned": events.len(), "total": total, "events": events});
            // Ours: how many lines are not there any more, because of the limits of this server.
            if let Some(owner) = owner.filter(|owner| owner.trimmed_lines > 0) {
                reply["trimmed"] = owner.trimmed_lines.into();
            }
            Ok(reply)
        })
        .await
}

#[derive(Debug, Deserialize)]
struct GetScrolledLog {
    task: String,
    batch_size: Option<i64>,
    #[serde(default = "yes")]
    navigate_earlier: bool,
    #[serde(default)]
    refresh: bool,
    scroll_id: Option<String>,
}

/// The last line that a reader was given.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    timestamp: i64,
    id: i64,
}

impl Position {
    fn start(earlier: bool) -> Self {
        let end = if earlier { i64::MAX } else { i64::MIN };
        Self { timestamp: end, id: end }
    }
}

/// The form before 2.9: exact pages that follow each other by scroll id.
async fn get_scrolled(state: &State, call: &Call) -> Reply {
    let request: GetScrolledLog = call.arguments()?;
    let size = size("batch_size", request.batch_size, DEFAULT_LINES, MAX_LINES)?;
    let earlier = request.navigate_earlier;
    let mut position = match request.scroll_id.as_deref().filter(|id| !id.is_empty() && !request.refresh) {
        Some(id) => scroll::decode(id)?,
        None => Position::start(earlier),
    };
    state
        .store
        .read(move |connection| {
            known_owner(connection, &request.task, false)?;
            let (lines, total) = match events::owner_of(connection, &request.task)? {
                Some(owner) => {
                    let from = (position.timestamp, position.id);
                    (events::log_lines(connection, owner, from, earlier, size)?, owner.log_lines)
                }
                None => (Vec::new(), 0),
            };
            if let Some(last) = lines.last() {
                (position.timestamp, position.id) = (last.timestamp, last.id);
            }
            let shown = Shown { owner: &request.task, is_model: false };
            let events = lines.into_iter().map(|line| line.into_event(shown)).collect::<Result<Vec<_>, _>>()?;
            let scroll_id = scroll::encode(&position)?;
            Ok(json!({"returned": events.len(), "total": total, "events": events, "scroll_id": scroll_id}))
        })
        .await
}
