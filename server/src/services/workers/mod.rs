//! The `workers` service.

mod intervals;
mod listing;
mod properties;
mod reports;
mod series;
mod statistics;

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "register" => reports::register(state, &call).await,
        "unregister" => reports::unregister(state, &call).await,
        "status_report" => reports::status_report(state, &call).await,
        "get_all" => listing::get_all(state, &call).await,
        "get_count" => listing::get_count(state, &call).await,
        "get_metric_keys" => statistics::get_metric_keys(state, &call).await,
        "get_stats" => statistics::get_stats(state, &call).await,
        "get_activity_report" => statistics::get_activity_report(state, &call).await,
        "get_runtime_properties" => properties::get(state, &call).await,
        "set_runtime_properties" => properties::set(state, &call).await,
        _ => return None,
    })
}
