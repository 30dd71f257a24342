//! Users made, changed, removed.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::auth::check_company;
use crate::auth::manages;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::users::{self, NewAccount, Profile};

#[derive(Deserialize)]
struct Create {
    id: Option<String>,
    company: String,
    name: String,
    given_name: Option<String>,
    family_name: Option<String>,
    avatar: Option<String>,
}

pub(super) async fn create(state: &State, call: &Call) -> Reply {
    let Create { id, company, name, given_name, family_name, avatar } = call.arguments()?;
    check_company(&company)?;
    if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(ApiError::bad_field("id", "must have 1 to 64 characters, none of them blank"));
    }
    let profile = Profile { name: None, given_name, family_name, avatar };
    let new = NewAccount { id, profile, ..NewAccount::named(name) };
    state.store.write(move |tx| users::create(tx, &new)).await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
struct Update {
    user: String,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    avatar: Option<String>,
}

/// Changes the caller's own profile, or anybody's for an administrator.
pub(super) async fn update(state: &State, call: &Call) -> Reply {
    let Update { user, name, given_name, family_name, avatar } = call.arguments()?;
    let caller = call.identity();
    if user != caller.user_id && !manages(&caller.role) {
        return Err(ApiError::role_not_allowed("", &[("endpoint", &call.endpoint), ("role", &caller.role)]));
    }
    let profile = Profile { name, given_name, family_name, avatar };
    let fields = shown(&profile);
    let updated = state
        .store
        .write(move |tx| {
            users::require(tx, &user)?;
            users::update(tx, &user, &profile)
        })
        .await?;
    Ok(json!({"updated": updated, "fields": fields}))
}

fn shown(profile: &Profile) -> Map<String, Value> {
    let Profile { name, given_name, family_name, avatar } = profile;
    let fields = [("name", name), ("given_name", given_name), ("family_name", family_name), ("avatar", avatar)];
    let given = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value.clone()?.into())));
    given.collect()
}

#[derive(Deserialize)]
struct Delete {
    user: String,
}

pub(super) async fn delete(state: &State, call: &Call) -> Reply {
    let Delete { user } = call.arguments()?;
    state
        .store
        .write(move |tx| {
            let account = users::require(tx, &user)?;
            users::delete(tx, &account)
        })
        .await?;
    Ok(json!({}))
}
