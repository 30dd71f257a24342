//! A server that stops finishes what was begun.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::Fixture;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const BOUNDARY: &str = "a8a5d2f39be14c7e";

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// Waits until nobody listens any more: the server is stopping.
async fn nobody_listens(address: &str) {
    soon("the end of the listener", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn basic(credentials: &(String, String)) -> String {
    use base64::Engine as _;
    let (key, secret) = credentials;
    base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"))
}

/// Sends the head of a request and waits until the server asks for the body: then the request is in its hands. What a
/// client has written alone proves nothing, since the system keeps megabytes between the two.
async fn begin(address: &str, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    soon("100 Continue", stream.read_exact(&mut asked)).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&asked));
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_begun_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::first(directory.path(), |config| config.stop_grace = PATIENCE).await;
    let files = address(&fixture.server.files_url);
    let head =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"slow/file\"; filename=\"slow/file\"\r\n\r\n");
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let content = vec![b'x'; 3_000_000];
    let length = head.len() + content.len() + tail.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {files}\r\nAuthorization: Basic {}\r\nContent-Length: {length}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nExpect: 100-continue\r\n\r\n",
        basic(&fixture.credentials)
    );
    let mut upload = begin(&files, &request).await;
    upload.write_all(head.as_bytes()).await.unwrap();
    upload.write_all(&content[..2_000_000]).await.unwrap();

    let stopping = tokio::spawn(fixture.stop());
    nobody_listens(&files).await;
    upload.write_all(&content[2_000_000..]).await.unwrap();
    upload.write_all(tail.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", upload.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("slow/file"), "{answer}");

    let (data_dir, credentials) = soon("the end", stopping).await.unwrap();
    let again = Fixture::again(&data_dir, &credentials).await;
    assert_eq!(again.client.download("slow/file").await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_begun_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::first(directory.path(), |config| config.stop_grace = PATIENCE).await;
    let api = address(&fixture.server.api_url);
    // Somebody else holds the database, so that the write takes as long as this test wants.
    let mut other = rusqlite::Connection::open(directory.path().join("server.db")).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let body = json!({"name": "made while stopping", "type": "training"}).to_string();
    let request = format!(
        "POST /tasks.create HTTP/1.1\r\nHost: {api}\r\nAuthorization: Basic {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        basic(&fixture.credentials),
        body.len()
    );
    let mut call = begin(&api, &request).await;
    call.write_all(body.as_bytes()).await.unwrap();

    let stopping = tokio::spawn(fixture.stop());
    nobody_listens(&api).await;
    held.rollback().unwrap();
    let mut answer = String::new();
    soon("the answer", call.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    let (data_dir, credentials) = soon("the end", stopping).await.unwrap();
    let again = Fixture::again(&data_dir, &credentials).await;
    let found = again.client.call("tasks.get_all", json!({"name": "made while stopping"})).await;
    assert_eq!(found["tasks"].as_array().unwrap().len(), 1);
}
