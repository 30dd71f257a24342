//! `POST /`: one or many files in one multipart body.

use axum::RequestExt as _;
use axum::extract::Request;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt as _;

use super::Places;
use super::errors::FileError;
use super::partial::Partial;
use super::paths::FilePath;

/// Bytes of an upload after which the room on the disk is measured again.
const MEASURE_EVERY: usize = 16 << 20;

/// Bytes of a refused upload that are taken in and thrown away: most clients read an answer only when they have sent
/// everything, and take a closed connection for a fault of the network, to be tried again.
const THROWN_AWAY: usize = 1 << 30;

/// Stores every file part under the path that its field name is, and answers their paths when all are durable. The
/// file name of a part says nothing; a part without one is no file.
pub(super) async fn upload(places: &Places, request: Request) -> Result<impl IntoResponse, FileError> {
    let mut multipart: Multipart = request
        .extract()
        .await
        .map_err(|error: axum::extract::multipart::MultipartRejection| FileError::BadRequest(error.body_text()))?;
    let outcome = store_all(places, &mut multipart).await;
    if outcome.is_err() {
        throw_away(&mut multipart).await;
    }
    Ok(json(&outcome?))
}

async fn store_all(places: &Places, multipart: &mut Multipart) -> Result<Vec<String>, FileError> {
    let mut stored = Vec::new();
    while let Some(field) = multipart.next_field().await? {
        if field.file_name().is_none() {
            continue;
        }
        let path = FilePath::plain(field.name().unwrap_or_default())?;
        store(places, field, &path).await?;
        stored.push(path.as_str().to_owned());
    }
    Ok(stored)
}

/// Reads what is left of a body.
async fn throw_away(multipart: &mut Multipart) {
    let mut room = THROWN_AWAY;
    while let Ok(Some(mut field)) = multipart.next_field().await {
        while let Ok(Some(chunk)) = field.chunk().await {
            room = room.saturating_sub(chunk.len());
            if room == 0 {
                return;
            }
        }
    }
}

async fn store(places: &Places, mut field: Field<'_>, path: &FilePath) -> Result<(), FileError> {
    // Refused before the bytes come, if it can be known.
    refuse_if_low(places)?;
    let (checked, tree) = (path.clone(), places.tree.clone());
    let directory = places.partial.clone();
    let (partial, file) = blocking(move || {
        let place = checked.below(&tree)?;
        if place.is_dir() {
            return Err(FileError::Path("it is a folder"));
        }
        Ok(Partial::create(&directory)?)
    })
    .await?;
    let mut file = tokio::fs::File::from_std(file);
    let mut size = 0_u64;
    let mut unmeasured = 0;
    while let Some(chunk) = field.chunk().await? {
        size += chunk.len() as u64;
        if let Some(limit) = places.state.max_upload.filter(|limit| size > *limit) {
            return Err(FileError::TooLarge { limit });
        }
        file.write_all(&chunk).await?;
        unmeasured += chunk.len();
        if unmeasured >= MEASURE_EVERY {
            refuse_if_low(places)?;
            unmeasured = 0;
        }
    }
    file.flush().await?;
    file.sync_all().await?;
    let (path, tree) = (path.clone(), places.tree.clone());
    blocking(move || partial.place(&tree, &path)).await
}

fn refuse_if_low(places: &Places) -> Result<(), FileError> {
    if places.state.disk.files.look().is_low { Err(FileError::DiskLow) } else { Ok(()) }
}

/// Runs work on the disk off the reactor.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, FileError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, FileError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(FileError::Io(std::io::Error::other("the operation failed unexpectedly"))),
    }
}

impl From<MultipartError> for FileError {
    fn from(error: MultipartError) -> Self {
        Self::BadRequest(error.body_text())
    }
}

/// JSON with the content type that clients have always been given.
pub(super) fn json(value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_string(value).expect("texts and maps of texts are JSON");
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}
