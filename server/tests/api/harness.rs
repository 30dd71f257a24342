//! A server of its own for each test, and a client that speaks to it.

use std::future::Future;
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use server::{RunningServer, Server, ServerConfig};
use tempfile::TempDir;

/// Longer than anything here takes, shorter than anybody waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with its data.
pub(crate) struct Fixture {
    pub(crate) server: RunningServer,
    pub(crate) api: Api,
    pub(crate) data: TempDir,
}

/// A client with credentials.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) credentials: (String, String),
}

/// Settings for any free ports.
pub(crate) fn config(data: &TempDir) -> ServerConfig {
    let mut config = ServerConfig::new(data.path());
    (config.api_port, config.web_port, config.files_port) = (0, 0, 0);
    config
}

/// A client as reqwest makes it, without a crypto provider of its own.
pub(crate) fn http_client() -> Client {
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().no_gzip().build().unwrap()
}

/// Starts a server in a new directory.
pub(crate) async fn start() -> Fixture {
    start_with(|_| {}).await
}

/// Starts a server with other settings in a new directory.
pub(crate) async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Fixture {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(&data);
    change(&mut config);
    let server = Server::start(config).await.unwrap();
    let credentials = server.new_credentials.clone().unwrap();
    let api = Api { url: server.api_url.clone(), client: http_client(), credentials };
    Fixture { server, api, data }
}

impl Fixture {
    /// Adds a user with credentials.
    pub(crate) async fn user(&self, name: &str, role: &str) -> Api {
        let company = "d1bd92a3b039400cbafc60a7a5b1e52b";
        let user = json!({"name": name, "email": "", "company": company, "role": role});
        let id = self.api.ok("auth.create_user", user).await["id"].clone();
        self.credentials_of(id.as_str().unwrap()).await
    }

    /// Makes credentials for a user.
    pub(crate) async fn credentials_of(&self, id: &str) -> Api {
        let pair = self.api.ok("auth.create_credentials", json!({"user": id})).await["credentials"].clone();
        let text = |field: &str| pair[field].as_str().unwrap().to_owned();
        Api { credentials: (text("access_key"), text("secret_key")), ..self.api.clone() }
    }
}

/// Now, in seconds since the epoch.
pub(crate) fn now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

/// Fails a test that waits for something that never comes.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

impl Api {
    /// Calls an endpoint as the SDK does: GET with a JSON body.
    pub(crate) async fn send(&self, path: &str, body: Value) -> Response {
        let (key, secret) = &self.credentials;
        let request = self.client.request(Method::GET, format!("{}/{path}", self.url)).basic_auth(key, Some(secret));
        soon(path, request.json(&body).send()).await.unwrap()
    }

    /// The data of a call that must go well.
    #[track_caller]
    pub(crate) fn ok(&self, path: &str, body: Value) -> impl Future<Output = Value> {
        let (this, path) = (self.clone(), path.to_owned());
        async move {
            let answer: Value = this.send(&path, body.clone()).await.json().await.unwrap();
            assert_eq!(answer["meta"]["result_code"], 200, "{path} {body}: {}", answer["meta"]);
            answer["data"].clone()
        }
    }

    /// Code and subcode of a call that must fail, and its message.
    pub(crate) async fn error(&self, path: &str, body: Value) -> (i64, i64, String) {
        let response = self.send(path, body.clone()).await;
        let status = i64::from(response.status().as_u16());
        let answer: Value = response.json().await.unwrap();
        let meta = &answer["meta"];
        let code = meta["result_code"].as_i64().unwrap();
        assert_ne!(code, 200, "{path} {body} went well");
        assert_eq!(code, status, "the status of the response is the code in the envelope");
        assert_eq!(answer["data"], json!({}));
        (code, meta["result_subcode"].as_i64().unwrap(), meta["result_msg"].as_str().unwrap().to_owned())
    }

    /// Asserts code and subcode of a failing call.
    pub(crate) async fn refused(&self, path: &str, body: Value, code: i64, subcode: i64) {
        let shown = body.to_string();
        let (found, found_subcode, message) = self.error(path, body).await;
        assert_eq!((found, found_subcode), (code, subcode), "{path} {shown}: {message}");
    }

    /// Makes a draft.
    pub(crate) async fn task(&self, name: &str) -> String {
        let data = self.ok("tasks.create", json!({"name": name, "type": "training"})).await;
        data["id"].as_str().unwrap().to_owned()
    }

    /// Makes a queue.
    pub(crate) async fn queue(&self, name: &str) -> String {
        let data = self.ok("queues.create", json!({"name": name})).await;
        data["id"].as_str().unwrap().to_owned()
    }

    /// The task as it is.
    pub(crate) async fn get(&self, task: &str) -> Value {
        self.ok("tasks.get_by_id", json!({"task": task})).await["task"].clone()
    }

    /// The status of a task.
    pub(crate) async fn status(&self, task: &str) -> String {
        self.get(task).await["status"].as_str().unwrap().to_owned()
    }
}
