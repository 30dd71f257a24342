//! The `auth` service: tokens, credentials, users.

mod accounts;
mod credentials;
mod tokens;

use serde_json::json;

use crate::http::{Call, Reply};
use crate::state::State;

pub(super) use accounts::{check_company, digest};
pub(super) use tokens::log_out;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "login" => Some(tokens::login(state, &call)),
        "logout" => Some(log_out(state, &call).await),
        "validate_token" => Some(tokens::validate_token(state, &call)),
        "get_token_for_user" => Some(tokens::get_token_for_user(state, &call)),
        "create_credentials" => Some(credentials::create(state, &call).await),
        "get_credentials" => Some(credentials::get(state, &call).await),
        "edit_credentials" => Some(credentials::edit(state, &call).await),
        "revoke_credentials" => Some(credentials::revoke(state, &call).await),
        "create_user" => Some(accounts::create_user(state, &call).await),
        "edit_user" => Some(accounts::edit_user(state, &call).await),
        "fixed_users_mode" => {
            let enabled = state.authority.has_passwords();
            Some(Ok(json!({"enabled": enabled, "guest": {"enabled": false}, "server_errors": {}})))
        }
        _ => None,
    }
}
