//! Reading tasks.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{OneTask, compat};
use crate::http::{Call, Reply};
use crate::query::{self, Options, Row};
use crate::state::State;
use crate::store::projects;
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
    let mut body = call.body;
    compat::upgrade_fields(version, &mut body);
    let with_children = body.remove("include_subprojects").is_some_and(|flag| flag == true);
    let mut found = state
        .store
        .read(move |connection| {
            if with_children && let Some(project) = body.get("project") {
                body.insert("project".to_owned(), projects::with_children(connection, project)?);
            }
            let options = Options { expand, ..Options::default() };
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
            let projects = (!projects.is_empty()).then(|| Value::from(projects).to_string());
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT type FROM tasks
                 WHERE ?1 IS NULL OR project IN (SELECT value FROM json_each(?1)) ORDER BY type",
            )?;
            let types = statement.query_map([projects], |row| row.get(0))?;
            Ok(types.collect::<Result<Vec<String>, _>>()?)
        })
        .await?;
    Ok(json!({"types": types}))
}
