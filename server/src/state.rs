//! What every service works with.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use protocols::clearml::error::ApiError;

use crate::auth::Authority;
use crate::config::{EventLimits, ServerConfig, ServerError};
use crate::directories::Directories;
use crate::services::organization::Exports;
use crate::signals::Signals;
use crate::store::{Store, queues, users};

/// Shared by all calls; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct State(Arc<Shared>);

/// The parts of [`State`].
#[derive(Debug)]
pub(crate) struct Shared {
    /// The database.
    pub(crate) store: Store,
    /// Wakes long-polls.
    pub(crate) signals: Signals,
    /// Checks credentials, makes tokens.
    pub(crate) authority: Authority,
    /// Downloads that were prepared.
    pub(crate) exports: Exports,
    /// Root of the uploaded files; exists.
    pub(crate) files_dir: PathBuf,
    /// Where clients find the API, for the page on the web port.
    pub(crate) api_url: String,
    /// Where clients find the files.
    pub(crate) files_url: String,
    /// How much a task may keep of what it reports.
    pub(crate) event_limits: EventLimits,
    /// Bytes of one uploaded file at most.
    pub(crate) max_upload: Option<u64>,
    /// Unique to this installation.
    pub(crate) server_id: String,
}

impl State {
    /// Opens the store of a data directory and reads who may call. `urls` are those of the API and of the files.
    ///
    /// # Errors
    /// One [`ServerError`] that names the file in the way.
    pub(crate) async fn open(
        directories: &Directories,
        config: &ServerConfig,
        urls: [&str; 2],
    ) -> Result<(Self, Option<(String, String)>), ServerError> {
        let signals = Signals::default();
        let store = Store::open(&directories.database, signals.clone())?;
        let prepare = |error: ApiError| ServerError::Prepare { reason: error.to_string() };
        let (names, issue) = (config.queues.clone(), config.issue_credentials);
        let new_credentials = store
            .write(move |tx| {
                let first = users::bootstrap(tx, issue)?;
                queues::bootstrap(tx, &names)?;
                Ok(first)
            })
            .await
            .map_err(prepare)?;
        let server_id = store.read(users::server_id).await.map_err(prepare)?;
        let authority = Authority::open(&directories.key, store.clone(), signals.clone())
            .map_err(|source| ServerError::Key { path: directories.key.clone(), source })?;
        authority.refresh().await.map_err(prepare)?;
        let [api_url, files_url] = urls.map(str::to_owned);
        let state = Self(Arc::new(Shared {
            store,
            signals,
            authority,
            exports: Exports::default(),
            files_dir: directories.files.clone(),
            api_url,
            files_url,
            event_limits: config.event_limits,
            max_upload: config.max_upload,
            server_id,
        }));
        Ok((state, new_credentials))
    }
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
