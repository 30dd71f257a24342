//! Reading projects.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::projects::{self, PROJECT, StatsScope, project_stats, unknown_project};
use crate::store::query::{self, Expression, Options, Row};
use crate::store::{Snapshot, StoreResult};
use crate::time;

#[derive(Debug, Deserialize)]
struct GetById {
    project: String,
}

/// `projects.get_by_id`.
pub(super) async fn get_by_id(state: &State, call: &Call) -> Reply {
    let request: GetById = call.arguments()?;
    state
        .store
        .read(move |connection| {
            let project = query::get(connection, &PROJECT, &request.project, &[])?;
            Ok(json!({"project": project.ok_or_else(|| unknown_project(&request.project))?}))
        })
        .await
}

/// What a request for projects asks beyond the filters.
#[derive(Debug, Deserialize)]
struct Extras {
    #[serde(default)]
    shallow_search: bool,
    #[serde(default)]
    include_stats: bool,
    stats_for_state: Option<StatsScope>,
    #[serde(default)]
    check_own_contents: bool,
    #[serde(default)]
    include_dataset_stats: bool,
    #[serde(default)]
    active_users: Vec<String>,
    children_type: Option<ChildrenType>,
}

/// What a project may hold, somewhere below it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChildrenType {
    Pipeline,
    Report,
    Dataset,
}

impl ChildrenType {
    /// Projects that hold such a thing: the folders of each carry a system tag.
    fn condition(self) -> Expression {
        projects::holds_tagged(match self {
            Self::Pipeline => "pipeline",
            Self::Report => "reports",
            Self::Dataset => "dataset",
        })
    }
}

/// Fields that [`Extras`] reads and the engine must not.
const EXTRAS: &[&str] = &[
    "shallow_search",
    "include_stats",
    "stats_for_state",
    "check_own_contents",
    "active_users",
    "children_type",
    "include_dataset_stats",
    "stats_with_children",
    "non_public",
];

/// `projects.get_all`, and with `expand` its `_ex` form.
pub(super) async fn get_all(state: &State, call: Call, expand: bool) -> Reply {
    let extras: Extras = call.arguments()?;
    let mut body = call.body;
    let mut conditions = location(&mut body, extras.shallow_search);
    conditions.extend((!extras.active_users.is_empty()).then(|| projects::is_used_by(&extras.active_users)));
    conditions.extend(extras.children_type.map(ChildrenType::condition));
    state
        .store
        .read(move |connection| {
            let options = Options { expand, conditions, ignored: EXTRAS };
            let found = query::find(connection, &PROJECT, &body, &options)?;
            let mut projects = found.rows;
            if expand && (extras.include_stats || extras.check_own_contents) {
                add_numbers(connection, &extras, &mut projects)?;
            }
            if expand && extras.include_dataset_stats {
                add_dataset_stats(connection, &mut projects)?;
            }
            let mut reply = json!({"projects": projects});
            if let Some(scroll_id) = found.scroll_id {
                reply["scroll_id"] = scroll_id.into();
            }
            Ok(reply)
        })
        .await
}

/// `parent` means any ancestor, or with a shallow search the parent itself; a shallow search without it sees the
/// projects at the root.
fn location(body: &mut Row, shallow: bool) -> Vec<Expression> {
    if shallow {
        let at_root = body.get("parent").is_none_or(Value::is_null);
        return at_root.then(projects::is_at_root).into_iter().collect();
    }
    let parent = body.remove("parent").filter(|parent| !parent.is_null());
    let Some(parent) = parent else { return Vec::new() };
    let parents = match parent {
        Value::Array(parents) => parents,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![parent],
    };
    vec![projects::is_below(parents)]
}

fn add_numbers(connection: &Snapshot, extras: &Extras, projects: &mut [Row]) -> StoreResult<()> {
    let ids: Vec<String> =
        projects.iter().filter_map(|project| project.get("id")?.as_str().map(str::to_owned)).collect();
    let numbers = project_stats(connection, &ids, time::now())?;
    for project in projects {
        let found = project.get("id").and_then(Value::as_str).and_then(|id| numbers.get(id));
        let Some(numbers) = found else { continue };
        if extras.include_stats {
            let below: Vec<Value> = numbers.below.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
            project.insert("stats".to_owned(), numbers.show(extras.stats_for_state));
            project.insert("sub_projects".to_owned(), Value::Array(below));
        }
        if extras.check_own_contents {
            project.insert("own_tasks".to_owned(), numbers.own_tasks.into());
            project.insert("own_models".to_owned(), numbers.own_models.into());
        }
    }
    Ok(())
}

fn add_dataset_stats(connection: &Snapshot, projects: &mut [Row]) -> StoreResult<()> {
    for project in projects {
        let Some(id) = project.get("id").and_then(Value::as_str) else { continue };
        if let Some(stats) = projects::dataset_stats(connection, id)? {
            let shown = json!({"file_count": stats.files, "total_size": stats.bytes});
            project.insert("dataset_stats".to_owned(), shown);
        }
    }
    Ok(())
}
