//! Deleting, archiving, moving and tagging models.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::services::batch;
use crate::state::State;
use crate::store::models::{self, Model};
use crate::store::projects::{self, Project};
use crate::time;

#[derive(Debug, Deserialize)]
struct Delete {
    model: String,
    #[serde(default)]
    force: bool,
}

/// `models.delete`. The file stays: its address is answered, for the client to delete it.
pub(super) async fn delete(state: &State, call: &Call) -> Reply {
    let request: Delete = call.arguments()?;
    state
        .store
        .write(move |tx| {
            let model = Model::require(tx, &request.model)?;
            let deleted = models::delete(tx, &model, request.force)?;
            Ok(json!({"deleted": true, "url": deleted.url}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct Many {
    ids: Vec<String>,
    #[serde(default)]
    force: bool,
}

/// `models.delete_many`.
pub(super) async fn delete_many(state: &State, call: &Call) -> Reply {
    let request: Many = call.arguments()?;
    state
        .store
        .write(move |tx| {
            let outcome = batch::each(tx, &request.ids, |id| {
                let deleted = models::delete(tx, &Model::require(tx, id)?, request.force)?;
                Ok(object(json!({"deleted": true, "url": deleted.url})))
            })?;
            Ok(Value::Object(outcome.into_answer()))
        })
        .await
}

/// `models.archive_many`, `models.unarchive_many`.
pub(super) async fn archive_many(state: &State, call: &Call, archived: bool) -> Reply {
    let request: Many = call.arguments()?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let now = time::now();
            let outcome = batch::each(tx, &request.ids, |id| {
                models::set_archived(tx, &Model::require(tx, id)?, archived, &user, now)?;
                Ok(object(if archived { json!({"archived": true}) } else { json!({"unarchived": true}) }))
            })?;
            Ok(Value::Object(outcome.into_answer()))
        })
        .await
}

/// The members of an object made with `json!`.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

#[derive(Debug, Deserialize)]
struct Move {
    ids: Vec<String>,
    project: Option<String>,
    project_name: Option<String>,
}

/// `models.move`: to a project, which is made when it is named and there is none.
pub(super) async fn move_models(state: &State, call: &Call) -> Reply {
    let request: Move = call.arguments()?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let now = time::now();
            let project = match (&request.project, &request.project_name) {
                (Some(id), _) => Project::require(tx, id)?.id,
                (None, Some(name)) => projects::find_or_create(tx, name, &user, now)?,
                (None, None) => return Err(ApiError::missing_field("project").into()),
            };
            let moved = models::move_to(tx, &request.ids, &project, &user, now)?;
            Ok(json!({"project_id": project, "moved": moved}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct UpdateTags {
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
}

/// `models.update_tags`.
pub(super) async fn update_tags(state: &State, call: &Call) -> Reply {
    let request: UpdateTags = call.arguments()?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let now = time::now();
            let mut updated = 0;
            for id in &request.ids {
                let found = models::change_tags(tx, id, &request.add_tags, &request.remove_tags, &user, now)?;
                updated += u64::from(found);
            }
            Ok(json!({"updated": updated}))
        })
        .await
}
