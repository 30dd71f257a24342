//! The API without a server: for commands of the owner of a data directory while nothing runs there.

use std::fs::File;
use std::path::Path;

use protocols::clearml::error::ApiError;
use serde_json::{Map, Value};

use crate::auth::Identity;
use crate::config::{ServerConfig, ServerError};
use crate::directories::Directories;
use crate::http::{Answer, Call};
use crate::services;
use crate::state::State;

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
        let config = ServerConfig { queues: Vec::new(), ..ServerConfig::new(data_dir) };
        let (state, _) = State::open(&directories, &config, ["", ""]).await?;
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
        match services::dispatch(&self.state, service, action, call).await.ok_or_else(unknown)?? {
            Answer::Data(data) => Ok(data),
            Answer::Download(_) => Err(ApiError::not_supported("the answer is a download", &[("name", &endpoint)])),
        }
    }

    /// Closes the database; what was answered is durable before that.
    pub async fn close(self) {
        self.state.store.close().await;
    }
}
