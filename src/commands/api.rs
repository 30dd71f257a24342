//! The ClearML API as the commands for people call it.

use drivers::clearml::{ClearMlClient, ClientSettings, Credentials as ClientCredentials, Verify};
use protocols::clearml::queues::QueueSummary;
use protocols::ids::QueueId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::lookup;
use crate::config::{Credentials, Server};

/// A client of the configured server.
#[derive(Clone)]
pub(crate) struct Api {
    client: ClearMlClient,
}

impl Api {
    /// Makes a client; nothing is sent yet.
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        Ok(Self { client: client(server)? })
    }

    /// The client itself, for what it knows better.
    pub(crate) fn client(&self) -> &ClearMlClient {
        &self.client
    }

    /// Calls an endpoint.
    pub(crate) async fn call(&self, endpoint: &str, body: impl Serialize) -> anyhow::Result<Value> {
        let body = serde_json::to_value(body)?;
        Ok(self.client.call(endpoint, body).await?)
    }

    /// Calls an endpoint and reads one field of its answer; an absent one is the type's default.
    pub(crate) async fn field<T>(&self, endpoint: &str, body: impl Serialize, field: &str) -> anyhow::Result<T>
    where
        T: DeserializeOwned + Default,
    {
        let mut answer = self.call(endpoint, body).await?;
        match answer.get_mut(field).map(Value::take) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => serde_json::from_value(value).map_err(|error| unreadable(endpoint, field, &error)),
        }
    }

    /// The queue that a person means.
    pub(crate) async fn queue(&self, name_or_id: &str) -> anyhow::Result<QueueSummary> {
        lookup::queue(self, name_or_id).await
    }

    /// Names of all queues, by id.
    pub(crate) async fn queue_names(&self) -> anyhow::Result<Vec<(QueueId, String)>> {
        let body = json!({"only_fields": ["id", "name"], "search_hidden": true});
        let queues: Vec<QueueSummary> = self.field("queues.get_all", body, "queues").await?;
        Ok(queues.into_iter().map(|queue| (queue.id, queue.name)).collect())
    }
}

/// A client of `server`.
pub(crate) fn client(server: &Server) -> anyhow::Result<ClearMlClient> {
    let (access_key, secret_key, auth_token) = match &server.credentials {
        Credentials::Key { access_key, secret_key } => (access_key.clone(), secret_key.reveal().to_owned(), None),
        Credentials::Token(token) => (String::new(), String::new(), Some(token.reveal().to_owned())),
    };
    let verify = match (server.verify_certificate, &server.certificates) {
        (false, _) => Verify::No,
        (true, Some(file)) => Verify::CaFile(file.clone()),
        (true, None) => Verify::Yes,
    };
    let settings = ClientSettings::new(ClientCredentials {
        api_host: server.hosts.api.clone(),
        access_key,
        secret_key,
        auth_token,
        verify,
        worker_header: host_name(),
    });
    Ok(ClearMlClient::new(settings)?)
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn unreadable(endpoint: &str, field: &str, error: &serde_json::Error) -> anyhow::Error {
    drivers::clearml::ClientError::Answer { endpoint: endpoint.to_owned(), why: format!("`{field}`: {error}") }.into()
}
