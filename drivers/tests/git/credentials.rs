//! A repository behind a password.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use base64::Engine;
use drivers::git::GitError;
use protocols::order::GitSettings;

use crate::fixture::{Fixture, branch, git_in};

const PASSWORD: &str = "s3cret-t0ken";

/// Serves the files of a bare repository (git's "dumb" protocol) to whoever has the password.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &folder);
        }
    });
    format!("127.0.0.1:{}", address.port())
}

fn answer(mut stream: TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("robot:{PASSWORD}"));
    let is_allowed =
        headers.iter().any(|line| line.to_lowercase().starts_with("authorization:") && line.ends_with(&expected));
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, body) = match fs::read(folder.join(path.trim_start_matches('/'))) {
        _ if !is_allowed => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"code\"", Vec::new()),
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // git may have seen enough and gone away.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn served() -> (Fixture, String) {
    let fixture = Fixture::new();
    git_in(&fixture.path("."), &["clone", "--quiet", "--bare", "origin.git", "served/r.git"]);
    git_in(&fixture.path("served/r.git"), &["update-server-info"]);
    let host = serve(fixture.path("served"));
    (fixture, host)
}

fn assert_no_secret_below(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            assert_no_secret_below(&entry.path());
        } else {
            let content = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            assert!(!content.contains(PASSWORD), "{}", entry.path().display());
        }
    }
}

fn settings(host: Option<&str>) -> GitSettings {
    let (user, password) = (Some("robot".into()), Some(PASSWORD.into()));
    GitSettings { user, password, host: host.map(str::to_owned), ..GitSettings::default() }
}

#[test]
fn configured_credentials_open_the_repository() {
    let (mut fixture, host) = served();
    fixture.settings = settings(Some("127.0.0.1"));
    let url = format!("http://{host}/r.git");
    let root = fixture.check_out_url(&url, &branch("main"), "", "tree", &fixture.commands()).unwrap().root;
    assert_eq!(git_in(&root, &["remote", "get-url", "origin"]), url);
    assert_no_secret_below(&fixture.path("cache"));
    assert_no_secret_below(&root);
}

#[test]
fn credentials_in_the_url_open_it_and_are_written_nowhere() {
    let (fixture, host) = served();
    let url = format!("http://robot:{PASSWORD}@{host}/r.git");
    let root = fixture.check_out_url(&url, &branch("main"), "", "tree", &fixture.commands()).unwrap().root;
    assert_eq!(git_in(&root, &["remote", "get-url", "origin"]), format!("http://{host}/r.git"));
    assert_no_secret_below(&fixture.path("cache"));
    assert_no_secret_below(&root);
    assert!(!fixture.shown().contains(PASSWORD));
    fixture.mirror();
}

#[test]
fn a_submodule_behind_the_same_password_comes_too() {
    let (mut fixture, host) = served();
    fixture.settings = settings(Some(&host));
    let inner = fixture.path("served/r.git").display().to_string();
    fixture.git(&["submodule", "--quiet", "add", &inner, "sub"]);
    let url = format!("http://{host}/r.git");
    fixture.git(&["config", "--file", ".gitmodules", "submodule.sub.url", &url]);
    fixture.commit_all();
    git_in(&fixture.path("."), &["clone", "--quiet", "--bare", "origin.git", "served/outer.git"]);
    git_in(&fixture.path("served/outer.git"), &["update-server-info"]);
    let url = format!("http://{host}/outer.git");
    let root = fixture.check_out_url(&url, &branch("main"), "", "tree", &fixture.commands()).unwrap().root;
    assert_eq!(fs::read(root.join("sub/train.py")).unwrap(), b"print('one')\n");
    assert_no_secret_below(&root);
}

#[test]
fn another_host_does_not_get_them() {
    let (mut fixture, host) = served();
    fixture.settings = settings(Some("example.org"));
    let url = format!("http://{host}/r.git");
    let error = fixture.check_out_url(&url, &branch("main"), "", "tree", &fixture.commands()).unwrap_err();
    assert!(matches!(&error, GitError::Fetch { .. }), "{error:?}");
    fixture.settings = GitSettings::default();
    let error = fixture.check_out_url(&url, &branch("main"), "", "tree", &fixture.commands()).unwrap_err();
    assert!(error.to_string().contains("agent.git_user"), "{error}");
}

#[test]
fn a_wrong_password_is_said_without_it() {
    let (fixture, host) = served();
    let url = format!("http://robot:wr0ng-t0ken@{host}/r.git");
    let error = fixture.check_out_url(&url, &branch("main"), "", "tree", &fixture.commands()).unwrap_err();
    let text = format!("{error} {error:?} {}", fixture.shown());
    assert!(text.contains("Authentication failed") && !text.contains("wr0ng"), "{text}");
    assert!(!error.is_transient());
}
