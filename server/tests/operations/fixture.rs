//! A server inside of the test.

use std::path::{Path, PathBuf};

use serde_json::json;
use server::{RunningServer, Server, ServerConfig};

use crate::client::Client;

/// A running server and a client of it.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) server: RunningServer,
    pub(crate) client: Client,
    pub(crate) credentials: (String, String),
    pub(crate) data_dir: PathBuf,
}

impl Fixture {
    /// Starts a server for the first time in a directory.
    pub(crate) async fn first(data_dir: &Path, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let server = start(data_dir, change).await;
        let credentials = server.new_credentials.clone().expect("the first start makes credentials");
        Self::of(server, data_dir, credentials)
    }

    /// Starts a server in a directory whose credentials are known.
    pub(crate) async fn again(data_dir: &Path, credentials: &(String, String)) -> Self {
        Self::of(start(data_dir, |_| ()).await, data_dir, credentials.clone())
    }

    fn of(server: RunningServer, data_dir: &Path, credentials: (String, String)) -> Self {
        let client = Client::new(&server.api_url, &server.files_url, &credentials);
        Self { server, client, credentials, data_dir: data_dir.to_owned() }
    }

    /// Makes a task.
    pub(crate) async fn task(&self, name: &str) -> String {
        let made = self.client.call("tasks.create", json!({"name": name, "type": "training"})).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Stops it; the directory stays.
    pub(crate) async fn stop(self) -> (PathBuf, (String, String)) {
        self.server.stop().await;
        (self.data_dir, self.credentials)
    }
}

async fn start(data_dir: &Path, change: impl FnOnce(&mut ServerConfig)) -> RunningServer {
    let mut config = ServerConfig::new(data_dir);
    (config.api_port, config.web_port, config.files_port) = (0, 0, 0);
    change(&mut config);
    Server::start(config).await.unwrap()
}
