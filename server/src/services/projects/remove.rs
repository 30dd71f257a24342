//! Deleting projects.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::models::{self, Model};
use crate::store::projects::{self, Contents, Project};
use crate::store::tasks::{self, Task};
use crate::store::{StoreResult, Tx};
use crate::time;

#[derive(Debug, Deserialize)]
struct Delete {
    project: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    delete_contents: bool,
}

/// `projects.delete`: with all below it. Its tasks and models stay and are in no project then, unless they are to be
/// deleted as well; their files stay, and their addresses are answered.
pub(super) async fn delete(state: &State, call: &Call) -> Reply {
    let request: Delete = call.arguments()?;
    state
        .store
        .write(move |tx| {
            let project = Project::require(tx, &request.project)?;
            let tree = projects::subtree(tx, &project.id)?;
            let contents = projects::contents(tx, &tree)?;
            if !request.force {
                refuse_contents(&project, &contents)?;
            }
            let mut reply = json!({"disassociated_tasks": 0, "deleted_tasks": 0, "deleted_models": 0});
            if request.delete_contents {
                let urls = delete_contents(tx, &contents)?;
                reply["deleted_tasks"] = contents.tasks.len().into();
                reply["deleted_models"] = contents.models.len().into();
                reply["urls"] = urls;
            } else {
                reply["disassociated_tasks"] = projects::disassociate(tx, &tree, time::now())?.into();
            }
            projects::remove(tx, &tree)?;
            reply["deleted"] = 1.into();
            Ok(reply)
        })
        .await
}

fn refuse_contents(project: &Project, contents: &Contents) -> Result<(), ApiError> {
    let hint = "use force=true to delete";
    if contents.live_tasks > 0 {
        return Err(ApiError::project_has_tasks(hint, &[("id", &project.id)]));
    }
    if contents.live_models > 0 {
        return Err(ApiError::project_has_models(hint, &[("id", &project.id)]));
    }
    Ok(())
}

/// Deletes tasks and models; returns the addresses of their files.
fn delete_contents(tx: &Tx<'_>, contents: &Contents) -> StoreResult<Value> {
    let mut urls = json!({"model_urls": [], "artifact_urls": [], "event_urls": []});
    let mut add = |kind: &str, found: Vec<Value>| {
        if let Some(list) = urls[kind].as_array_mut() {
            list.extend(found);
        }
    };
    // Models first: their addresses are known to nobody else.
    for id in &contents.models {
        if let Some(model) = Model::find(tx, id)? {
            let deleted = models::delete(tx, &model, true)?;
            add("model_urls", deleted.url.into_iter().map(Value::String).collect());
        }
    }
    for id in &contents.tasks {
        if let Some(task) = Task::find(tx, id)? {
            let mut cleaned = tasks::delete(tx, &task, true, true)?;
            for kind in ["model_urls", "artifact_urls", "event_urls"] {
                if let Some(Value::Array(found)) = cleaned.urls.get_mut(kind).map(Value::take) {
                    add(kind, found);
                }
            }
        }
    }
    Ok(urls)
}

#[derive(Debug, Deserialize)]
struct ValidateDelete {
    project: String,
}

/// `projects.validate_delete`: what deleting it would touch.
pub(super) async fn validate_delete(state: &State, call: &Call) -> Reply {
    let request: ValidateDelete = call.arguments()?;
    state
        .store
        .read(move |connection| {
            let project = Project::require(connection, &request.project)?;
            let contents = projects::contents(connection, &projects::subtree(connection, &project.id)?)?;
            Ok(json!({
                "tasks": contents.tasks.len(), "non_archived_tasks": contents.live_tasks,
                "models": contents.models.len(), "non_archived_models": contents.live_models,
            }))
        })
        .await
}
