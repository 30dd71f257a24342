//! Users as everybody sees them.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::query::{self, Options};
use crate::store::users::{self, USER};

/// Fields of a request that are no filters of the engine.
const ACTIVE_IN: &str = "active_in_projects";

pub(super) async fn get_current_user(state: &State, call: &Call) -> Reply {
    let identity = call.identity();
    let id = identity.user_id.clone();
    let (found, preferences) = state
        .store
        .read(move |connection| Ok((query::get(connection, &USER, &id, &[])?, users::preferences(connection, &id)?)))
        .await?;
    let mut user = Value::Object(found.unwrap_or_default());
    // Who acts for another has the role of its own.
    user["role"] = json!(identity.role);
    user["company"] = json!({"id": identity.company, "name": identity.company_name});
    user["providers"] = json!({});
    user["preferences"] = preferences;
    Ok(json!({"user": user, "getting_started": null, "settings": {}}))
}

#[derive(Deserialize)]
struct ById {
    user: String,
}

pub(super) async fn get_by_id(state: &State, call: &Call) -> Reply {
    let ById { user } = call.arguments()?;
    let id = user.clone();
    let found = state.store.read(move |connection| query::get(connection, &USER, &id, &[])).await?;
    let user = found.ok_or_else(|| ApiError::invalid_user_id("", &[("id", &user)]))?;
    Ok(json!({"user": user}))
}

#[derive(Deserialize)]
struct GetAll {
    /// Only users that made something in these projects or below; in any, where it is empty.
    active_in_projects: Option<Vec<String>>,
}

pub(super) async fn get_all(state: &State, call: Call) -> Reply {
    let GetAll { active_in_projects } = call.arguments()?;
    let body = call.body;
    let found = state
        .store
        .read(move |connection| {
            let mut options = Options { ignored: &[ACTIVE_IN], ..Options::default() };
            if let Some(projects) = active_in_projects {
                options.conditions.push(users::is_among(&users::active_in(connection, &projects)?));
            }
            query::find(connection, &USER, &body, &options)
        })
        .await?;
    let mut answer = json!({"users": found.rows});
    if let Some(scroll_id) = found.scroll_id {
        answer["scroll_id"] = Value::from(scroll_id);
    }
    Ok(answer)
}
