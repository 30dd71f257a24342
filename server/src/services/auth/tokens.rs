//! Tokens: made, checked, ended.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::json;

use crate::auth::{LONGEST_LIFETIME, Proof};
use crate::http::{Call, Reply};
use crate::state::State;

/// Lifetime of a token when the caller does not say: 30 days. Agents renew one that has less than 12 hours left.
const DEFAULT_LIFETIME: i64 = 2_592_000;

#[derive(Deserialize)]
struct Login {
    expiration_sec: Option<i64>,
}

pub(super) fn login(state: &State, call: &Call) -> Reply {
    let Login { expiration_sec } = call.arguments()?;
    let lifetime = lifetime(expiration_sec)?;
    Ok(json!({"token": state.authority.token(&call.identity(), proof(call)?, lifetime)}))
}

/// Ends the caller's session, where it has one.
pub(in crate::services) async fn log_out(state: &State, call: &Call) -> Reply {
    if let Some(proof) = &call.proof {
        state.authority.log_out(proof).await?;
    }
    Ok(json!({}))
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

pub(super) fn validate_token(state: &State, call: &Call) -> Reply {
    let Token { token } = call.arguments()?;
    Ok(match state.authority.by_token(&token) {
        Ok(caller) => json!({"valid": true, "user": caller.identity.user_id, "company": caller.identity.company}),
        Err(error) => json!({"valid": false, "msg": error.message}),
    })
}

#[derive(Deserialize)]
struct ForUser {
    user: String,
    expiration_sec: Option<i64>,
}

pub(super) fn get_token_for_user(state: &State, call: &Call) -> Reply {
    let ForUser { user, expiration_sec } = call.arguments()?;
    let identity = state.authority.user(&user).ok_or_else(|| ApiError::invalid_user_id("", &[("id", &user)]))?;
    let lifetime = lifetime(expiration_sec)?;
    // A session of its own: the user's logging out of it does not log out its maker.
    let proof = Proof { session: None, ..proof(call)?.clone() };
    Ok(json!({"token": state.authority.token(&identity, &proof, lifetime)}))
}

fn lifetime(asked: Option<i64>) -> Result<i64, ApiError> {
    let lifetime = asked.unwrap_or(DEFAULT_LIFETIME);
    if (1..=LONGEST_LIFETIME).contains(&lifetime) {
        return Ok(lifetime);
    }
    Err(ApiError::bad_field("expiration_sec", &format!("must be from 1 to {LONGEST_LIFETIME}")))
}

fn proof(call: &Call) -> Result<&Proof, ApiError> {
    call.proof.as_ref().ok_or_else(|| ApiError::no_credentials("", &[]))
}
