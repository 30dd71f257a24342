//! Metadata of models.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::models::{self, Model, metadata_object};
use crate::time;

#[derive(Debug, Deserialize)]
struct AddMetadata {
    model: String,
    metadata: Value,
    #[serde(default)]
    replace_metadata: bool,
}

/// `models.add_or_update_metadata`.
pub(super) async fn add_or_update_metadata(state: &State, call: &Call) -> Reply {
    let request: AddMetadata = call.arguments()?;
    let entries = metadata_object(&request.metadata)?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let model = Model::require(tx, &request.model)?;
            models::add_metadata(tx, &model, entries, request.replace_metadata, &user, time::now())?;
            Ok(json!({"updated": 1}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct DeleteMetadata {
    model: String,
    keys: Vec<String>,
}

/// `models.delete_metadata`.
pub(super) async fn delete_metadata(state: &State, call: &Call) -> Reply {
    let request: DeleteMetadata = call.arguments()?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let model = Model::require(tx, &request.model)?;
            models::delete_metadata(tx, &model, &request.keys, &user, time::now())?;
            Ok(json!({"updated": 1}))
        })
        .await
}
