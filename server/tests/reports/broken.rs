//! Files while things go wrong: clients that break off, overwrite and delete at the same moment, and raw requests that
//! no client library would send.

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::TestServer;
use crate::files::{BOUNDARY, count_files, multipart};

impl TestServer {
    fn address(&self) -> &str {
        self.files_url.trim_start_matches("http://")
    }

    /// Sends a request as it is; returns the answer as it is.
    async fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_leaves_nothing() {
    let server = TestServer::start().await;
    let body = multipart(&[("model.bin", &vec![b'x'; 300_000])]);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
         Content-Length: {}\r\n\r\n",
        server.token,
        body.len()
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..200_000]).await.unwrap();
    stream.flush().await.unwrap();
    while count_files(&server.files_dir()) == 0 {
        server.file(Method::GET, "/").await;
    }
    assert_eq!(
        server.file(Method::GET, "/model.bin").await.status(),
        StatusCode::NOT_FOUND,
        "half a file is not served"
    );
    drop(stream);
    while count_files(&server.files_dir()) > 0 {
        server.file(Method::GET, "/").await;
    }
}

#[tokio::test]
async fn what_a_killed_server_left_is_removed_at_the_start() {
    let mut left = None;
    let server = TestServer::start_with(|config| {
        let partial = config.data_dir.join("files/partial");
        std::fs::create_dir_all(&partial).unwrap();
        std::fs::write(partial.join("half"), "half an upload").unwrap();
        left = Some(partial.join("half"));
    })
    .await;
    assert!(!left.unwrap().exists());
    assert_eq!(count_files(&server.files_dir()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_that_is_overwritten_by_many_is_always_one_of_them() {
    let server = TestServer::start().await;
    server.post(multipart(&[("dir/model.bin", &[0; 100_000])])).await;
    let mut clients = JoinSet::new();
    for client in 1..=8_u8 {
        let (http, url, token) = (server.http.clone(), server.files_url.clone(), server.token.clone());
        clients.spawn(async move {
            for round in 0..6_usize {
                let body = multipart(&[("dir/model.bin", &vec![client; 100_000 + round])]);
                let kind = format!("multipart/form-data; boundary={BOUNDARY}");
                let upload = http.post(format!("{url}/")).bearer_auth(&token).header("content-type", kind).body(body);
                assert_eq!(upload.send().await.unwrap().status(), StatusCode::OK);
                let download = http.get(format!("{url}/dir/model.bin")).bearer_auth(&token).send().await.unwrap();
                let length = download.content_length().unwrap() as usize;
                let content = download.bytes().await.unwrap();
                assert_eq!(content.len(), length);
                assert!(content.iter().all(|byte| *byte == content[0]), "two files are mixed");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(count_files(&server.files_dir()), 1);
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_read_is_read_to_its_end() {
    let server = TestServer::start().await;
    let content: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
    server.post(multipart(&[("dir/large.bin", &content)])).await;
    let mut download = server.file(Method::GET, "/dir/large.bin").await;
    let mut received = download.chunk().await.unwrap().unwrap().to_vec();
    assert_eq!(server.file(Method::DELETE, "/dir/large.bin").await.status(), StatusCode::OK);
    assert_eq!(server.file(Method::GET, "/dir/large.bin").await.status(), StatusCode::NOT_FOUND);
    while let Some(chunk) = download.chunk().await.unwrap() {
        received.extend(chunk);
    }
    assert!(received == content);
}

#[tokio::test]
async fn no_raw_path_leads_out() {
    let server = TestServer::start().await;
    std::fs::write(server.directory.path().join("data/secret"), "secret").unwrap();
    server.post(multipart(&[("inside", b"x")])).await;
    let outside = server.directory.path().join("data/secret");
    std::os::unix::fs::symlink(&outside, server.files_dir().join("data/link")).unwrap();
    std::os::unix::fs::symlink("/etc", server.files_dir().join("data/etc")).unwrap();
    let long = format!("/{}", "a/".repeat(3000));
    let absolute = outside.display().to_string();
    for path in [
        "/../secret",
        "/inside/../../secret",
        "/./../secret",
        "//../secret",
        "/..%2f..%2fsecret",
        "/%2e%2e/secret",
        "/.%2e/secret",
        "/..%5csecret",
        "/..\\secret",
        "/%c0%ae%c0%ae/secret",
        "/..%00/secret",
        "/secret%00.txt",
        "/link",
        "/etc/passwd",
        "/%2fetc%2fpasswd",
        "/\u{ff}",
        "/inside/",
        "/inside/x",
        &absolute,
        &long,
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").into_bytes();
            request.extend(format!("Authorization: Bearer {}\r\n\r\n", server.token).bytes());
            // `/inside/` is the file itself.
            if path == "/inside/" && method == "DELETE" {
                continue;
            }
            let answer = String::from_utf8_lossy(&server.raw(&request).await).into_owned();
            let refused =
                ["400", "404", "414", "431"].iter().any(|code| answer.starts_with(&format!("HTTP/1.1 {code}")));
            assert!(refused || path == "/inside/", "{method} {path}: {answer}");
            assert!(!answer.contains("secret\n") && !answer.contains("root:"), "{method} {path}: {answer}");
        }
    }
    for name in ["../secret", "/../../secret", "link", "etc/x", "a/../../../secret", "nul\0", "dir/.."] {
        let status = server.post(multipart(&[(name, b"overwritten")])).await.status();
        assert!(status == StatusCode::BAD_REQUEST || name.starts_with("nul"), "{name}: {status}");
    }
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "secret");
    assert_eq!(server.file(Method::GET, "/inside").await.text().await.unwrap(), "x");
}

#[tokio::test]
async fn tokens_in_the_address_are_no_credentials() {
    let server = TestServer::start().await;
    server.post(multipart(&[("file", b"x")])).await;
    let url = format!("{}/file?token={}", server.files_url, server.token);
    assert_eq!(server.http.get(url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}
