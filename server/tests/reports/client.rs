//! A server in a directory of its own, and a client that speaks to it.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use server::{RunningServer, Server, ServerConfig};

/// A running server and its first user.
pub(crate) struct TestServer {
    pub(crate) files_url: String,
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
    pub(crate) directory: tempfile::TempDir,
    running: RunningServer,
}

impl TestServer {
    /// Starts a server on free ports and logs in.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = ServerConfig {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            api_port: 0,
            web_port: 0,
            files_port: 0,
            ..ServerConfig::new(directory.path().join("data"))
        };
        change(&mut config);
        let running = Server::start(config).await.unwrap();
        let (key, secret) = running.new_credentials.clone().expect("the first start makes credentials");
        // Every test of a process asks for it; only the first one is heard.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        let login = http.get(format!("{}/auth.login", running.api_url)).basic_auth(key, Some(secret));
        let reply: Value = login.send().await.unwrap().json().await.unwrap();
        let token = reply["data"]["token"].as_str().expect("a token").to_owned();
        Self { files_url: running.files_url.clone(), token, http, directory, running }
    }

    /// Calls an endpoint with a JSON body in a GET, as the SDK does; returns the whole envelope.
    async fn envelope(&self, endpoint: &str, content_type: &str, body: String) -> Value {
        let request = self
            .http
            .request(Method::GET, format!("{}/v2.23/{endpoint}", self.running.api_url))
            .bearer_auth(&self.token)
            .header(CONTENT_TYPE, content_type)
            .header("X-ClearML-Worker", "tester")
            .body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let envelope: Value = response.json().await.unwrap();
        assert_eq!(envelope["meta"]["result_code"], status, "{envelope}");
        envelope
    }

    /// Calls an endpoint that must succeed; returns the data.
    pub(crate) async fn call(&self, endpoint: &str, mut body: Value) -> Value {
        body["method"] = "get".into();
        let mut envelope = self.envelope(endpoint, "application/json", body.to_string()).await;
        assert_eq!(envelope["meta"]["result_code"], 200, "{endpoint}: {}", envelope["meta"]);
        envelope["data"].take()
    }

    /// Calls an endpoint that answers with a file; returns its headers and text.
    pub(crate) async fn download(&self, endpoint: &str, body: Value) -> (reqwest::header::HeaderMap, String) {
        let request = self.http.post(format!("{}/{endpoint}", self.running.api_url)).bearer_auth(&self.token);
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        (response.headers().clone(), response.text().await.unwrap())
    }

    /// Calls an endpoint that must refuse; returns code and subcode.
    pub(crate) async fn refused(&self, endpoint: &str, body: Value) -> (u64, u64) {
        code(&self.envelope(endpoint, "application/json", body.to_string()).await)
    }

    /// Sends events as the SDK does, one JSON object a line, each with its stray `method`.
    pub(crate) async fn send(&self, events: &[Value]) -> Result<Value, (u64, u64)> {
        let mut lines = String::new();
        for event in events {
            let mut event = event.clone();
            event["method"] = "get".into();
            lines.push_str(&format!("{event}\n"));
        }
        let mut envelope = self.envelope("events.add_batch", "application/json-lines", lines).await;
        match code(&envelope) {
            (200, _) => Ok(envelope["data"].take()),
            refused => Err(refused),
        }
    }

    /// Makes a task and returns its id.
    pub(crate) async fn task(&self, name: &str) -> String {
        let task = self.call("tasks.create", json!({"name": name, "type": "training"})).await;
        task["id"].as_str().unwrap().to_owned()
    }
}

fn code(envelope: &Value) -> (u64, u64) {
    let meta = &envelope["meta"];
    (meta["result_code"].as_u64().unwrap(), meta["result_subcode"].as_u64().unwrap())
}

/// The texts at `key` of a list of objects.
pub(crate) fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
}
