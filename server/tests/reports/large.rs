//! Large files and the memory of the server: it is a process of its own here, so that its memory can be measured.

use std::process::Stdio;

use reqwest::StatusCode;
use server::{Server, ServerConfig};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::files::BOUNDARY;

/// Where the child keeps its data.
const DATA_DIR: &str = "HOSTLER_TEST_DATA_DIR";

/// MiB of the file; more than the 1024 of every run, for figures by hand.
const SIZE: &str = "HOSTLER_TEST_FILE_MIB";

/// Not a test: the server of the tests below, started by them as `this program --ignored --exact ..`.
#[tokio::test]
#[ignore = "the child of another test"]
async fn child() {
    let Ok(directory) = std::env::var(DATA_DIR) else { return };
    let config = ServerConfig { api_port: 0, web_port: 0, files_port: 0, ..ServerConfig::new(directory) };
    let running = Server::start(config).await.unwrap();
    let (key, secret) = running.new_credentials.clone().unwrap();
    let ready = format!("\nready {} {key} {secret}\n", running.files_url);
    tokio::io::stdout().write_all(ready.as_bytes()).await.unwrap();
    tokio::io::stdout().flush().await.unwrap();
    // Until the parent is gone.
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    running.stop().await;
}

struct Process {
    child: Child,
    address: String,
    basic: String,
    _directory: tempfile::TempDir,
}

impl Process {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "large::child", "--nocapture"])
            .env(DATA_DIR, directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = loop {
            let line = lines.next_line().await.unwrap().expect("the server starts");
            if let Some(ready) = line.strip_prefix("ready ") {
                break ready.to_owned();
            }
        };
        let mut words = ready.split(' ');
        let address = words.next().unwrap().trim_start_matches("http://").to_owned();
        let (key, secret) = (words.next().unwrap(), words.next().unwrap());
        let request = reqwest_basic(key, secret);
        Self { child, address, basic: request, _directory: directory }
    }

    /// The most memory that the process ever had, in KiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn reqwest_basic(key: &str, secret: &str) -> String {
    let request = reqwest::Client::new().get("http://localhost").basic_auth(key, Some(secret)).build().unwrap();
    request.headers()["authorization"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_any_size_takes_no_memory() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Process::start().await;
    let mib: usize = std::env::var(SIZE).ok().and_then(|mib| mib.parse().ok()).unwrap_or(1024);
    // No two pieces are alike at the same place of a block, so that a mixed up file is noticed.
    let block: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let before = server.peak();

    let start = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"big/model.bin\"; filename=\"model.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    let length = start.len() + (mib << 20) + end.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n",
        server.basic
    );
    let began = std::time::Instant::now();
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(start.as_bytes()).await.unwrap();
    for _ in 0..mib {
        stream.write_all(&block).await.unwrap();
    }
    stream.write_all(end.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[\"big/model.bin\"]"), "{answer}");
    let (uploaded, after_upload) = (began.elapsed(), server.peak());

    let began = std::time::Instant::now();
    let url = format!("http://{}/big/model.bin", server.address);
    let mut download = reqwest::Client::new().get(url).header("authorization", &server.basic).send().await.unwrap();
    assert_eq!((download.status(), download.content_length()), (StatusCode::OK, Some((mib as u64) << 20)));
    let mut received = 0;
    while let Some(chunk) = download.chunk().await.unwrap() {
        let mut chunk = &chunk[..];
        while !chunk.is_empty() {
            let at = received % block.len();
            let (now, rest) = chunk.split_at(chunk.len().min(block.len() - at));
            assert!(now == &block[at..at + now.len()], "the file differs at {received}");
            received += now.len();
            chunk = rest;
        }
    }
    assert_eq!(received, mib << 20);
    let (downloaded, after) = (began.elapsed(), server.peak());
    let figures = format!(
        "{mib} MiB: up in {uploaded:.1?}, down in {downloaded:.1?}; peak memory {before} KiB before, {after_upload} KiB after \
         the upload, {after} KiB after the download\n"
    );
    tokio::io::stderr().write_all(figures.as_bytes()).await.unwrap();
    assert!(after < before + (32 << 10), "{figures}");
}
