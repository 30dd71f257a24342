//! One call: login, headers, and everything that can go wrong on the way.

use std::path::PathBuf;
use std::time::Duration;

use drivers::clearml::{ClearMlClient, ClientError, ClientSettings, Credentials, TaskServer, Verify};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stand_in::{Reply, StandIn, settings};

/// Logs everybody in; says nothing else.
fn plain(_: &crate::stand_in::Seen) -> Reply {
    Reply::Data(Value::Null)
}

#[tokio::test]
async fn one_login_serves_many_calls() {
    let server = StandIn::start(plain).await;
    let client = server.client();
    let calls = (0..8).map(|number| client.call("tasks.get_all", json!({"page": number})));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let logins = server.seen("auth.login");
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0].header("authorization"), "Basic S0VZOmh1c2gtaHVzaA==");
    let calls = server.seen("tasks.get_all");
    assert_eq!(calls.len(), 8);
    for seen in calls {
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.header("authorization"), "Bearer token-1");
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!((seen.header("x-clearml-worker"), seen.header("x-trains-worker")), ("my-host", "my-host"));
        assert!(seen.header("x-clearml-agent").starts_with("api-hostler-"));
        assert!(seen.header("content-encoding").is_empty(), "servers refuse compressed requests");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let server = StandIn::start(|seen| match seen.header("authorization") {
        "Bearer token-1" => Reply::Refused(401, 30, "invalid token"),
        _ => Reply::Data(Value::Null),
    })
    .await;
    let client = server.client();
    let calls = (0..4).map(|_| client.call("tasks.ping", json!({})));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(server.seen("auth.login").len(), 2, "whoever is refused last does not renew again");
}

#[tokio::test]
async fn a_second_refusal_is_the_callers() {
    let server = StandIn::start(|seen| match seen.endpoint.as_str() {
        "auth.login" => Reply::Data(Value::Null),
        _ => Reply::Refused(401, 1, "not for you"),
    })
    .await;
    let error = server.client().call("tasks.ping", json!({})).await.unwrap_err();
    assert!(error.is_api(401, 1) && !error.is_transient(), "{error}");
    assert_eq!((server.seen("auth.login").len(), server.seen("tasks.ping").len()), (2, 2));
}

#[tokio::test]
async fn a_token_that_is_due_is_renewed_before_it_is_used() {
    // {"iat": 100, "exp": 90}
    let expired = "e30.eyJpYXQiOiAxMDAsICJleHAiOiA5MH0.x";
    let server = StandIn::start(move |seen| match seen.endpoint.as_str() {
        "auth.login" => Reply::Data(json!({"token": expired})),
        _ => Reply::Data(json!({})),
    })
    .await;
    let client = server.client();
    client.call("a.b", json!({})).await.unwrap();
    client.call("a.b", json!({})).await.unwrap();
    assert_eq!(server.seen("auth.login").len(), 2);
}

#[tokio::test]
async fn wrong_credentials_name_the_key_and_never_the_secret() {
    let server = StandIn::start(|_| Reply::Refused(401, 22, "Unauthorized (invalid credentials)")).await;
    let error = server.client().login().await.unwrap_err();
    assert!(matches!(error, ClientError::Credentials { .. }) && !error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("KEY") && text.contains(&server.url) && text.contains("api.credentials"), "{text}");
    assert!(!text.contains("hush-hush"), "{text}");
}

#[tokio::test]
async fn an_auth_token_is_used_instead_of_a_key() {
    let server = StandIn::start(plain).await;
    let mut settings = server.settings();
    settings.credentials.auth_token = Some("given".to_owned());
    settings.credentials.access_key.clear();
    settings.token_lifetime_seconds = Some(3600);
    let client = ClearMlClient::new(settings).unwrap();
    client.call("tasks.ping", json!({})).await.unwrap();
    let login = &server.seen("auth.login")[0];
    assert_eq!((login.header("authorization"), login.json()), ("Bearer given", json!({"expiration_sec": 3600})));
    assert_eq!(server.seen("tasks.ping")[0].header("authorization"), "Bearer token-1");
}

#[tokio::test]
async fn a_web_page_is_not_a_server() {
    let page = "<!doctype html><html><head><title>ClearML</title></head><body>";
    let server = StandIn::start(move |_| Reply::Raw(200, vec![("content-type", "text/html")], page)).await;
    let error = server.client().login().await.unwrap_err();
    assert!(matches!(&error, ClientError::NotClearMl { excerpt, .. } if excerpt == "ClearML"), "{error:?}");
    assert!(error.to_string().contains("8008") && error.to_string().contains(&server.url), "{error}");
}

#[tokio::test]
async fn a_proxy_without_its_server_is_transient() {
    for status in [429, 502, 503, 504] {
        let server = StandIn::start(move |_| Reply::Raw(status, vec![], "<html>try later</html>")).await;
        let error = server.client().login().await.unwrap_err();
        assert!(error.is_transient() && matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    }
    let server = StandIn::start(|_| Reply::Refused(500, 102, "Database is temporarily unavailable")).await;
    assert!(server.client().login().await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_redirect_tells_where_to() {
    let server = StandIn::start(|_| Reply::Raw(301, vec![("location", "https://api.example/x")], "")).await;
    let error = server.client().login().await.unwrap_err();
    assert!(matches!(&error, ClientError::Redirected { to, .. } if to == "https://api.example/x"), "{error:?}");
}

#[tokio::test]
async fn nobody_there_names_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ClearMlClient::new(settings(&url)).unwrap().login().await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&url) && error.to_string().contains("refused"), "{error}");
    assert!(!error.is_undecided());
}

#[tokio::test]
async fn an_unknown_host_is_unreachable() {
    let error = ClearMlClient::new(settings("http://host.invalid:8008")).unwrap().login().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn no_answer_is_a_timeout_that_leaves_it_open() {
    let server = StandIn::start(|seen| match seen.endpoint.as_str() {
        "auth.login" => Reply::Data(Value::Null),
        _ => Reply::Silence,
    })
    .await;
    let limit = Duration::from_millis(200);
    let error = server.client().call_once_with_timeout("tasks.ping", json!({}), limit).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }) && error.is_transient() && error.is_undecided(), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_it_open() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        }
    });
    let error = ClearMlClient::new(settings(&url)).unwrap().login().await.unwrap_err();
    assert!(matches!(error, ClientError::Interrupted { .. }) && error.is_undecided(), "{error:?}");
}

#[tokio::test]
async fn https_to_a_plain_server_is_a_tls_error() {
    let server = StandIn::start(plain).await;
    let url = server.url.replace("http://", "https://");
    for verify in [Verify::Yes, Verify::No] {
        let mut settings = settings(&url);
        settings.credentials.verify = verify.clone();
        let client = match ClearMlClient::new(settings) {
            // A machine without root certificates.
            Err(ClientError::Settings { .. }) if verify == Verify::Yes => continue,
            other => other.unwrap(),
        };
        let error = client.login().await.unwrap_err();
        assert!(matches!(error, ClientError::Tls { .. }) && !error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let refused = |change: fn(&mut Credentials)| {
        let mut settings: ClientSettings = settings("http://localhost:8008");
        change(&mut settings.credentials);
        ClearMlClient::new(settings).unwrap_err().to_string()
    };
    assert!(refused(|credentials| credentials.api_host = "localhost:8008".to_owned()).contains("localhost:8008"));
    assert!(refused(|credentials| credentials.api_host = "ftp://x".to_owned()).contains("ftp://x"));
    assert!(refused(|credentials| credentials.api_host.clear()).contains("api server"));
    assert!(refused(|credentials| credentials.worker_header = "a\nb".to_owned()).contains("host name"));
    let missing = |credentials: &mut Credentials| {
        credentials.verify = Verify::CaFile(PathBuf::from("/nonexistent/ca.pem"));
    };
    assert!(refused(missing).contains("/nonexistent/ca.pem"));
    let no_certificate = |credentials: &mut Credentials| {
        credentials.verify = Verify::CaFile(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    };
    assert!(refused(no_certificate).contains("Cargo.toml"));
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let server = StandIn::start(plain).await;
    let mut settings = server.settings();
    settings.credentials.secret_key.clear();
    let error = ClearMlClient::new(settings).unwrap().login().await.unwrap_err();
    assert!(matches!(error, ClientError::NoCredentials { .. }), "{error:?}");
    assert!(server.seen("auth.login").is_empty());
}

#[tokio::test]
async fn secrets_are_not_in_debug_output() {
    let server = StandIn::start(plain).await;
    let client = server.client();
    client.login().await.unwrap();
    let shown = format!("{client:?}");
    assert!(!shown.contains("hush-hush") && !shown.contains("token-1"), "{shown}");
}
