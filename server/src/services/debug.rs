//! The `debug` service: the health check that needs no credentials.

use serde_json::Value;

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(_state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "ping" => {
            let mut echo = call.body;
            echo.insert("msg".to_owned(), Value::from("ClearML server"));
            Some(Ok(Value::Object(echo)))
        }
        _ => None,
    }
}
