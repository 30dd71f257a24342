//! `DELETE /path`, `POST /delete_many`.

use std::collections::BTreeMap;
use std::path::Path;

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Places;
use super::errors::FileError;
use super::paths::FilePath;
use super::upload::{blocking, json};

/// Bytes of a list of files at most.
const LIST_BYTES: usize = 16 << 20;

/// Deletes one file.
pub(super) async fn delete(places: &Places, path: &str) -> Result<impl IntoResponse, FileError> {
    let path = FilePath::encoded(path)?;
    let tree = places.tree.clone();
    blocking(move || {
        let place = path.below(&tree)?;
        if !place.is_file() {
            return Err(FileError::NotFound);
        }
        std::fs::remove_file(&place)?;
        remove_empty_folders(&tree, &place);
        Ok(json(&path.as_str()))
    })
    .await
}

#[derive(Debug, Deserialize)]
struct Files {
    files: Vec<String>,
}

/// Deletes files, and folders with all that is in them; one that cannot be deleted does not stop the others.
pub(super) async fn delete_many(
    Extract(places): Extract<Places>,
    body: axum::body::Body,
) -> Result<Response, FileError> {
    let body: Bytes = axum::body::to_bytes(body, LIST_BYTES)
        .await
        .map_err(|error| FileError::BadRequest(format!("the body cannot be read: {error}")))?;
    let request: Files =
        serde_json::from_slice(&body).map_err(|error| FileError::BadRequest(format!("bad list of files: {error}")))?;
    blocking(move || {
        let mut deleted = BTreeMap::new();
        let mut errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for given in request.files {
            match delete_any(&places.tree, &given) {
                Ok(path) => {
                    deleted.insert(given, path.as_str().to_owned());
                }
                Err(error) => errors.entry(error.to_string()).or_default().push(given),
            }
        }
        Ok(json(&serde_json::json!({"deleted": deleted, "errors": errors})))
    })
    .await
}

fn delete_any(tree: &Path, given: &str) -> Result<FilePath, FileError> {
    let path = FilePath::encoded(given)?;
    let place = path.below(tree)?;
    if place.is_dir() {
        std::fs::remove_dir_all(&place)?;
    } else {
        std::fs::remove_file(&place)?;
    }
    remove_empty_folders(tree, &place);
    Ok(path)
}

/// Removes the folders above a deleted file that it leaves empty; a folder that is not empty stays.
fn remove_empty_folders(tree: &Path, place: &Path) {
    let folders = place.ancestors().skip(1).take_while(|folder| *folder != tree && folder.starts_with(tree));
    for folder in folders {
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
}
