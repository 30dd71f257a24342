//! The `workers` service.

mod listing;
mod reports;

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
        _ => return None,
    })
}
