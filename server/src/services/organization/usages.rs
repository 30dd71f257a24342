//! `organization.get_project_usages`: who kept the machines busy.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::StoreResult;
use crate::store::projects::subtree;
use crate::time::{self, Micros};

/// What usage is broken down by: the name in the API, the column of the task, the table that knows the names.
const BREAKDOWNS: [(&str, &str, &str); 3] =
    [("projects", "t.project", "projects"), ("users", "t.user", "users"), ("queues", "t.queue", "queues")];

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
    let known = |key: &String| BREAKDOWNS.iter().any(|(name, ..)| name == key);
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
            let projects = Value::from(projects).to_string();
            let mut answer = Map::new();
            for (name, column, table) in BREAKDOWNS {
                if request.breakdown_keys.is_empty() || request.breakdown_keys.iter().any(|key| key == name) {
                    let span = (from, to.min(time::now()));
                    let used = usage(connection, (column, table), &projects, span, request.include_development)?;
                    answer.insert(name.to_owned(), Value::Array(used));
                }
            }
            Ok(Value::Object(answer))
        })
        .await
}

/// Seconds and number of tasks for each value of `column`, the busiest first.
fn usage(
    connection: &Connection,
    (column, table): (&str, &str),
    projects: &str,
    (from, to): (Micros, Micros),
    include_development: bool,
) -> StoreResult<Vec<Value>> {
    // A task that ended without saying so (a stop does not set `completed`) ran until it was last heard of.
    let sql = format!(
        "SELECT {column}, (SELECT other.name FROM {table} other WHERE other.id = {column}), count(*), \
         sum(min(?3, CASE WHEN t.status = 'in_progress' THEN ?3 ELSE coalesce(t.completed, t.last_update) END) \
         - max(?2, t.started)) AS used FROM tasks t \
         WHERE t.project IN (SELECT value FROM json_each(?1)) AND t.started < ?3 AND {column} IS NOT NULL \
         AND (t.status = 'in_progress' OR coalesce(t.completed, t.last_update) > max(?2, t.started)) \
         AND (?4 OR NOT EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'development')) \
         GROUP BY {column} ORDER BY used DESC, {column}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![projects, from, to, include_development])?;
    let mut used = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, name): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let (tasks, micros): (i64, i64) = (row.get(2)?, row.get(3)?);
        used.push(json!({"id": id, "name": name, "tasks": tasks, "duration": micros.max(0) / 1_000_000}));
    }
    Ok(used)
}
