//! The `login` service.

use serde_json::json;

use super::auth;
use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "supported_modes" => Some(Ok(json!({
            "authenticated": call.caller.is_some(),
            "basic": {"enabled": state.authority.has_passwords(), "guest": {"enabled": false}},
            "server_errors": {"es_connection_error": false, "missed_es_upgrade": false},
            "sso": {},
            "sso_providers": [],
        }))),
        "logout" => Some(auth::log_out(state, &call).await),
        _ => None,
    }
}
