//! The `models` service.

mod edit;
mod many;
mod metadata;
mod publish;
mod read;

use protocols::clearml::envelope::ApiVersion;
use protocols::clearml::error::ApiError;
use serde_json::json;

use crate::http::{Call, Reply};
use crate::state::State;

/// The last version with `update_for_task` and `get_by_task_id`.
const WITH_TASK_MODELS: ApiVersion = ApiVersion::new(2, 13);

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "add_or_update_metadata" => metadata::add_or_update_metadata(state, &call).await,
        "archive_many" => many::archive_many(state, &call, true).await,
        "create" => edit::create(state, &call).await,
        "delete" => many::delete(state, &call).await,
        "delete_many" => many::delete_many(state, &call).await,
        "delete_metadata" => metadata::delete_metadata(state, &call).await,
        "edit" | "update" => edit::edit(state, &call).await,
        "get_all" => read::get_all(state, call, false).await,
        "get_all_ex" => read::get_all(state, call, true).await,
        "get_by_id" => read::get_by_id(state, &call).await,
        "get_by_id_ex" => read::get_all(state, call, true).await,
        "get_by_task_id" | "update_for_task" if call.version > WITH_TASK_MODELS => Err(ApiError::moved("", &[])),
        "get_by_task_id" => read::get_by_task_id(state, &call).await,
        "get_frameworks" => read::get_frameworks(state, &call).await,
        "move" => many::move_models(state, &call).await,
        "publish_many" => publish::publish_many(state, &call).await,
        "set_ready" => publish::set_ready(state, &call).await,
        "unarchive_many" => many::archive_many(state, &call, false).await,
        "update_for_task" => edit::update_for_task(state, &call).await,
        "update_tags" => many::update_tags(state, &call).await,
        // One company, one visibility: there is nobody to show a model to or hide it from.
        "make_public" | "make_private" => Ok(json!({"updated": 0})),
        _ => return None,
    })
}
