//! The `users` service.

use serde::Deserialize;
use serde_json::json;

use crate::http::{Call, Reply};
use crate::query::{self, Options};
use crate::state::State;
use crate::store::users::{self, USER};
use protocols::clearml::error::ApiError;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "get_current_user" => Some(get_current_user(state, &call).await),
        "get_by_id" => Some(get_by_id(state, &call).await),
        "get_all" | "get_all_ex" => Some(get_all(state, call).await),
        "get_preferences" => Some(get_preferences(state, &call).await),
        _ => None,
    }
}

async fn get_current_user(state: &State, call: &Call) -> Reply {
    let identity = call.identity();
    let user = identity.user_id.clone();
    let preferences = state.store.read(move |connection| users::preferences(connection, &user)).await?;
    Ok(json!({
        "user": {
            "id": identity.user_id,
            "name": identity.user_name,
            "given_name": identity.user_name,
            "role": identity.role,
            "company": {"id": identity.company, "name": identity.company_name},
            "preferences": preferences,
        },
        "getting_started": null,
        "settings": {},
    }))
}

#[derive(Deserialize)]
struct ById {
    user: String,
}

async fn get_by_id(state: &State, call: &Call) -> Reply {
    let ById { user } = call.arguments()?;
    let id = user.clone();
    let found = state.store.read(move |connection| query::get(connection, &USER, &id, &[])).await?;
    let user = found.ok_or_else(|| ApiError::invalid_user_id("", &[("id", &user)]))?;
    Ok(json!({"user": user}))
}

async fn get_all(state: &State, call: Call) -> Reply {
    let body = call.body;
    let found = state.store.read(move |connection| query::find(connection, &USER, &body, &Options::default())).await?;
    Ok(json!({"users": found.rows}))
}

async fn get_preferences(state: &State, call: &Call) -> Reply {
    let user = call.identity().user_id;
    let preferences = state.store.read(move |connection| users::preferences(connection, &user)).await?;
    Ok(json!({"preferences": preferences}))
}
