//! Reading tasks.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{OneTask, compat};
use crate::http::{Answer, Call, Reply};
use crate::state::State;
use crate::store::projects;
use crate::store::query::{self, Options, Row};
use crate::store::tasks::{self, TASK, unknown_task};

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
pub(in crate::services) async fn get_all(state: &State, call: Call, expand: bool) -> Result<Answer, ApiError> {
    let version = call.version;
    let mut body = call.body;
    compat::upgrade_fields(version, &mut body);
    let with_children = body.remove("include_subprojects").is_some_and(|flag| flag == true);
    state
        .store
        .read(move |connection| {
            if with_children && let Some(project) = body.get("project") {
                body.insert("project".to_owned(), projects::with_children(connection, project)?);
            }
            let options = Options { expand, ..Options::default() };
            if compat::is_current(version) {
                return query::find_text(connection, &TASK, &body, &options, "tasks").map(Answer::Text);
            }
            let mut found = query::find(connection, &TASK, &body, &options)?;
            found.rows.iter_mut().for_each(|row| compat::downgrade(version, row));
            Ok(Answer::Data(found.into_answer("tasks")))
        })
        .await
}

#[derive(Deserialize)]
struct ByIds {
    id: Value,
}

/// Tasks by their ids, in the `_ex` form.
pub(in crate::services) async fn get_by_id_ex(state: &State, mut call: Call) -> Result<Answer, ApiError> {
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
    let types = state.store.read(move |connection| tasks::types_in(connection, &projects)).await?;
    Ok(json!({"types": types}))
}
