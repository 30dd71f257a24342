//! HTTP as one client speaks it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::process::ServerProcess;

const BOUNDARY: &str = "5b0f7c6f3a2d4e91";

/// The answer never came: whether it was done is not known.
#[derive(Debug)]
pub(crate) struct Lost;

/// A client with credentials.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    api_url: String,
    files_url: String,
    credentials: (String, String),
}

impl Client {
    pub(crate) fn of(server: &ServerProcess, credentials: &(String, String)) -> Self {
        Self::new(&server.api_url, &server.files_url, credentials)
    }

    pub(crate) fn new(api_url: &str, files_url: &str, credentials: &(String, String)) -> Self {
        // Only the first one is heard.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, api_url: api_url.to_owned(), files_url: files_url.to_owned(), credentials: credentials.clone() }
    }

    /// Calls an endpoint. An answer that is no success fails the test.
    pub(crate) async fn try_call(&self, endpoint: &str, body: Value) -> Result<Value, Lost> {
        self.succeed(endpoint, "application/json", body.to_string()).await
    }

    /// Calls an endpoint; code and subcode of the answer, and its data.
    pub(crate) async fn answer(&self, endpoint: &str, body: Value) -> ((u64, u64), Value) {
        let answer = self.send(endpoint, "application/json", body.to_string()).await;
        let mut answer = answer.unwrap_or_else(|Lost| panic!("{endpoint}: the server is gone"));
        let number = |name: &str| answer["meta"][name].as_u64().unwrap();
        ((number("result_code"), number("result_subcode")), answer["data"].take())
    }

    /// Sends events; code and subcode of the answer.
    pub(crate) async fn report(&self, events: &[Value]) -> (u64, u64) {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let answer = self.send("events.add_batch", "application/json-lines", lines.join("\n")).await.unwrap();
        let number = |name: &str| answer["meta"][name].as_u64().unwrap();
        (number("result_code"), number("result_subcode"))
    }

    /// GET of a path of the API port, with credentials or without.
    pub(crate) async fn get(&self, path: &str, with_credentials: bool) -> (u16, String) {
        let mut request = self.http.get(format!("{}{path}", self.api_url));
        if with_credentials {
            let (key, secret) = &self.credentials;
            request = request.basic_auth(key, Some(secret));
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Sends events.
    pub(crate) async fn try_report(&self, events: &[Value]) -> Result<Value, Lost> {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        self.succeed("events.add_batch", "application/json-lines", lines.join("\n")).await
    }

    /// Calls an endpoint of a server that stays.
    pub(crate) async fn call(&self, endpoint: &str, body: Value) -> Value {
        self.try_call(endpoint, body).await.unwrap_or_else(|Lost| panic!("{endpoint}: the server is gone"))
    }

    async fn succeed(&self, endpoint: &str, content_type: &str, body: String) -> Result<Value, Lost> {
        let mut answer = self.send(endpoint, content_type, body.clone()).await?;
        assert_eq!(answer["meta"]["result_code"], 200, "{endpoint} {body}: {}", answer["meta"]);
        Ok(answer["data"].take())
    }

    async fn send(&self, endpoint: &str, content_type: &str, body: String) -> Result<Value, Lost> {
        let (key, secret) = &self.credentials;
        let request = self.http.post(format!("{}/{endpoint}", self.api_url)).basic_auth(key, Some(secret));
        let request = request.header("content-type", content_type).body(body);
        let answer = request.send().await.map_err(|_| Lost)?;
        answer.json().await.map_err(|_| Lost)
    }

    /// Uploads a file.
    pub(crate) async fn try_upload(&self, path: &str, content: &[u8]) -> Result<(), Lost> {
        let mut body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{path}\"; filename=\"{path}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend(content);
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
        let (key, secret) = &self.credentials;
        let request = self.http.post(format!("{}/", self.files_url)).basic_auth(key, Some(secret));
        let request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}")).body(body);
        let answer = request.send().await.map_err(|_| Lost)?;
        assert_eq!(answer.status(), StatusCode::OK);
        let stored: Value = answer.json().await.map_err(|_| Lost)?;
        assert_eq!(stored, json!([path]));
        Ok(())
    }

    /// Downloads a file; `None` where there is none.
    pub(crate) async fn download(&self, path: &str) -> Option<Vec<u8>> {
        let (key, secret) = &self.credentials;
        let request = self.http.get(format!("{}/{path}", self.files_url)).basic_auth(key, Some(secret));
        let answer = request.send().await.unwrap();
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        Some(answer.bytes().await.unwrap().to_vec())
    }
}
