//! Lengths and waiting times of queues, over time.

use serde::Deserialize;
use serde_json::{Value, json};

use super::history::{self, Point};
use crate::http::{Call, Reply};
use crate::services::span::Span;
use crate::state::State;
use crate::store::time_series;
use crate::time;

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    queue_ids: Vec<String>,
    #[serde(default)]
    refresh: bool,
}

/// The history of each queue that is named, or of all together. With `refresh` it ends with how they are now.
pub(super) async fn get_queue_metrics(state: &State, call: &Call) -> Reply {
    let span = Span::of(call)?;
    let Arguments { queue_ids, refresh } = call.arguments()?;
    span.check_size(queue_ids.len())?;
    let now = time::now() / 1000;
    let queues = state
        .store
        .read(move |connection| {
            let history = |series| -> crate::store::StoreResult<_> {
                let states = time_series::history(connection, series, span.from - span.interval, span.to)?;
                let points = history::points(&states, span, now, refresh);
                Ok((states, points))
            };
            if queue_ids.is_empty() {
                let series = time_series::visible_series(connection)?;
                span.check_size(series.len())?;
                let all = series.into_iter().map(history).collect::<Result<Vec<_>, _>>()?;
                return Ok(vec![shown("total", &history::total(&all, span), span)]);
            }
            let mut queues = Vec::new();
            for queue in queue_ids {
                let Some(series) = time_series::series_of(connection, &queue)? else { continue };
                let (_, points) = history(series)?;
                if !points.is_empty() {
                    queues.push(shown(&queue, &points, span));
                }
            }
            Ok(queues)
        })
        .await?;
    Ok(json!({"queues": queues}))
}

fn shown(queue: &str, points: &[Point], span: Span) -> Value {
    json!({
        "queue": queue,
        "dates": points.iter().map(|point| point.bucket * span.interval).collect::<Vec<_>>(),
        "avg_waiting_times": points.iter().map(|point| point.wait).collect::<Vec<_>>(),
        "queue_lengths": points.iter().map(|point| point.length).collect::<Vec<_>>(),
    })
}
