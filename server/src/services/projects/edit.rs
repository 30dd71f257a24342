//! Making, changing and moving projects.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::json;

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::projects::{self, NewProject, Project, RowUpdate};
use crate::time;

#[derive(Debug, Deserialize)]
struct Create {
    name: String,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    system_tags: Vec<String>,
    default_output_destination: Option<String>,
}

/// `projects.create`: with its parents, when there are none.
pub(super) async fn create(state: &State, call: &Call) -> Reply {
    let request: Create = call.arguments()?;
    let user = call.identity().user_id;
    let new = NewProject {
        name: request.name,
        description: request.description,
        tags: request.tags,
        system_tags: request.system_tags,
        default_output_destination: request.default_output_destination,
    };
    let id = state.store.write(move |tx| projects::create(tx, new, &user, time::now())).await?;
    Ok(json!({"id": id}))
}

#[derive(Debug, Deserialize)]
struct Update {
    project: String,
    name: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    system_tags: Option<Vec<String>>,
    default_output_destination: Option<String>,
}

/// `projects.update`: a new name may change the last part of the old one only.
pub(super) async fn update(state: &State, call: &Call) -> Reply {
    let request: Update = call.arguments()?;
    state
        .store
        .write(move |tx| {
            let project = Project::require(tx, &request.project)?;
            let name = request.name.as_deref().map(|name| projects::rename(tx, &project, name)).transpose()?;
            let mut update = RowUpdate::default();
            update
                .text("name", name)
                .text("description", request.description)
                .text("default_output_destination", request.default_output_destination)
                .texts("tags", request.tags)
                .texts("system_tags", request.system_tags);
            if update.is_empty() {
                return Ok(json!({"updated": 0, "fields": {}}));
            }
            update.time("last_update", time::now());
            let fields = update.apply(tx, "projects", &project.id)?;
            Ok(json!({"updated": 1, "fields": fields}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct Move {
    project: String,
    #[serde(default)]
    new_location: String,
}

/// `projects.move`: below another project, or with an empty location to the root.
pub(super) async fn move_project(state: &State, call: &Call) -> Reply {
    let request: Move = call.arguments()?;
    let user = call.identity().user_id;
    state
        .store
        .write(move |tx| {
            let project = Project::require(tx, &request.project)?;
            let moved = projects::move_under(tx, &project, &request.new_location, &user, time::now())?;
            Ok(json!({"moved": moved}))
        })
        .await
}

#[derive(Debug, Deserialize)]
struct Merge {
    project: String,
    destination_project: Option<String>,
}

/// `projects.merge`: everything in a project goes to another one, or to none, and the project is gone.
pub(super) async fn merge(state: &State, call: &Call) -> Reply {
    let request: Merge = call.arguments()?;
    if !call.body.contains_key("destination_project") {
        return Err(ApiError::missing_field("destination_project"));
    }
    state
        .store
        .write(move |tx| {
            let source = Project::require(tx, &request.project)?;
            let destination = match request.destination_project.as_deref() {
                None | Some("") => None,
                Some(id) => Some(Project::require(tx, id)?),
            };
            let (entities, projects) = projects::merge(tx, &source, destination.as_ref(), time::now())?;
            Ok(json!({"moved_entities": entities, "moved_projects": projects}))
        })
        .await
}
