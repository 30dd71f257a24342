//! What can go wrong in the store, and how it is told to callers.

use std::path::PathBuf;

use protocols::clearml::error::ApiError;
use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a job on the store failed. `?` turns an [`ApiError`], a database error and a JSON error into it.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The call is refused; the caller gets exactly this.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The database failed.
    #[error("database error")]
    Sql(#[from] rusqlite::Error),
    /// A stored document cannot be read.
    #[error("damaged document in the database")]
    Json(#[from] serde_json::Error),
}

/// Result of a job on the store.
pub(crate) type StoreResult<T> = Result<T, StoreError>;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Api(error) => error,
            StoreError::Sql(error) => from_sql(&error),
            StoreError::Json(error) => {
                tracing::error!(%error, "damaged document in the database");
                Self::inconsistent_data("damaged document", &[("reason", &error)])
            }
        }
    }
}

fn from_sql(error: &rusqlite::Error) -> ApiError {
    // A custom SQL function of ours that refuses its argument: the pattern of a filter.
    if let rusqlite::Error::UserFunctionError(inner) = error {
        return ApiError::invalid_regex("", &[("error", inner)]);
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            tracing::error!("the disk of the data directory is full: writes are refused");
            ApiError::low_disk_space("", &[])
        }
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked,
        ) => {
            tracing::error!(%error, "the database cannot be used");
            ApiError::database_unavailable("", &[("reason", error)])
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            tracing::error!(%error, "the database is damaged");
            ApiError::inconsistent_data("the database is damaged", &[("reason", error)])
        }
        Some(ErrorCode::ConstraintViolation) => ApiError::expected_unique_data("", &[]),
        Some(ErrorCode::TooBig | ErrorCode::TypeMismatch | ErrorCode::ParameterOutOfRange) => {
            ApiError::data_validation("", &[("reason", error)])
        }
        Some(_) | None => {
            tracing::error!(%error, "database error");
            ApiError::internal("", &[("reason", error)])
        }
    }
}

/// Why the database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file or its directory cannot be opened for writing.
    #[error("cannot open the database {path}: {source}", path = path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is not a database, or a damaged one.
    #[error(
        "{path} is not a usable database: {reason}; restore it from a backup, or start with another data directory",
        path = path.display()
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "{path} has schema version {found}, this program knows versions up to {known}: use a newer program",
        path = path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Version in the file.
        found: usize,
        /// Newest version known here.
        known: usize,
    },
    /// A migration failed; the file is as it was.
    #[error("cannot migrate {path} to schema version {version}: {source}", path = path.display())]
    Migrate {
        /// The database file.
        path: PathBuf,
        /// The version that could not be reached.
        version: usize,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}
