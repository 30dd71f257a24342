//! `organization.get_project_usages`: who kept the machines busy.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::projects::subtree;
use crate::store::tasks::{Breakdown, Usage, usage};
use crate::time::{self, Micros};

/// What usage is broken down by, as the API calls it.
const BREAKDOWNS: [(&str, Breakdown); 3] =
    [("projects", Breakdown::Project), ("users", Breakdown::User), ("queues", Breakdown::Queue)];

#[derive(Deserialize)]
struct Request {
    projects: Vec<String>,
    from_date: f64,
    to_date: f64,
    #[serde(default)]
    include_development: bool,
    #[serde(default)]
    breakdown_keys: Vec<String>,
}

/// How long tasks of some projects, and of all below them, ran between two moments.
pub(super) async fn get_project_usages(state: &State, call: &Call) -> Reply {
    let request: Request = call.arguments()?;
    let known = |key: &String| BREAKDOWNS.iter().any(|(name, _)| name == key);
    if let Some(unknown) = request.breakdown_keys.iter().find(|key| !known(key)) {
        return Err(ApiError::bad_field("breakdown_keys", &format!("unknown key {unknown:?}")));
    }
    let (from, to) = ((request.from_date * 1e6) as Micros, (request.to_date * 1e6) as Micros);
    if from >= to {
        return Err(ApiError::fields_value("from_date must be less than to_date", &[]));
    }
    state
        .store
        .read(move |connection| {
            let mut projects = Vec::new();
            for project in &request.projects {
                projects.extend(subtree(connection, project)?);
            }
            let mut answer = Map::new();
            for (name, by) in BREAKDOWNS {
                if request.breakdown_keys.is_empty() || request.breakdown_keys.iter().any(|key| key == name) {
                    let span = (from, to.min(time::now()));
                    let used = usage(connection, by, &projects, span, request.include_development)?;
                    answer.insert(name.to_owned(), used.into_iter().map(shown).collect());
                }
            }
            Ok(Value::Object(answer))
        })
        .await
}

fn shown(usage: Usage) -> Value {
    let Usage { id, name, tasks, seconds } = usage;
    json!({"id": id, "name": name, "tasks": tasks, "duration": seconds})
}
