//! `/healthz`, `/readyz` and `/metrics`, on the API port and the web port.
//!
//! The first two answer without credentials, for whoever starts, stops and balances servers; they say no more than
//! whether. The third tells names of queues, and so asks for credentials as everything else does.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use serde_json::json;

use crate::auth::Source;
use crate::metrics;
use crate::state::State;

/// Whether a request is for this module.
pub(super) fn is_health(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// Answers a request that [`is_health`] lets through.
pub(super) async fn answer(state: &State, path: &str, headers: &HeaderMap, source: Source) -> Response<Body> {
    match path {
        "/readyz" => ready(state).await,
        "/metrics" => numbers(state, headers, source).await,
        _ => (StatusCode::OK, "ok\n").into_response(),
    }
}

/// Whether everything that is asked of the server can be done: 200, or 503 with the reasons.
async fn ready(state: &State) -> Response<Body> {
    let mut problems = Vec::new();
    if state.signals.is_stopping() {
        problems.push("the server is stopping".to_owned());
    } else if let Some(trouble) = state.store.trouble().await {
        problems.push(format!("the database cannot be written: {trouble}"));
    }
    for volume in state.disk.volumes() {
        if volume.look().is_low {
            problems.push(format!("low disk space: {}", volume.name));
        }
    }
    let (status, word) = match problems.as_slice() {
        [] => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let body = json!({"status": word, "problems": problems}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn numbers(state: &State, headers: &HeaderMap, source: Source) -> Response<Body> {
    if let Err(error) = state.authority.identify_call(headers, source).await {
        // 401, or 429 for who guesses.
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::UNAUTHORIZED);
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"hostler\"")];
        return (status, challenge, error.message + "\n").into_response();
    }
    match metrics::page(state).await {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.message + "\n").into_response(),
    }
}
