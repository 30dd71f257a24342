//! The `server` service.

use protocols::clearml::envelope::ApiVersion;
use protocols::clearml::extension::{EXPECTED_STATUS, EXTENSIONS_KEY, WAIT_FOR_QUEUES, WAIT_FOR_TASKS};
use serde_json::{Map, Value, json};

use crate::auth::{API_VERSION, SERVER_VERSION};
use crate::http::endpoints::{self, Access};
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::census;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "info" => Some(Ok(information(state, call.version))),
        "endpoints" => Some(Ok(listing())),
        "get_stats" => Some(get_stats(state).await),
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

/// Every endpoint that a call can name; those that this version does not answer are in the documentation.
fn listing() -> Value {
    let all = endpoints::all().into_iter().map(|endpoint| {
        let fields = |wanted: bool| -> Vec<&str> {
            endpoint.fields.iter().filter(|(_, required)| *required == wanted).map(|(name, _)| *name).collect()
        };
        json!({
            "name": endpoint.name,
            "versions": endpoint.versions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "authorize": endpoint.access != Access::Open,
            "required_roles": if endpoint.access == Access::Admin { json!(["admin"]) } else { json!(["*"]) },
            "required_fields": fields(true),
            "optional_fields": fields(false),
        })
    });
    json!({"endpoints": all.collect::<Vec<_>>()})
}

/// How much there is of everything.
async fn get_stats(state: &State) -> Reply {
    let (rows, tasks) = state.store.read(census::totals).await?;
    let mut counts: Map<String, Value> =
        rows.into_iter().map(|(table, count)| (table.to_owned(), Value::from(count))).collect();
    let by_status = tasks.into_iter().map(|(status, count)| (status, Value::from(count))).collect();
    counts.insert("task_status".to_owned(), Value::Object(by_status));
    Ok(Value::Object(counts))
}
