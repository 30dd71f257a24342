//! `events.vector_metrics_iter_histogram`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::request::known_owner;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, Kind, MetricFilter};

/// Vectors in one answer at most: the latest.
const MAX_VECTORS: usize = 10_000;

#[derive(Debug, Deserialize)]
struct Histogram {
    task: String,
    metric: String,
    variant: String,
    #[serde(default)]
    model_events: bool,
}

/// The vectors of one metric and variant by iteration, in two lists of one length.
pub(super) async fn histogram(state: &State, call: &Call) -> Reply {
    let request: Histogram = call.arguments()?;
    let filter = MetricFilter { metrics: vec![(request.metric.clone(), vec![request.variant.clone()])] };
    state
        .store
        .read(move |connection| {
            known_owner(connection, &request.task, request.model_events)?;
            let mut found = Vec::new();
            if let Some(owner) = events::owner_of(connection, &request.task)? {
                for series in events::series_of(connection, owner, &[Kind::Vector], &filter)? {
                    found = events::vectors(connection, &series, MAX_VECTORS)?;
                }
            }
            let (iterations, vectors): (Vec<i64>, Vec<Value>) = found.into_iter().unzip();
            let (metric, variant) = (request.metric, request.variant);
            Ok(json!({"metric": metric, "variant": variant, "iterations": iterations, "vectors": vectors}))
        })
        .await
}
