//! The `organization` service.

use serde_json::json;

use crate::company::{COMPANY, COMPANY_NAME};
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::{StoreResult, tasks};

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "get_tags" => Some(get_tags(state, &call).await),
        "get_user_companies" => Some(Ok(json!({"companies": [{"id": COMPANY, "name": COMPANY_NAME}]}))),
        _ => None,
    }
}

async fn get_tags(state: &State, call: &Call) -> Reply {
    let include_system = call.body.get("include_system").and_then(serde_json::Value::as_bool).unwrap_or(false);
    state
        .store
        .read(move |connection| -> StoreResult<_> {
            let mut answer = json!({"tags": tasks::all_tags(connection, "tags")?});
            if include_system {
                answer["system_tags"] = json!(tasks::all_tags(connection, "system_tags")?);
            }
            Ok(answer)
        })
        .await
}
