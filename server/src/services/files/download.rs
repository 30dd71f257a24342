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
use super::content::{content_type as file_type, is_active};
use super::errors::FileError;
use super::multi::ManyParts;
use super::paths::FilePath;
use super::range::{Part, Wanted, wanted};
use super::upload::blocking;

/// Bytes that are read and sent at a time.
pub(super) const CHUNK: usize = 64 << 10;

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
    let kind = file_type(path.file_name());
    let response = describe(&path, &metadata, &etag, as_attachment, kind);
    if is_known(headers, &etag, &metadata) {
        return Ok(finish(response.status(StatusCode::NOT_MODIFIED), Body::empty()));
    }
    let size = metadata.len();
    let range = text(headers, header::RANGE).filter(|_| is_same_version(headers, &etag, &metadata));
    let (status, part) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, Part { start: 0, length: size }),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Parts(parts) => {
            let parts = ManyParts::new(File::from_std(file), parts, kind, size);
            let response = describe(&path, &metadata, &etag, as_attachment, &parts.content_type())
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_LENGTH, parts.length());
            let body = if request.method == Method::HEAD { Body::empty() } else { parts.into_body() };
            return Ok(finish(response, body));
        }
        Wanted::Nothing => {
            let response = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
            return Ok(finish(response.header(header::CONTENT_RANGE, format!("bytes */{size}")), Body::empty()));
        }
    };
    let mut response = response.status(status).header(header::CONTENT_LENGTH, part.length);
    if status == StatusCode::PARTIAL_CONTENT {
        response = response.header(header::CONTENT_RANGE, part.content_range(size));
    }
    if request.method == Method::HEAD {
        return Ok(finish(response, Body::empty()));
    }
    let mut file = File::from_std(file);
    if part.start > 0 {
        file.seek(std::io::SeekFrom::Start(part.start)).await?;
    }
    let stream = ReaderStream::with_capacity(file.take(part.length), CHUNK);
    Ok(finish(response, Body::from_stream(stream)))
}

/// Whether the client says that it has this version. A tag says more than a date.
fn is_known(headers: &HeaderMap, etag: &str, metadata: &Metadata) -> bool {
    match text(headers, header::IF_NONE_MATCH) {
        Some(known) => names(known, etag),
        None => {
            text(headers, header::IF_MODIFIED_SINCE).and_then(seconds).is_some_and(|since| metadata.mtime() <= since)
        }
    }
}

/// Whether a part is of use to the client: one of another version of the file is not, then all of it is sent.
fn is_same_version(headers: &HeaderMap, etag: &str, metadata: &Metadata) -> bool {
    text(headers, header::IF_RANGE)
        .is_none_or(|version| version == etag || seconds(version).is_some_and(|date| date == metadata.mtime()))
}

/// Seconds since the epoch of a date as HTTP writes it.
fn seconds(date: &str) -> Option<i64> {
    let date = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", date.trim()).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(date).ok()?.as_second())
}

fn describe(path: &FilePath, metadata: &Metadata, etag: &str, as_attachment: bool, content_type: &str) -> Builder {
    let disposition = if as_attachment { "attachment" } else { "inline" };
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ETAG, etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, max-age=300")
        .header(header::CONTENT_DISPOSITION, disposition)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Ok(modified) = Timestamp::from_second(metadata.mtime()) {
        let date = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response = response.header(header::LAST_MODIFIED, date);
    }
    if is_active(file_type(path.file_name())) {
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
