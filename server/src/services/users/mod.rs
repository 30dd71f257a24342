//! The `users` service.

mod manage;
mod preferences;
mod read;

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "get_current_user" => Some(read::get_current_user(state, &call).await),
        "get_by_id" => Some(read::get_by_id(state, &call).await),
        "get_all" | "get_all_ex" => Some(read::get_all(state, call).await),
        "get_preferences" => Some(preferences::get(state, &call).await),
        "set_preferences" => Some(preferences::set(state, &call).await),
        "create" => Some(manage::create(state, &call).await),
        "update" => Some(manage::update(state, &call).await),
        "delete" => Some(manage::delete(state, &call).await),
        _ => None,
    }
}
