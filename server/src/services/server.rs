//! The `server` service.

use protocols::clearml::envelope::ApiVersion;
use protocols::clearml::extension::{EXPECTED_STATUS, EXTENSIONS_KEY, WAIT_FOR_QUEUES, WAIT_FOR_TASKS};
use serde_json::{Value, json};

use crate::auth::{API_VERSION, SERVER_VERSION};
use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "info" => Some(Ok(information(state, call.version))),
        "config" => Some(Ok(config(state))),
        "report_stats_option" => Some(Ok(json!({"supported": false, "enabled": false}))),
        _ => None,
    }
}

fn information(state: &State, version: ApiVersion) -> Value {
    let mut answer = json!({
        "version": SERVER_VERSION,
        "build": env!("CARGO_PKG_VERSION"),
        "commit": "",
        "name": "hostler",
        EXTENSIONS_KEY: {
            WAIT_FOR_QUEUES: 1,
            WAIT_FOR_TASKS: 1,
            format!("tasks.started.{EXPECTED_STATUS}"): 1,
        },
    });
    if version >= ApiVersion::new(2, 12) {
        answer["api_version"] = Value::from(API_VERSION);
    } else if version >= ApiVersion::new(2, 8) {
        answer["uid"] = Value::from(&*state.server_id);
    }
    answer
}

fn config(state: &State) -> Value {
    json!({"api_url": state.api_url, "files_url": state.files_url, "server_id": state.server_id})
}
