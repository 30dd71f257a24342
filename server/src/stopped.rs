//! The API without a server: for commands of the owner of a data directory while nothing runs there.

use std::fs::File;
use std::path::Path;

use protocols::clearml::error::ApiError;
use serde_json::{Map, Value};

use crate::auth::{Authority, Identity};
use crate::config::{EventLimits, ServerError};
use crate::directories::Directories;
use crate::http::Call;
use crate::services;
use crate::signals::Signals;
use crate::state::{Shared, State};
use crate::store::{Store, users};

/// The store of a server that does not run. No server can start in the directory as long as this lives.
#[derive(Debug)]
pub struct StoppedServer {
    state: State,
    _lock: File,
}

impl StoppedServer {
    /// Opens the data directory of a server, as a start of it would, without listening anywhere.
    ///
    /// # Errors
    /// [`ServerError::InUse`] while a server runs there, [`ServerError::NoServer`] where none ever did.
    pub async fn open(data_dir: &Path) -> Result<Self, ServerError> {
        let directories = Directories::of_stopped(data_dir)?;
        let signals = Signals::default();
        let store = Store::open(&directories.database, signals.clone())?;
        let (server_id, credentials) = store
            .read(|connection| Ok((users::server_id(connection)?, users::credentials(connection)?)))
            .await
            .map_err(|error| ServerError::Prepare { reason: error.to_string() })?;
        let authority = Authority::open(&directories.key, credentials)
            .map_err(|source| ServerError::Key { path: directories.key.clone(), source })?;
        let state = State::new(Shared {
            store,
            signals,
            authority,
            files_dir: directories.files,
            api_url: String::new(),
            files_url: String::new(),
            event_limits: EventLimits::default(),
            max_upload: None,
            server_id,
        });
        Ok(Self { state, _lock: directories.lock })
    }

    /// Calls an endpoint as somebody who may do everything: whoever can write here is the owner.
    ///
    /// # Errors
    /// What a server would answer.
    pub async fn call(&self, endpoint: &str, body: Map<String, Value>) -> Result<Value, ApiError> {
        let unknown = || ApiError::unknown_endpoint("", &[("name", &endpoint)]);
        let (service, action) = endpoint.split_once('.').ok_or_else(unknown)?;
        let call = Call::from_inside(endpoint, body, Identity::owner());
        services::dispatch(&self.state, service, action, call).await.ok_or_else(unknown)?
    }

    /// Closes the database; what was answered is durable before that.
    pub async fn close(self) {
        self.state.store.close().await;
    }
}
