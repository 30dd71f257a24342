//! The `projects` service.

mod edit;
mod lists;
mod read;
mod remove;

use serde_json::json;

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "create" => edit::create(state, &call).await,
        "delete" => remove::delete(state, &call).await,
        "get_all" => read::get_all(state, call, false).await,
        "get_all_ex" => read::get_all(state, call, true).await,
        "get_by_id" => read::get_by_id(state, &call).await,
        "get_hyper_parameters" => lists::get_hyper_parameters(state, &call).await,
        "get_hyperparam_values" => lists::get_hyperparam_values(state, &call).await,
        "get_model_metadata_keys" => lists::get_model_metadata_keys(state, &call).await,
        "get_model_metadata_values" => lists::get_model_metadata_values(state, &call).await,
        "get_model_tags" => lists::get_tags(state, &call, crate::store::projects::TagsOf::Models).await,
        "get_project_tags" => lists::get_tags(state, &call, crate::store::projects::TagsOf::Projects).await,
        "get_task_parents" => lists::get_task_parents(state, &call).await,
        "get_task_tags" => lists::get_tags(state, &call, crate::store::projects::TagsOf::Tasks).await,
        "get_unique_metric_variants" => lists::get_unique_metric_variants(state, &call).await,
        "get_user_names" => lists::get_user_names(state, &call).await,
        "merge" => edit::merge(state, &call).await,
        "move" => edit::move_project(state, &call).await,
        "update" => edit::update(state, &call).await,
        "validate_delete" => remove::validate_delete(state, &call).await,
        // One company, one visibility: there is nobody to show a project to or hide it from.
        "make_public" | "make_private" => Ok(json!({"updated": 0})),
        _ => return None,
    })
}
