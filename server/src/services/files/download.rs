//! `GET` and `HEAD` of a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::response::Builder;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::Places;
use super::content::{content_type, is_active};
use super::errors::FileError;
use super::paths::FilePath;
use super::range::{Wanted, wanted};
use super::upload::blocking;

/// Bytes that are read and sent at a time.
const CHUNK: usize = 64 << 10;

/// Sends a file, or the part of it that the request wants, in pieces.
pub(super) async fn download(places: &Places, request: &Parts) -> Result<Response<Body>, FileError> {
    let path = FilePath::encoded(request.uri.path())?;
    let (opened, tree) = (path.clone(), places.tree.clone());
    let (file, metadata) = blocking(move || {
        let file = std::fs::File::open(opened.below(&tree)?)?;
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok((file, metadata)) } else { Err(FileError::NotFound) }
    })
    .await?;

    let headers = &request.headers;
    let etag = etag_of(&metadata);
    let as_attachment = request.uri.query().is_some_and(|query| query.split('&').any(is_download));
    let response = describe(&path, &metadata, &etag, as_attachment);
    if text(headers, header::IF_NONE_MATCH).is_some_and(|known| names(known, &etag)) {
        return Ok(finish(response.status(StatusCode::NOT_MODIFIED), Body::empty()));
    }
    let size = metadata.len();
    // A part of another version of the file is of no use: then all of it is sent.
    let same_version = text(headers, header::IF_RANGE).is_none_or(|version| version == etag);
    let range = text(headers, header::RANGE).filter(|_| same_version);
    let (status, start, length) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Wanted::Nothing => {
            let response = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
            return Ok(finish(response.header(header::CONTENT_RANGE, format!("bytes */{size}")), Body::empty()));
        }
    };
    let mut response = response.status(status).header(header::CONTENT_LENGTH, length);
    if status == StatusCode::PARTIAL_CONTENT {
        let end = start + length - 1;
        response = response.header(header::CONTENT_RANGE, format!("bytes {start}-{end}/{size}"));
    }
    if request.method == Method::HEAD {
        return Ok(finish(response, Body::empty()));
    }
    let mut file = File::from_std(file);
    if start > 0 {
        file.seek(std::io::SeekFrom::Start(start)).await?;
    }
    let stream = ReaderStream::with_capacity(file.take(length), CHUNK);
    Ok(finish(response, Body::from_stream(stream)))
}

fn describe(path: &FilePath, metadata: &Metadata, etag: &str, as_attachment: bool) -> Builder {
    let kind = content_type(path.file_name());
    let disposition = if as_attachment { "attachment" } else { "inline" };
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(header::ETAG, etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, max-age=300")
        .header(header::CONTENT_DISPOSITION, disposition)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Ok(modified) = Timestamp::from_second(metadata.mtime()) {
        let date = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response = response.header(header::LAST_MODIFIED, date);
    }
    if is_active(kind) {
        response = response.header(header::CONTENT_SECURITY_POLICY, "sandbox allow-scripts");
    }
    response
}

fn finish(response: Builder, body: Body) -> Response<Body> {
    response.body(body).expect("all header values are plain ASCII")
}

fn etag_of(metadata: &Metadata) -> String {
    // The inode too: two files may take each other's place within one tick of the clock.
    format!("\"{:x}-{:x}-{:x}-{:x}\"", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

fn names(known: &str, etag: &str) -> bool {
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == etag || one == "*")
}

fn is_download(parameter: &str) -> bool {
    parameter.split('=').next() == Some("download")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
