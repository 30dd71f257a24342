//! What there is to choose from in some projects.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::projects::{self, Scope, TagsOf};
use crate::store::query::unescape_key;

/// Items of a page when the request does not say.
const PAGE_SIZE: usize = 500;

#[derive(Debug, Deserialize)]
struct Choice {
    project: Option<String>,
    #[serde(default)]
    projects: Vec<String>,
    #[serde(default = "yes")]
    include_subprojects: bool,
    #[serde(default)]
    page: usize,
    #[serde(default = "page_size")]
    page_size: usize,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    model_metrics: bool,
    #[serde(default)]
    include_system: bool,
    section: Option<String>,
    name: Option<String>,
    key: Option<String>,
    tasks_state: Option<String>,
    entity: Option<String>,
}

fn yes() -> bool {
    true
}

fn page_size() -> usize {
    PAGE_SIZE
}

impl Choice {
    fn projects(&self) -> Vec<String> {
        self.project.iter().chain(&self.projects).cloned().collect()
    }

    /// Cuts a page out of everything, with how much there is and how much follows.
    fn page<T: serde::Serialize>(&self, name: &str, all: Vec<T>) -> Value {
        let total = all.len();
        let page: Vec<T> =
            all.into_iter().skip(self.page.saturating_mul(self.page_size)).take(self.page_size).collect();
        let shown = self.page.saturating_mul(self.page_size).saturating_add(page.len());
        json!({name: page, "total": total, "remaining": total.saturating_sub(shown)})
    }
}

fn required(value: Option<&String>, field: &str) -> Result<String, ApiError> {
    value.cloned().ok_or_else(|| ApiError::missing_field(field))
}

/// `projects.get_task_tags`, `get_model_tags`, `get_project_tags`.
pub(super) async fn get_tags(state: &State, call: &Call, of: TagsOf) -> Reply {
    let choice: Choice = call.arguments()?;
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            let mut reply = json!({"tags": projects::tags(connection, of, "tags", &scope)?});
            if choice.include_system {
                reply["system_tags"] = projects::tags(connection, of, "system_tags", &scope)?.into();
            }
            Ok(reply)
        })
        .await
}

/// `projects.get_unique_metric_variants`.
pub(super) async fn get_unique_metric_variants(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            let metrics = projects::metric_variants(connection, &scope, &choice.ids, choice.model_metrics)?;
            Ok(json!({"metrics": metrics}))
        })
        .await
}

/// `projects.get_hyper_parameters`.
pub(super) async fn get_hyper_parameters(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    required(choice.project.as_ref(), "project")?;
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            Ok(choice.page("parameters", projects::hyperparameter_names(connection, &scope)?))
        })
        .await
}

/// `projects.get_hyperparam_values`.
pub(super) async fn get_hyperparam_values(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    let section = unescape_key(&required(choice.section.as_ref(), "section")?);
    let name = unescape_key(&required(choice.name.as_ref(), "name")?);
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            let values = projects::hyperparameter_values(connection, &scope, &section, &name)?;
            Ok(json!({"total": values.len(), "values": values}))
        })
        .await
}

/// `projects.get_model_metadata_keys`.
pub(super) async fn get_model_metadata_keys(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    required(choice.project.as_ref(), "project")?;
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            Ok(choice.page("keys", projects::metadata_keys(connection, &scope)?))
        })
        .await
}

/// `projects.get_model_metadata_values`.
pub(super) async fn get_model_metadata_values(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    let key = unescape_key(&required(choice.key.as_ref(), "key")?);
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            let values = projects::metadata_values(connection, &scope, &key)?;
            Ok(json!({"total": values.len(), "values": values}))
        })
        .await
}

/// `projects.get_task_parents`.
pub(super) async fn get_task_parents(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    let archived = match choice.tasks_state.as_deref() {
        None => None,
        Some("active") => Some(false),
        Some("archived") => Some(true),
        Some(_) => return Err(ApiError::bad_field("tasks_state", "must be active or archived")),
    };
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            Ok(json!({"parents": projects::parents(connection, &scope, archived)?}))
        })
        .await
}

/// `projects.get_user_names`.
pub(super) async fn get_user_names(state: &State, call: &Call) -> Reply {
    let choice: Choice = call.arguments()?;
    let of_models = choice.entity.as_deref() == Some("model");
    state
        .store
        .read(move |connection| {
            let scope = Scope::of(connection, &choice.projects(), choice.include_subprojects)?;
            Ok(json!({"users": projects::users(connection, &scope, of_models)?}))
        })
        .await
}
