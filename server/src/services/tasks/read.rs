//! Reading tasks.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{OneTask, compat};
use crate::http::{Call, Reply};
use crate::query::{self, Expression, Options, Row};
use crate::state::State;
use crate::store::tasks::{TASK, unknown_task};

/// One task, whole.
pub(super) async fn get_by_id(state: &State, call: &Call) -> Reply {
    let OneTask { task } = call.arguments()?;
    let id = task.clone();
    let found = state.store.read(move |connection| query::get(connection, &TASK, &id, &[])).await?;
    let mut found = found.ok_or_else(|| unknown_task(&task))?;
    compat::downgrade(call.version, &mut found);
    Ok(json!({"task": found}))
}

/// Tasks by filters; `expand` is the `_ex` form.
pub(super) async fn get_all(state: &State, call: Call, expand: bool) -> Reply {
    let version = call.version;
    let body = call.body;
    let mut found = state
        .store
        .read(move |connection| {
            let (body, conditions) = with_subprojects(body);
            let options = Options { expand, conditions, ignored: &["include_subprojects", "include_subprojects_of"] };
            query::find(connection, &TASK, &body, &options)
        })
        .await?;
    found.rows.iter_mut().for_each(|row| compat::downgrade(version, row));
    let mut answer = json!({"tasks": found.rows});
    if let Some(scroll_id) = found.scroll_id {
        answer["scroll_id"] = Value::from(scroll_id);
    }
    Ok(answer)
}

/// With `include_subprojects`, a filter by project takes the projects below it too.
fn with_subprojects(mut body: Row) -> (Row, Vec<Expression>) {
    let includes = body.get("include_subprojects").and_then(Value::as_bool).unwrap_or(false);
    if !includes {
        return (body, Vec::new());
    }
    let projects: Vec<String> = match body.remove("project") {
        Some(Value::String(project)) => vec![project],
        Some(Value::Array(projects)) => projects.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) | None => return (body, Vec::new()),
    };
    let marks = crate::store::placeholders(projects.len());
    let values: Vec<_> = projects.into_iter().map(rusqlite::types::Value::Text).collect();
    let both = values.iter().chain(&values).cloned().collect();
    let below = format!(
        "t.project IN ({marks}) OR t.project IN (SELECT below.id FROM projects above JOIN projects below
         ON below.name >= above.name || '/' AND below.name < above.name || '0' WHERE above.id IN ({marks}))"
    );
    (body, vec![Expression::new(below, both)])
}

#[derive(Deserialize)]
struct ByIds {
    id: Value,
}

/// Tasks by their ids, in the `_ex` form.
pub(super) async fn get_by_id_ex(state: &State, mut call: Call) -> Reply {
    let ByIds { id } = call.arguments()?;
    let only = call.body.remove("only_fields").unwrap_or(Value::Null);
    call.body = Row::from_iter([("id".to_owned(), id), ("only_fields".to_owned(), only)]);
    get_all(state, call, true).await
}

/// The types of the tasks of some projects, or of all.
pub(super) async fn get_types(state: &State, call: &Call) -> Reply {
    #[derive(Deserialize)]
    struct Projects {
        #[serde(default)]
        projects: Vec<String>,
    }
    let Projects { projects } = call.arguments()?;
    let types = state
        .store
        .read(move |connection| {
            let condition = match projects.len() {
                0 => String::new(),
                count => format!("WHERE project IN ({})", crate::store::placeholders(count)),
            };
            let sql = format!("SELECT DISTINCT type FROM tasks {condition} ORDER BY type");
            let mut statement = connection.prepare_cached(&sql)?;
            let types = statement.query_map(rusqlite::params_from_iter(projects), |row| row.get(0))?;
            Ok(types.collect::<Result<Vec<String>, _>>()?)
        })
        .await?;
    Ok(json!({"types": types}))
}
