//! Starting, stopping, starting again.

use serde_json::json;
use server::{Server, ServerError};

use crate::harness::{Api, config, soon, start};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let fixture = start().await;
    let task = fixture.api.task("kept").await;
    fixture.api.ok("tasks.enqueue", json!({"task": task})).await;
    let token = fixture.api.ok("auth.login", json!({})).await["token"].clone();
    let (data, credentials) = (fixture.data, fixture.api.credentials.clone());
    soon("the end", fixture.server.stop()).await;

    let again = Server::start(config(&data)).await.unwrap();
    assert_eq!(again.new_credentials, None, "a secret is told once");
    let api = Api { url: again.api_url.clone(), credentials, ..fixture.api };
    assert_eq!(api.status(&task).await, "queued");
    let default = api.ok("queues.get_default", json!({})).await;
    assert_eq!(default["name"], "default");
    let next = api.ok("queues.get_next_task", json!({"queue": default["id"]})).await;
    assert_eq!(next["entry"]["task"], json!(task));
    let request = api.client.get(format!("{}/tasks.get_all", api.url)).bearer_auth(token.as_str().unwrap());
    assert_eq!(request.send().await.unwrap().status(), 200, "tokens outlive the process");
}

#[tokio::test]
async fn a_lost_secret_is_replaced_by_another_pair_beside_the_first() {
    let fixture = start().await;
    let (data, first) = (fixture.data, fixture.api.credentials.clone());
    soon("the end", fixture.server.stop()).await;
    let again = server::ServerConfig { issue_credentials: true, ..config(&data) };
    let again = Server::start(again).await.unwrap();
    let second = again.new_credentials.clone().expect("a pair was asked for");
    assert_ne!(second, first);
    for credentials in [first, second] {
        let api = Api { url: again.api_url.clone(), credentials, ..fixture.api.clone() };
        assert!(api.ok("auth.login", json!({})).await["token"].is_string());
    }
}

#[tokio::test]
async fn a_second_server_in_the_same_directory_is_refused() {
    let fixture = start().await;
    let error = Server::start(config(&fixture.data)).await.unwrap_err();
    assert!(matches!(error, ServerError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&fixture.data.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let fixture = start().await;
    let port: u16 = fixture.server.web_url.rsplit(':').next().unwrap().parse().unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut config = config(&other);
    config.web_port = port;
    let error = Server::start(config).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&port.to_string()) && text.contains("in use"), "{text}");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut config = config(&data);
    config.data_dir = file.path().join("below");
    let error = Server::start(config).await.unwrap_err();
    assert!(matches!(error, ServerError::DataDir { .. }), "{error}");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("server.db");
    let garbage = b"this is not a database, but something that somebody put here".repeat(100);
    std::fs::write(&path, &garbage).unwrap();
    let error = Server::start(config(&data)).await.unwrap_err();
    assert!(matches!(error, ServerError::Database(server::OpenError::Damaged { .. })), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let fixture = start().await;
    let data = fixture.data;
    fixture.server.stop().await;
    let connection = rusqlite::Connection::open(data.path().join("server.db")).unwrap();
    connection.pragma_update(None, "user_version", 9999).unwrap();
    connection.close().unwrap();
    let error = Server::start(config(&data)).await.unwrap_err();
    assert!(matches!(error, ServerError::Database(server::OpenError::Newer { found: 9999, .. })), "{error}");
}

#[tokio::test]
async fn queues_are_made_once() {
    let data = tempfile::tempdir().unwrap();
    let mut first = config(&data);
    first.queues = vec!["gpu".to_owned(), "cpu queue".to_owned()];
    let server = Server::start(first.clone()).await.unwrap();
    let credentials = server.new_credentials.clone().unwrap();
    server.stop().await;
    first.queues.push("third".to_owned());
    let server = Server::start(first).await.unwrap();
    let api = Api { url: server.api_url.clone(), client: crate::harness::http_client(), credentials };
    let queues = api.ok("queues.get_all", json!({"only_fields": ["name"], "order_by": ["name"]})).await;
    let names: Vec<&str> =
        queues["queues"].as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cpu queue", "gpu", "third"]);
    assert_eq!(api.ok("queues.get_default", json!({})).await["name"], "gpu");
}
