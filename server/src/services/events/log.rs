//! `events.get_task_log`.

use serde::Deserialize;
use serde_json::json;

use super::request::{MetricVariants, filter, known_owner, size};
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

/// A page of the console output. `order` turns the page round and does not choose another one.
pub(super) async fn get_task_log(state: &State, call: &Call) -> Reply {
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
            let (mut lines, total) = match events::owner_of(connection, &request.task)? {
                Some(owner) => events::log_page(connection, owner, &page)?,
                None => (Vec::new(), 0),
            };
            if turned {
                lines.reverse();
            }
            let shown = Shown { owner: &request.task, is_model: false };
            let events = lines.into_iter().map(|line| line.into_event(shown)).collect::<Result<Vec<_>, _>>()?;
            Ok(json!({"returned": events.len(), "total": total, "events": events}))
        })
        .await
}
