//! The way to a server's data: through the server while it runs, else straight to the store.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;
use server::{ServerError, StoppedServer};

use super::super::api::Api;
use super::super::client_file;
use super::super::context::Context;
use super::SERVER_DIR;
use crate::config::{Config, ConfigError, Credentials, Environment, Server};
use crate::exit::Problem;

/// Calls the API of the server of a data directory, whether that runs or not. What is done through it holds at once.
pub(super) struct Door {
    way: Way,
    /// Access key in `DATA_DIR/clearml.conf`.
    client_key: Option<String>,
}

enum Way {
    /// The server is asked, with the credentials of `DATA_DIR/clearml.conf`.
    Running(Api),
    /// Nobody else is there: the lock of the directory is ours.
    Stopped(StoppedServer),
}

impl Door {
    /// Finds out whether a server runs.
    pub(super) async fn open(context: &Context, data_dir: Option<PathBuf>) -> anyhow::Result<Self> {
        let data_dir = data_dir
            .or_else(|| context.environment.state_home())
            .ok_or(ConfigError::NoDirectory { what: "the server's data", how: "--data-dir" })?;
        // The environment may name another server.
        let client = Config::load(Some(&client_file::path(&data_dir)), Environment::default())
            .and_then(|config| config.server());
        let client_key = client.as_ref().ok().and_then(access_key);
        let way = match StoppedServer::open(&data_dir.join(SERVER_DIR)).await {
            Ok(stopped) => Way::Stopped(stopped),
            Err(ServerError::InUse { .. }) => {
                let client = client.context("the server of this directory runs, and how to enter it is not known")?;
                Way::Running(Api::new(&client)?)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { way, client_key })
    }

    /// Whether this machine's clients enter with this access key.
    pub(super) fn is_of_client_file(&self, access_key: &str) -> bool {
        self.client_key.as_deref() == Some(access_key)
    }

    /// Calls an endpoint.
    pub(super) async fn call(&self, endpoint: &str, body: Value) -> anyhow::Result<Value> {
        match &self.way {
            Way::Running(api) => api.call(endpoint, body).await,
            Way::Stopped(stopped) => {
                let fields = body.as_object().cloned().unwrap_or_default();
                let answer = stopped.call(endpoint, fields).await;
                answer.map_err(|error| Problem::refused(format!("{endpoint}: {error}")))
            }
        }
    }

    /// Closes the store, if it was opened.
    pub(super) async fn close(self) {
        if let Way::Stopped(stopped) = self.way {
            stopped.close().await;
        }
    }
}

fn access_key(server: &Server) -> Option<String> {
    match &server.credentials {
        Credentials::Key { access_key, .. } => Some(access_key.clone()),
        Credentials::Token(_) => None,
    }
}
