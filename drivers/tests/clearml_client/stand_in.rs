//! A server on a real socket: it records every request and answers from a script.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use drivers::clearml::{ClearMlClient, ClientSettings, Credentials};
use serde_json::{Value, json};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// `service.action`.
    pub(crate) endpoint: String,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// `data` of a call that went well.
    Data(Value),
    /// Status, subcode, message of a call that was refused.
    Refused(u16, u16, &'static str),
    /// Something that is not an envelope: status, headers, body.
    Raw(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// No answer at all.
    Silence,
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Script,
}

impl StandIn {
    /// Starts a server that answers logins with `token-1`, `token-2`, .. and everything else from the script.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, seen: Arc::default(), script: Arc::new(script) };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn settings(&self) -> ClientSettings {
        settings(&self.url)
    }

    pub(crate) fn client(&self) -> ClearMlClient {
        ClearMlClient::new(self.settings()).unwrap()
    }

    /// Every request to this endpoint, oldest first.
    pub(crate) fn seen(&self, endpoint: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.endpoint == endpoint).cloned().collect()
    }

    fn reply(&self, seen: &Seen) -> Reply {
        let reply = (self.script)(seen);
        if seen.endpoint == "auth.login" && matches!(&reply, Reply::Data(Value::Null)) {
            return Reply::Data(json!({"token": format!("token-{}", self.seen("auth.login").len())}));
        }
        reply
    }
}

/// Settings with the credentials `KEY` and `hush-hush`.
pub(crate) fn settings(url: &str) -> ClientSettings {
    ClientSettings::new(Credentials {
        api_host: format!("{url}/"),
        access_key: "KEY".to_owned(),
        secret_key: "hush-hush".to_owned(),
        worker_header: "my-host".to_owned(),
        ..Credentials::default()
    })
}

async fn answer(
    State(server): State<StandIn>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let seen = Seen { method, endpoint: uri.path().trim_start_matches('/').to_owned(), headers, text };
    server.seen.lock().unwrap().push(seen.clone());
    match server.reply(&seen) {
        Reply::Data(data) => envelope(200, 0, "OK", &data),
        Reply::Refused(status, subcode, message) => envelope(status, subcode, message, &json!({})),
        Reply::Raw(status, headers, body) => {
            let response = Response::builder().status(status);
            let response = headers.into_iter().fold(response, |response, (name, value)| response.header(name, value));
            response.body(body.into()).unwrap()
        }
        Reply::Silence => std::future::pending().await,
    }
}

fn envelope(status: u16, subcode: u16, message: &str, data: &Value) -> Response<Body> {
    let meta = json!({"id": "1", "trx": "1", "endpoint": {"name": "x"}, "result_code": status,
                      "result_subcode": subcode, "result_msg": message});
    let body = json!({"meta": meta, "data": data}).to_string();
    Response::builder().status(status).header("content-type", "application/json").body(body.into()).unwrap()
}
