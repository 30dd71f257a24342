//! Why a request for a file is refused.

use std::io;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

/// Why a request for a file is refused; its text is the body of the answer.
#[derive(Debug, Error)]
pub(super) enum FileError {
    /// The caller is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// The path can be no file here.
    #[error("invalid path: {0}")]
    Path(&'static str),
    /// There is no such file.
    #[error("file not found")]
    NotFound,
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The method is none of this layer.
    #[error("method not allowed")]
    Method,
    /// The file is larger than this server takes.
    #[error("the file is larger than {limit} bytes, the most that this server takes")]
    TooLarge {
        /// Bytes that it may have.
        limit: u64,
    },
    /// The disk is full.
    #[error("the disk of the server is full: the file is not stored")]
    DiskFull,
    /// Less is free on the disk than must stay free.
    #[error("low disk space on the server: files are refused until there is room again")]
    DiskLow,
    /// The disk failed.
    #[error("the file cannot be read or written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        // A chain of comparisons: the kinds of the system are not ours to enumerate.
        let kind = error.kind();
        if kind == Kind::NotFound {
            Self::NotFound
        } else if kind == Kind::NotADirectory {
            Self::Path("a file stands where a folder would have to be")
        } else if matches!(kind, Kind::IsADirectory | Kind::DirectoryNotEmpty) {
            Self::Path("it is a folder")
        } else if kind == Kind::InvalidFilename {
            Self::Path("a name in it is too long")
        } else if matches!(kind, Kind::StorageFull | Kind::QuotaExceeded) {
            Self::DiskFull
        } else {
            Self::Io(error)
        }
    }
}

impl FileError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Path(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::DiskFull | Self::DiskLow => StatusCode::INSUFFICIENT_STORAGE,
            Self::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for FileError {
    fn into_response(self) -> Response {
        match &self {
            Self::Io(error) => tracing::error!(%error, "a file cannot be read or written"),
            Self::DiskFull => tracing::error!("the disk of the uploaded files is full"),
            // The disk tells the log once that it is low.
            Self::DiskLow
            | Self::Unauthorized(_)
            | Self::Path(_)
            | Self::BadRequest(_)
            | Self::NotFound
            | Self::Method
            | Self::TooLarge { .. } => {}
        }
        let mut response = (self.status(), self.to_string()).into_response();
        if matches!(self, Self::Unauthorized(_)) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
