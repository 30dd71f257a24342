//! Users made, changed, removed.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::auth::{check_company, digest};
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
    /// Ours: the caller's own new password.
    password: Option<String>,
    /// The one that the caller has, if any.
    current_password: Option<String>,
}

/// Changes the caller's own profile, or anybody's for an administrator; and the caller's own password.
pub(super) async fn update(state: &State, call: &Call) -> Reply {
    let Update { user, name, given_name, family_name, avatar, password, current_password } = call.arguments()?;
    let caller = call.identity();
    if user != caller.user_id && !manages(&caller.role) {
        return Err(ApiError::role_not_allowed("", &[("endpoint", &call.endpoint), ("role", &caller.role)]));
    }
    let password = match password {
        Some(password) => Some(own_password(state, call, &user, password, current_password).await?),
        None => None,
    };
    let profile = Profile { name, given_name, family_name, avatar };
    let fields = shown(&profile);
    let updated = state
        .store
        .write(move |tx| {
            users::require(tx, &user)?;
            let updated = users::update(tx, &user, &profile)?;
            if let Some(password) = password {
                users::set_password(tx, &user, Some(&password))?;
            }
            Ok(updated)
        })
        .await?;
    Ok(json!({"updated": updated, "fields": fields}))
}

/// What is kept of the new password of a caller who knows the old one. A token alone is not enough: it may have been
/// left open somewhere.
async fn own_password(
    state: &State,
    call: &Call,
    user: &str,
    password: String,
    current: Option<String>,
) -> Result<String, ApiError> {
    if user != call.identity().user_id {
        let why = "changes the caller's own: an administrator sets that of others with auth.edit_user";
        return Err(ApiError::bad_field("password", why));
    }
    if !state.authority.is_own_password(user, current.unwrap_or_default(), call.source).await? {
        return Err(ApiError::bad_field("current_password", "is not the password that the user has"));
    }
    let id = user.to_owned();
    let account = state.store.read(move |connection| users::require(connection, &id)).await?;
    let digest = digest(&account.name, Some(password)).await?;
    digest.ok_or_else(|| ApiError::internal("the password cannot be digested", &[]))
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
