use std::path::Path;

use reqwest::header::{CONTENT_TYPE, RANGE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::client::TestServer;

pub(crate) const BOUNDARY: &str = "e1b7a6f0c2d94b8f";

/// A multipart body as the SDK makes it: name and file name of a part are the path, as it is.
pub(crate) fn multipart(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (path, content) in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{path}\"; filename=\"{path}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend(head.bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

impl TestServer {
    pub(crate) async fn file(&self, method: Method, path: &str) -> Response {
        self.http.request(method, format!("{}{path}", self.files_url)).bearer_auth(&self.token).send().await.unwrap()
    }

    pub(crate) async fn post(&self, body: Vec<u8>) -> Response {
        let request = self
            .http
            .post(format!("{}/", self.files_url))
            .bearer_auth(&self.token)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(body);
        request.send().await.unwrap()
    }

    pub(crate) fn files_dir(&self) -> std::path::PathBuf {
        self.directory.path().join("data/files")
    }
}

pub(crate) fn count_files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn an_artifact_goes_up_comes_down_and_is_deleted() {
    let server = TestServer::start().await;
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = "/Trial/Sub/train a.0f/artifacts/dätä 100%/x.pkl";
    let url = "/Trial/Sub/train%20a.0f/artifacts/d%C3%A4t%C3%A4%20100%25/x.pkl";
    let stored: Value = server.post(multipart(&[(path, &content)])).await.json().await.unwrap();
    assert_eq!(stored, json!([path.trim_start_matches('/')]));

    let response = server.file(Method::GET, url).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert_eq!(response.headers()["content-length"], "1200000");
    let etag = response.headers()["etag"].clone();
    assert_eq!(response.bytes().await.unwrap(), content);

    let head = server.file(Method::HEAD, url).await;
    assert_eq!((head.status(), head.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "1200000"));
    let get = |name: &'static str, value: String| {
        let request = server.http.get(format!("{}{url}", server.files_url)).bearer_auth(&server.token);
        request.header(name, value).send()
    };
    let known = get("if-none-match", etag.to_str().unwrap().to_owned()).await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let part = get(RANGE.as_str(), "bytes=1000-1003".to_owned()).await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 1000-1003/1200000");
    assert_eq!(part.bytes().await.unwrap(), content[1000..1004]);
    let none = get(RANGE.as_str(), "bytes=1200000-".to_owned()).await.unwrap();
    assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    let deleted: Value = server.file(Method::DELETE, url).await.json().await.unwrap();
    assert_eq!(deleted, path.trim_start_matches('/'));
    assert_eq!(server.file(Method::GET, url).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.file(Method::DELETE, url).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(count_files(&server.files_dir()), 0);
}

#[tokio::test]
async fn a_second_upload_replaces_the_first_as_a_whole() {
    let server = TestServer::start().await;
    for content in ["a long first version", "second"] {
        server.post(multipart(&[("dir/file.txt", content.as_bytes())])).await;
        let response = server.file(Method::GET, "/dir/file.txt").await;
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.text().await.unwrap(), content);
    }
}

#[tokio::test]
async fn half_an_upload_is_never_seen() {
    let server = TestServer::start().await;
    server.post(multipart(&[("file", b"whole")])).await;
    let mut cut = multipart(&[("file", &[b'x'; 100_000]), ("other", b"y")]);
    cut.truncate(50_000);
    assert_eq!(server.post(cut).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.file(Method::GET, "/file").await.text().await.unwrap(), "whole");
    assert_eq!(count_files(&server.files_dir()), 1, "nothing is left of the broken one");
}

#[tokio::test]
async fn no_path_leads_out() {
    let server = TestServer::start().await;
    let long = "x".repeat(300);
    for path in ["../../secret", "a/../../secret", "..", "", "/", &long] {
        let response = server.post(multipart(&[(path, b"x")])).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    // The client resolves dots between slashes itself; these it leaves alone.
    for path in ["/..%2ftoken.key", "/a%2f..%2f..%2fserver.db", "/%00", "/%ff"] {
        let response = server.file(Method::GET, path).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(server.file(Method::DELETE, path).await.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(count_files(&server.files_dir()), 0);
    // A folder is no file, and a file no folder.
    server.post(multipart(&[("a/b", b"x")])).await;
    for path in ["a", "a/b/c"] {
        assert_eq!(server.post(multipart(&[(path, b"y")])).await.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(server.file(Method::GET, "/a").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.file(Method::GET, "/a/b/c").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn only_known_callers_are_served() {
    let server = TestServer::start().await;
    server.post(multipart(&[("file", b"x")])).await;
    let url = |path: &str| format!("{}{path}", server.files_url);
    assert_eq!(server.http.get(url("/")).send().await.unwrap().status(), StatusCode::OK, "a health check");
    assert_eq!(server.http.get(url("/")).bearer_auth("x").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    for (method, path) in [
        (Method::GET, "/file"),
        (Method::HEAD, "/file"),
        (Method::DELETE, "/file"),
        (Method::POST, "/"),
        (Method::POST, "/delete_many"),
    ] {
        for token in [None, Some("forged")] {
            let mut request = server.http.request(method.clone(), url(path));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
    let cookie = format!("clearml_token_basic={}", server.token);
    let by_cookie = server.http.get(url("/file")).header("cookie", cookie).send().await.unwrap();
    assert_eq!(by_cookie.status(), StatusCode::OK);
    assert_eq!(server.file(Method::PUT, "/file").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn many_files_go_up_and_away_at_once() {
    let server = TestServer::start().await;
    let stored: Value =
        server.post(multipart(&[("d/a", b"1"), ("d/e/b", b"2"), ("c", b"3")])).await.json().await.unwrap();
    assert_eq!(stored, json!(["d/a", "d/e/b", "c"]));
    let request = server
        .http
        .post(format!("{}/delete_many", server.files_url))
        .bearer_auth(&server.token)
        .body(json!({"files": ["/d", "none%20such", "../x"]}).to_string());
    let reply: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(reply["deleted"], json!({"/d": "d"}));
    assert_eq!(reply["errors"]["file not found"], json!(["none%20such"]));
    assert_eq!(count_files(&server.files_dir()), 1);
}

#[tokio::test]
async fn pages_that_were_uploaded_have_no_rights() {
    let server = TestServer::start().await;
    server.post(multipart(&[("page.html", b"<script>1</script>")])).await;
    let response = server.file(Method::GET, "/page.html?download").await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-security-policy"), "sandbox allow-scripts");
    assert_eq!(
        (header("x-content-type-options"), header("content-disposition")),
        ("nosniff".to_owned(), "attachment".to_owned())
    );
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_refused_and_nothing_of_it_stays() {
    let server = TestServer::start_with(|config| config.max_upload = Some(1000)).await;
    assert_eq!(server.post(multipart(&[("a", &[1; 1000])])).await.status(), StatusCode::OK);
    assert_eq!(server.post(multipart(&[("b", &[1; 1001])])).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(count_files(&server.files_dir()), 1);
}

#[tokio::test]
async fn several_parts_come_in_one_answer() {
    let server = TestServer::start().await;
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    server.post(multipart(&[("data.bin", &content)])).await;
    let get = |headers: &[(&'static str, String)]| {
        let mut request = server.http.get(format!("{}/data.bin", server.files_url)).bearer_auth(&server.token);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send()
    };
    let response = get(&[("range", "bytes=0-99,1000-149999,-5".to_owned())]).await.unwrap();
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let body = response.bytes().await.unwrap();
    let mut expected = Vec::new();
    for (start, end) in [(0, 99), (1000, 149_999), (199_995, 199_999)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{end}/200000\r\n\r\n"
        );
        expected.extend(head.bytes());
        expected.extend(&content[start..=end]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert_eq!((body.len(), body == expected), (length, true));

    // A part of another version is of no use; a version is named by its tag or its date.
    let whole = get(&[]).await.unwrap();
    let value = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
    let range = || ("range", "bytes=-5".to_owned());
    for (version, status) in [
        (value("etag"), StatusCode::PARTIAL_CONTENT),
        (value("last-modified"), StatusCode::PARTIAL_CONTENT),
        ("\"another\"".to_owned(), StatusCode::OK),
        ("Sat, 01 Jan 2000 00:00:00 GMT".to_owned(), StatusCode::OK),
    ] {
        assert_eq!(get(&[range(), ("if-range", version.clone())]).await.unwrap().status(), status, "{version}");
    }
    for (since, status) in [
        (value("last-modified"), StatusCode::NOT_MODIFIED),
        ("Sat, 01 Jan 2000 00:00:00 GMT".to_owned(), StatusCode::OK),
        ("yesterday".to_owned(), StatusCode::OK),
    ] {
        assert_eq!(get(&[("if-modified-since", since.clone())]).await.unwrap().status(), status, "{since}");
    }
    let stale = [("if-none-match", "\"another\"".to_owned()), ("if-modified-since", value("last-modified"))];
    assert_eq!(get(&stale).await.unwrap().status(), StatusCode::OK, "a tag says more than a date");
}

#[tokio::test]
async fn compressed_files_are_served_as_they_are() {
    let server = TestServer::start().await;
    server.post(multipart(&[("log.txt.gz", b"\x1f\x8bnot really"), ("MODEL.PNG", b"x")])).await;
    let response = server.file(Method::GET, "/log.txt.gz").await;
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert!(response.headers().get("content-encoding").is_none());
    assert_eq!(response.bytes().await.unwrap(), &b"\x1f\x8bnot really"[..]);
    assert_eq!(server.file(Method::GET, "/MODEL.PNG").await.headers()["content-type"], "image/png");
    assert_eq!(server.file(Method::GET, "/model.png").await.status(), StatusCode::NOT_FOUND, "names have a case");
}
