//! `organization.get_entities_count`.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::models::MODEL;
use crate::store::projects::{self, PROJECT};
use crate::store::query::{self, Entity, Expression, Options, Row};
use crate::store::tasks::{self, TASK};

/// Something that is counted under a name of its own.
struct Counted {
    name: &'static str,
    entity: &'static Entity,
    /// Which rows of the entity are meant, hidden ones included; `None` for all that are not hidden.
    condition: Option<fn() -> Expression>,
}

/// Pipelines and datasets are tasks in hidden projects; both carry a system tag.
const COUNTED: &[Counted] = &[
    Counted { name: "projects", entity: &PROJECT, condition: None },
    Counted { name: "tasks", entity: &TASK, condition: None },
    Counted { name: "models", entity: &MODEL, condition: None },
    Counted { name: "pipelines", entity: &PROJECT, condition: Some(|| projects::is_tagged("pipeline")) },
    Counted { name: "pipeline_runs", entity: &TASK, condition: Some(tasks::is_pipeline_run) },
    Counted { name: "datasets", entity: &PROJECT, condition: Some(|| projects::is_tagged("dataset")) },
    Counted { name: "dataset_versions", entity: &TASK, condition: Some(tasks::is_dataset_version) },
    Counted { name: "reports", entity: &TASK, condition: Some(tasks::is_report) },
];

#[derive(Deserialize)]
struct Limits {
    #[serde(default)]
    search_hidden: bool,
    #[serde(default)]
    active_users: Vec<String>,
}

/// How many there are of each kind that the request names; the value of each name is a filter as `get_all` takes it.
pub(super) async fn get_entities_count(state: &State, call: &Call) -> Reply {
    let Limits { search_hidden, active_users } = call.arguments()?;
    let mut asked = Vec::new();
    for counted in COUNTED {
        let mut filter = match call.body.get(counted.name) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(filter)) => filter.clone(),
            Some(_) => return Err(ApiError::bad_field(counted.name, "must be an object of filters")),
        };
        if search_hidden || counted.condition.is_some() {
            filter.insert("search_hidden".to_owned(), Value::Bool(true));
        }
        if !active_users.is_empty() && counted.entity.name != PROJECT.name {
            filter.entry("user").or_insert_with(|| Value::from(active_users.as_slice()));
        }
        asked.push((counted, filter));
    }
    state
        .store
        .read(move |connection| {
            let mut counts = Map::new();
            for (counted, filter) in asked {
                let filter: Row = filter;
                let conditions = counted.condition.map(|condition| condition()).into_iter().collect();
                let options = Options { conditions, ..Options::default() };
                let count = query::count(connection, counted.entity, &filter, &options)?;
                counts.insert(counted.name.to_owned(), Value::from(count));
            }
            Ok(Value::Object(counts))
        })
        .await
}
