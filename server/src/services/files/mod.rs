//! The file layer: what clients upload and download, as files under the data directory.
//!
//! A file becomes visible under its name only when it is whole and on the disk: it is written beside the tree, synced,
//! and renamed into place. Nothing is read into memory as a whole.

mod content;
mod delete;
mod download;
mod errors;
mod multi;
mod partial;
mod paths;
mod range;
mod upload;

use std::path::PathBuf;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State as Extract};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};

use crate::auth::Source;
use crate::state::State;
use errors::FileError;

/// Below the root of the file layer: the files, by their paths.
pub(crate) const TREE: &str = "data";

/// Below the root of the file layer: uploads that are not complete.
pub(crate) const PARTIAL: &str = "partial";

/// Where the files are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Root of the tree that clients see.
    tree: PathBuf,
    /// Uploads in progress.
    partial: PathBuf,
    /// Knows how large a file may be, and whether there is room for more.
    state: State,
}

/// Routes of the file layer, mounted as the fallback of the API.
pub(crate) fn router(state: State) -> Router {
    let places =
        Places { tree: state.files_dir.join(TREE), partial: state.files_dir.join(PARTIAL), state: state.clone() };
    partial::remove_abandoned(&places.partial);
    Router::new()
        .route("/", any(root))
        .route("/delete_many", post(delete::delete_many))
        .fallback(any(file))
        // A request for `/` and one for a file differ in method only, so the check is in front of both.
        .layer(middleware::from_fn_with_state(state, authenticate))
        .layer(DefaultBodyLimit::disable())
        .with_state(places)
}

/// Lets a request through whose caller is known. The one exception is a health check.
async fn authenticate(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let is_health_check = request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
    let source = Source::of_request(request.headers(), request.extensions());
    match state.authority.identify(request.headers(), source).await {
        Ok(_) => next.run(request).await,
        Err(error) if is_health_check && error.is(401, 20) => next.run(request).await,
        Err(error) => FileError::Unauthorized(error.message).into_response(),
    }
}

async fn root(Extract(places): Extract<Places>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => "OK".into_response(),
        Method::POST => upload::upload(&places, request).await.into_response(),
        _ => FileError::Method.into_response(),
    }
}

async fn file(Extract(places): Extract<Places>, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    match parts.method {
        Method::GET | Method::HEAD => download::download(&places, &parts).await.into_response(),
        Method::DELETE => delete::delete(&places, parts.uri.path()).await.into_response(),
        _ => FileError::Method.into_response(),
    }
}
