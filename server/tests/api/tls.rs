//! The three ports with TLS.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use server::{RunningServer, Server, ServerConfig, ServerError, TlsFiles};
use tempfile::TempDir;

use crate::harness::{config, http_client, soon};

/// An authority, and a certificate that it has signed for some names.
struct Trust {
    directory: TempDir,
    authority: String,
    files: TlsFiles,
}

impl Trust {
    fn new(names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        Self { directory, authority: issuer.pem(), files }
    }

    fn config(&self, data: &TempDir) -> ServerConfig {
        ServerConfig { tls: Some(self.files.clone()), ..config(data) }
    }

    /// A client that trusts the authority and nobody else.
    fn client(&self) -> Client {
        drop(http_client());
        let authority = Certificate::from_pem(self.authority.as_bytes()).unwrap();
        Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap()
    }
}

async fn ping(client: &Client, url: &str) -> reqwest::Result<Value> {
    soon("the answer", client.get(format!("{url}/debug.ping")).send()).await?.json().await
}

async fn start(trust: &Trust) -> (TempDir, RunningServer) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(trust.config(&data)).await.unwrap();
    (data, server)
}

#[tokio::test]
async fn all_ports_speak_tls_and_nothing_else() {
    let trust = Trust::new(&["127.0.0.1", "localhost"]);
    let (_data, server) = start(&trust).await;
    let client = trust.client();
    for url in [&server.api_url, &server.web_url, &server.files_url] {
        assert!(url.starts_with("https://127.0.0.1:"), "{url}");
        for _ in ["a first time", "and again on the same connection"] {
            assert_eq!(ping(&client, url).await.unwrap()["data"]["msg"], "ClearML server");
        }
        assert!(ping(&http_client(), url).await.is_err(), "who does not know the authority does not trust it");
        let plain = url.replacen("https", "http", 1);
        let answer = http_client().get(format!("{plain}/debug.ping")).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("https"));
    }
    let (key, secret) = server.new_credentials.clone().unwrap();
    let request = client.get(format!("{}/auth.login", server.api_url)).basic_auth(key, Some(secret));
    let response = request.send().await.unwrap();
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("; Secure"), "the cookie stays on TLS");
    soon("the end", server.stop()).await;
}

#[tokio::test]
async fn a_client_that_stalls_keeps_nobody_waiting() {
    let trust = Trust::new(&["127.0.0.1"]);
    let (_data, server) = start(&trust).await;
    let address = server.api_url.trim_start_matches("https://").to_socket_addrs().unwrap().next().unwrap();
    let silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut halfway = TcpStream::connect(address).unwrap();
    // The head of a TLS record that never comes.
    halfway.write_all(&[22, 3, 1, 2, 0]).unwrap();
    assert_eq!(ping(&trust.client(), &server.api_url).await.unwrap()["data"]["msg"], "ClearML server");
    // Stopping does not wait for them either.
    soon("the end", server.stop()).await;
    for mut stream in silent.into_iter().chain([halfway]) {
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)), "they are closed");
    }
}

#[tokio::test]
async fn the_urls_have_the_name_that_the_certificate_is_for() {
    for (names, public_name, host) in [
        (&["train.example.org"][..], None, "train.example.org"),
        (&["*.example.org", "train.example.org"], None, "train.example.org"),
        (&["127.0.0.1", "train.example.org"], None, "127.0.0.1"),
        (&["127.0.0.1", "train.example.org"], Some("train.example.org"), "train.example.org"),
        // Told in a warning: clients that check the name cannot use it.
        (&["train.example.org"], Some("other.example.org"), "other.example.org"),
    ] {
        let trust = Trust::new(names);
        let data = tempfile::tempdir().unwrap();
        let config = ServerConfig { public_name: public_name.map(str::to_owned), ..trust.config(&data) };
        let server = Server::start(config).await.unwrap();
        assert!(server.api_url.starts_with(&format!("https://{host}:")), "{names:?}: {}", server.api_url);
        soon("the end", server.stop()).await;
    }
    let data = tempfile::tempdir().unwrap();
    let config = ServerConfig { public_name: Some("train.example.org".to_owned()), ..config(&data) };
    let server = Server::start(config).await.unwrap();
    assert!(server.files_url.starts_with("http://train.example.org:"), "{}", server.files_url);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let (trust, other) = (Trust::new(&["127.0.0.1"]), Trust::new(&["127.0.0.1"]));
    let place = |name: &str, text: &str| -> PathBuf {
        let path = trust.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (trust.files.certificate.clone(), trust.files.key.clone());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate, key, wrong) in [
        (certificate.clone(), other.files.key.clone(), &other.files.key),
        (certificate.clone(), PathBuf::from("/no/such/key"), &PathBuf::from("/no/such/key")),
        (PathBuf::from("/no/such/cert"), key.clone(), &PathBuf::from("/no/such/cert")),
        (key.clone(), key.clone(), &key),
        (certificate.clone(), certificate.clone(), &certificate),
        (certificate.clone(), place("encrypted", encrypted), &trust.directory.path().join("encrypted")),
        (place("broken", broken), key.clone(), &trust.directory.path().join("broken")),
        (place("empty", ""), key.clone(), &trust.directory.path().join("empty")),
    ] {
        let data = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate, key };
        let error = Server::start(ServerConfig { tls: Some(files), ..config(&data) }).await.unwrap_err();
        assert!(matches!(error, ServerError::Tls { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(wrong.to_str().unwrap()) && text.lines().count() == 1, "{text}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_without_a_restart() {
    let (trust, renewed) = (Trust::new(&["127.0.0.1"]), Trust::new(&["127.0.0.1"]));
    let (_data, server) = start(&trust).await;
    let old = trust.client();
    ping(&old, &server.api_url).await.unwrap();
    std::fs::rename(&renewed.files.certificate, &trust.files.certificate).unwrap();
    std::fs::rename(&renewed.files.key, &trust.files.key).unwrap();
    soon("the renewed certificate", async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(100));
        // A new client makes a new connection.
        while ping(&renewed.client(), &server.api_url).await.is_err() {
            looks.tick().await;
        }
    })
    .await;
    ping(&old, &server.api_url).await.expect("a connection that is there goes on");
    let answer = ping(&renewed.client(), &server.files_url).await.unwrap();
    assert_eq!(answer["data"], json!({"msg": "ClearML server"}));
}
