//! The `auth` service.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::json;

use crate::http::{Call, Reply};
use crate::state::State;

/// Lifetime of a token when the caller does not say: 30 days. Agents renew one that has less than 12 hours left.
const DEFAULT_LIFETIME: i64 = 2_592_000;

/// Longest lifetime of a token: a year.
const LONGEST_LIFETIME: i64 = 31_536_000;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "login" => Some(login(state, &call)),
        "logout" => Some(Ok(json!({}))),
        "fixed_users_mode" => Some(Ok(json!({"enabled": false, "server_errors": {}}))),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Login {
    expiration_sec: Option<i64>,
}

fn login(state: &State, call: &Call) -> Reply {
    let Login { expiration_sec } = call.arguments()?;
    let lifetime = expiration_sec.unwrap_or(DEFAULT_LIFETIME);
    if !(1..=LONGEST_LIFETIME).contains(&lifetime) {
        return Err(ApiError::bad_field("expiration_sec", &format!("must be from 1 to {LONGEST_LIFETIME}")));
    }
    Ok(json!({"token": state.authority.token(&call.identity(), lifetime)}))
}
