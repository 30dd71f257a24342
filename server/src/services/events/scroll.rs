//! Scroll ids. They hold where the reader is and nothing is kept for them: they never expire and need no cleaning.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocols::clearml::error::ApiError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::http::{Call, Reply};

/// Makes the id of a position.
pub(super) fn encode(position: &impl Serialize) -> Result<String, ApiError> {
    let json = serde_json::to_vec(position).map_err(|error| ApiError::internal("scroll", &[("reason", &error)]))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Reads the position of an id.
///
/// # Errors
/// 400/1104 when this server never gave such an id.
pub(super) fn decode<T: DeserializeOwned>(id: &str) -> Result<T, ApiError> {
    let json = URL_SAFE_NO_PAD.decode(id).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| ApiError::invalid_scroll_id("", &[("scroll_id", &id)]))
}

/// `events.clear_scroll`: there is nothing to free.
pub(super) fn clear(call: &Call) -> Reply {
    match call.body.get("scroll_id") {
        Some(_) => Ok(json!({})),
        None => Err(ApiError::missing_field("scroll_id")),
    }
}
