//! The HTTP client: one call, one try, one token for all.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use protocols::clearml::auth::{LoginRequest, LoginResponse};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use serde_json::Value;
use url::{Host, Url};

use super::answer::Raw;
use super::token::Token;
use super::transport_error::{classify, innermost};
use super::{ClientError, ClientSettings, Credentials, Verify};

/// `X-ClearML-Agent`, and what comes after `hostler/` in `User-Agent`.
const AGENT: &str = concat!("api-hostler-", env!("CARGO_PKG_VERSION"));
const USER_AGENT: &str = concat!("hostler/", env!("CARGO_PKG_VERSION"));

/// Servers close idle connections without saying so; ours are given up before that.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// A client of one ClearML API server. Clones share connections and token.
#[derive(Clone)]
pub struct ClearMlClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    settings: ClientSettings,
    /// URL of the server, without a slash at its end.
    server: String,
    /// Locked during a login, so that many callers cause one.
    token: tokio::sync::Mutex<Option<Token>>,
    /// The server was found not to have `tasks.edit_runtime`.
    without_edit_runtime: AtomicBool,
}

/// What is sent.
enum Body<'a> {
    Json(&'a Value),
    JsonLines(Bytes),
}

/// How we identify ourselves.
enum Authorization<'a> {
    Basic(&'a str, &'a str),
    Bearer(&'a str),
}

impl ClearMlClient {
    /// Makes a client. Nothing is sent yet; certificate files are read.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let server = settings.credentials.api_host.trim().trim_end_matches('/').to_owned();
        let unusable = |why: String| ClientError::Settings { why };
        let url = Url::parse(&server).map_err(|error| unusable(format!("api server {server:?}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(unusable(format!("api server {server:?} is not an http or https URL")));
        }
        let http = build_http(&settings, &url)?;
        let without_edit_runtime = AtomicBool::new(false);
        let token = tokio::sync::Mutex::new(None);
        Ok(Self { inner: Arc::new(Inner { http, settings, server, token, without_edit_runtime }) })
    }

    /// URL of the server, without a slash at its end.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// Calls an endpoint, `service.action` or `vX.Y/service.action`, and gives the answer's `data`.
    ///
    /// Logs in where needed. One try, except that a refused token is renewed once.
    pub async fn call(&self, endpoint: &str, body: Value) -> Result<Value, ClientError> {
        self.call_once_with_timeout(endpoint, body, self.inner.settings.call_timeout).await
    }

    /// [`ClearMlClient::call`] that gives up after `timeout`: for long-polls.
    pub async fn call_once_with_timeout(
        &self,
        endpoint: &str,
        body: Value,
        timeout: Duration,
    ) -> Result<Value, ClientError> {
        self.authorized(endpoint, &Body::Json(&body), timeout).await
    }

    /// [`ClearMlClient::call`] with a body of JSON objects, one per line.
    pub async fn call_with_lines(&self, endpoint: &str, lines: String) -> Result<Value, ClientError> {
        self.authorized(endpoint, &Body::JsonLines(lines.into()), self.inner.settings.call_timeout).await
    }

    /// Logs in now, with the credentials, whatever token there is.
    pub async fn login_now(&self) -> Result<(), ClientError> {
        let mut held = self.inner.token.lock().await;
        *held = Some(self.request_token().await?);
        Ok(())
    }

    pub(super) fn without_edit_runtime(&self) -> &AtomicBool {
        &self.inner.without_edit_runtime
    }

    async fn authorized(&self, endpoint: &str, body: &Body<'_>, timeout: Duration) -> Result<Value, ClientError> {
        let token = self.token(None).await?;
        match self.send(endpoint, body, &Authorization::Bearer(&token), timeout).await {
            Err(ClientError::Api { error, .. }) if error.status == 401 => {
                let token = self.token(Some(&token)).await?;
                self.send(endpoint, body, &Authorization::Bearer(&token), timeout).await
            }
            other => other,
        }
    }

    /// A token to use: the one we have, unless it is due, or is the one that was `refused`.
    async fn token(&self, refused: Option<&str>) -> Result<String, ClientError> {
        let mut held = self.inner.token.lock().await;
        if let Some(token) = held.as_ref()
            && token.is_fresh()
            && refused != Some(&token.text)
        {
            return Ok(token.text.clone());
        }
        match self.request_token().await {
            Ok(token) => Ok(held.insert(token).text.clone()),
            // A token that is due is still good for a while: the server may only be slow to issue new ones.
            Err(error) => match held.as_ref() {
                Some(token) if refused.is_none() && error.is_transient() => Ok(token.text.clone()),
                _ => Err(error),
            },
        }
    }

    async fn request_token(&self) -> Result<Token, ClientError> {
        let Credentials { access_key, secret_key, auth_token, .. } = &self.inner.settings.credentials;
        let authorization = match auth_token {
            Some(token) => Authorization::Bearer(token),
            None if access_key.is_empty() || secret_key.is_empty() => {
                return Err(ClientError::NoCredentials { url: self.inner.server.clone() });
            }
            None => Authorization::Basic(access_key, secret_key),
        };
        let request = LoginRequest { expiration_sec: self.inner.settings.token_lifetime_seconds };
        let body = serde_json::to_value(&request).expect("a login request is plain data");
        let timeout = self.inner.settings.call_timeout;
        let data = match self.send("auth.login", &Body::Json(&body), &authorization, timeout).await {
            Err(ClientError::Api { error, .. }) if matches!(error.status, 401 | 403) || error.is(400, 75) => {
                return Err(ClientError::Credentials {
                    url: self.inner.server.clone(),
                    access_key: access_key.clone(),
                    why: error.message,
                });
            }
            other => other?,
        };
        let LoginResponse { token } = serde_json::from_value(data).unwrap_or_default();
        if token.is_empty() {
            let endpoint = "auth.login".to_owned();
            return Err(ClientError::Answer { endpoint, why: "it holds no token".to_owned() });
        }
        Ok(Token::issued_now(token))
    }

    async fn send(
        &self,
        endpoint: &str,
        body: &Body<'_>,
        authorization: &Authorization<'_>,
        timeout: Duration,
    ) -> Result<Value, ClientError> {
        let url = format!("{}/{endpoint}", self.inner.server);
        let failed = |error: reqwest::Error| classify(&error, &self.inner.server, &url, timeout);
        let request = self.inner.http.post(&url).timeout(timeout);
        let request = match authorization {
            Authorization::Basic(key, secret) => request.basic_auth(key, Some(secret)),
            Authorization::Bearer(token) => request.header(AUTHORIZATION, bearer(token)?),
        };
        let request = match body {
            Body::Json(value) => request.json(value),
            Body::JsonLines(lines) => request.header(CONTENT_TYPE, "application/json-lines").body(lines.clone()),
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let body = response.bytes().await.map_err(failed)?;
        let endpoint = endpoint.rsplit('/').next().unwrap_or(endpoint);
        Raw { endpoint, url: &url, status, location: location.as_deref(), body: &body }.data()
    }
}

impl fmt::Debug for ClearMlClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClearMlClient").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| ClientError::Settings { why: "the token cannot be sent in a header".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

fn build_http(settings: &ClientSettings, server: &Url) -> Result<reqwest::Client, ClientError> {
    // Fails when somebody has installed a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let headers = headers(&settings.credentials.worker_header)?;
    let base = || {
        let builder = reqwest::Client::builder()
            .default_headers(headers.clone())
            .user_agent(USER_AGENT)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_keepalive(Duration::from_secs(30))
            // A redirected POST loses its body: tell the person instead.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(server) { builder.no_proxy() } else { builder }
    };
    let unusable = |error: reqwest::Error| ClientError::Settings { why: innermost(&error) };
    match &settings.credentials.verify {
        Verify::No => base().tls_danger_accept_invalid_certs(true).build().map_err(unusable),
        Verify::CaFile(path) => base().tls_certs_only(certificates(path)?).build().map_err(unusable),
        Verify::Yes => match base().build() {
            // A machine without root certificates can still speak plain http.
            Err(_) if server.scheme() == "http" => base().tls_certs_only([]).build().map_err(unusable),
            other => other.map_err(unusable),
        },
    }
}

fn headers(worker: &str) -> Result<HeaderMap, ClientError> {
    let worker = HeaderValue::from_str(worker)
        .map_err(|_| ClientError::Settings { why: format!("the host name {worker:?} cannot be sent in a header") })?;
    let agent = HeaderValue::from_static(AGENT);
    Ok([
        ("x-clearml-worker", worker.clone()),
        ("x-trains-worker", worker),
        ("x-clearml-agent", agent.clone()),
        ("x-trains-agent", agent),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), value))
    .collect())
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let unusable = |why: String| ClientError::Settings { why: format!("certificate file {}: {why}", path.display()) };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&bytes).map_err(|error| unusable(innermost(&error)))?;
    if certificates.is_empty() { Err(unusable("it holds no PEM certificate".to_owned())) } else { Ok(certificates) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
