//! Credentials: made, shown, named, revoked. Everybody looks after their own, administrators after all.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::manages;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::users::{self, ShownCredential};
use crate::store::{StoreResult, Tx};
use crate::time;

#[derive(Deserialize)]
struct Create {
    label: Option<String>,
    /// Ours: an administrator makes them for somebody else.
    user: Option<String>,
}

pub(super) async fn create(state: &State, call: &Call) -> Reply {
    let Create { label, user } = call.arguments()?;
    let user = user_of(call, user)?;
    let shown = label.clone();
    let (key, secret) = state
        .store
        .write(move |tx| {
            users::require(tx, &user)?;
            users::add_credential(tx, &user, label.as_deref())
        })
        .await?;
    Ok(json!({"credentials": {"access_key": key, "secret_key": secret, "label": shown}}))
}

#[derive(Deserialize)]
struct Get {
    /// Ours: those of somebody else, for an administrator.
    user: Option<String>,
    /// Ours: those of everybody, for an administrator.
    #[serde(default)]
    all_users: bool,
}

pub(super) async fn get(state: &State, call: &Call) -> Reply {
    let Get { user, all_users } = call.arguments()?;
    let of = match all_users {
        true if manages(&call.identity().role) => None,
        true => return Err(not_yours(call)),
        false => Some(user_of(call, user)?),
    };
    let found = state.store.read(move |connection| users::list_credentials(connection, of.as_deref())).await?;
    let shown: Vec<Value> = found.into_iter().map(|credential| show(state, credential)).collect();
    Ok(json!({"credentials": shown}))
}

fn show(state: &State, credential: ShownCredential) -> Value {
    let ShownCredential { key, user, user_name, label, created, last_used, last_used_from } = credential;
    let (last_used, last_used_from) = match state.authority.last_use(&key) {
        Some(last) => (Some(last.at), last.from),
        None => (last_used, last_used_from),
    };
    json!({
        "access_key": key,
        "label": label,
        "last_used": last_used.map(time::to_iso),
        "last_used_from": last_used_from,
        "created": time::to_iso(created),
        "user": {"id": user, "name": user_name},
    })
}

#[derive(Deserialize)]
struct Edit {
    access_key: String,
    label: Option<String>,
}

pub(super) async fn edit(state: &State, call: &Call) -> Reply {
    let Edit { access_key, label } = call.arguments()?;
    let updated = change(state, call, access_key, move |tx, key| users::relabel_credential(tx, key, label.as_deref()));
    Ok(json!({"updated": updated.await?}))
}

#[derive(Deserialize)]
struct Revoke {
    access_key: String,
}

pub(super) async fn revoke(state: &State, call: &Call) -> Reply {
    let Revoke { access_key } = call.arguments()?;
    Ok(json!({"revoked": change(state, call, access_key, users::revoke_credential).await?}))
}

/// Changes a pair that is the caller's, or anybody's for an administrator. That others have one of this key is not
/// told.
async fn change(
    state: &State,
    call: &Call,
    key: String,
    job: impl FnOnce(&Tx<'_>, &str) -> StoreResult<usize> + Send + 'static,
) -> Result<usize, ApiError> {
    let caller = call.identity();
    state
        .store
        .write(move |tx| {
            let owner = users::owner_of_credential(tx, &key)?;
            if owner != caller.user_id && !manages(&caller.role) {
                return Err(ApiError::invalid_access_key("", &[("access_key", &key)]).into());
            }
            job(tx, &key)
        })
        .await
}

/// The user that is meant: the caller, unless an administrator names somebody else.
fn user_of(call: &Call, asked: Option<String>) -> Result<String, ApiError> {
    let caller = call.identity();
    match asked {
        None => Ok(caller.user_id),
        Some(user) if user == caller.user_id || manages(&caller.role) => Ok(user),
        Some(_) => Err(not_yours(call)),
    }
}

fn not_yours(call: &Call) -> ApiError {
    ApiError::role_not_allowed(
        "credentials of others",
        &[("endpoint", &call.endpoint), ("role", &call.identity().role)],
    )
}
