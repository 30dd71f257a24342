//! A server for code and packages that wants a password: everything works, and the password is nowhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::packages::{versions, write_wheel};
use super::row::{Row, Table};
use crate::harness::{
    Daemon, Draft, Gate, GitServer, Place, ProcessExt, Server, audit, eventually, git, git_commit_all, new_repository,
};

const PASSWORD: &str = GitServer::PASSWORD;
const LIMIT: Duration = Duration::from_secs(60);

/// The forms in which the password might be written down.
fn forms() -> Vec<String> {
    let encoded: String = PASSWORD
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("robot:{PASSWORD}"));
    vec![PASSWORD.to_owned(), encoded, basic, PASSWORD.replace('$', "\\$")]
}

fn holds_secret(bytes: &[u8]) -> bool {
    forms().iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
}

/// Every file below a folder that holds the password.
fn leaks(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            leaks(&path, found);
        } else if holds_secret(&std::fs::read(&path).unwrap_or_default()) {
            found.push(path);
        }
    }
}

/// Looks at the command lines of all processes until it is told to stop; gives those with the password, and how many
/// it has seen.
fn watch_processes(stop: Arc<AtomicBool>) -> std::thread::JoinHandle<(Vec<String>, usize)> {
    std::thread::spawn(move || {
        let (mut found, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
        while !stop.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
                let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
                if holds_secret(&line) {
                    found.push(String::from_utf8_lossy(&line).replace('\0', " "));
                }
                if line.starts_with(b"git\0") || line.windows(5).any(|window| window == b"/git\0") {
                    seen.insert(entry.file_name());
                }
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        (found, seen.len())
    })
}

/// The code: a repository with a submodule, both behind the password, and a library to install from a third.
fn publish_code(place: &Place, server: &GitServer, gate: &Gate) {
    let inner = place.path("inner");
    new_repository(&inner, &[("word.py", "WORD = 'inner'\n")]);
    server.publish(&inner, "inner");
    let library = place.path("library");
    let project = "[build-system]\nrequires = ['setuptools==75.8.0']\nbuild-backend = 'setuptools.build_meta'\n\
        [project]\nname = 'hostlerlib'\nversion = '1.0'\n[tool.setuptools]\npy-modules = ['hostlerlib']\n";
    new_repository(&library, &[("pyproject.toml", project), ("hostlerlib.py", "VERSION = '1.0'\n")]);
    server.publish(&library, "library");
    write_wheel(&server.folder.join("wheels"), "hostlerwheel", "4.2", "");
    let outer = place.path("outer");
    let program = format!(
        "import os, subprocess\nprint('ENV', dict(os.environ), flush=True)\n{}\nfrom inner import word\n\
         import hostlerlib, hostlerwheel\nprint('OUT', word.WORD, hostlerlib.VERSION, hostlerwheel.VERSION)\n\
         print('OUT', subprocess.run(['git', 'remote', 'get-url', 'origin'], capture_output=True, text=True).stdout.strip())\n",
        gate.python()
    );
    new_repository(&outer, &[("run.py", &program)]);
    git(&outer, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.to_str().unwrap(), "inner"]);
    git(&outer, &["config", "--file", ".gitmodules", "submodule.inner.url", &server.url("inner")]);
    git_commit_all(&outer, &[]);
    server.publish(&outer, "outer");
}

/// A configuration for the agent: what the server wrote, and the credentials.
fn configuration(place: &Place, server: &Server, code: &GitServer) -> PathBuf {
    let own = std::fs::read_to_string(server.configuration_file()).unwrap();
    let encoded = forms()[1].clone();
    let section = format!(
        "\nagent {{ git_user: robot, git_pass: \"{PASSWORD}\", git_host: \"127.0.0.1\"\n\
         package_manager.extra_index_url: [\"https://robot:{encoded}@{}/simple/\"] }}\n",
        code.address
    );
    let path = place.path("agent.conf");
    std::fs::write(&path, own + &section).unwrap();
    path
}

#[test]
fn a_password_opens_code_submodule_and_packages_and_is_found_nowhere() {
    let place = Place::new();
    let code = GitServer::start(&place);
    let mut gate = Gate::shut(&place.path("gate"));
    publish_code(&place, &code, &gate);
    let server = Server::start(&place);
    let api = server.api();
    let config = configuration(&place, &server, &code);
    let authority = code.authorities(&place);
    let uv_cache = place.path("home/uv");
    let variables = [
        ("CLEARML_CONFIG_FILE", config.to_str().unwrap()),
        ("GIT_SSL_CAINFO", authority.as_str()),
        ("SSL_CERT_FILE", authority.as_str()),
        ("PIP_CERT", authority.as_str()),
        ("HOSTLER_LOG", "debug"),
        // Not the one that tests share: it is looked through.
        ("UV_CACHE_DIR", uv_cache.to_str().unwrap()),
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch_processes(Arc::clone(&stop));
    let daemon = Daemon::start_with(&place, &server, &["--cpu-only", "--workers", "1"], &variables);
    let requirements = format!("hostlerwheel\nhostlerlib @ git+{}\n", code.url("library"));
    let draft = Draft::repository("private", &code.url("outer"), "run.py").requirements(&requirements);
    let task = draft.enqueue(&api);
    eventually("the program runs, or the task has failed", || {
        !api.console_lines(&task, "ENV ").is_empty() || api.status(&task) == "failed"
    });
    assert_eq!(api.status(&task), "in_progress", "{}", api.console(&task));

    // While everything is there: the work tree, the order, the caches, the journal.
    let mut found = Vec::new();
    for folder in ["state", "home", "logs", "data"] {
        leaks(&place.path(folder), &mut found);
    }
    assert!(found.is_empty(), "the password is in {found:?}");
    assert!(!holds_secret(&user_environment(&task)), "the password is in the environment of the program");

    gate.open();
    let ended = api.ended_as(&task, "completed");
    assert_eq!(
        api.console_lines(&task, "OUT "),
        ["OUT inner 1.0 4.2".to_owned(), format!("OUT {}", code.url("outer"))]
    );
    stop.store(true, Ordering::Relaxed);
    let (lines, count) = watcher.join().unwrap();
    assert!(lines.is_empty(), "the password was on a command line: {lines:?}");
    assert!(count > 0, "git was never seen running: nothing was watched");
    assert!(!holds_secret(api.console(&task).as_bytes()), "the password is in the task's console");
    assert!(!holds_secret(ended.to_string().as_bytes()), "the password is in the task");
    for folder in ["state", "home", "logs", "data"] {
        leaks(&place.path(folder), &mut found);
    }
    assert!(found.is_empty(), "the password is in {found:?}");
    explained(&place, &config, &code, &authority);
    drop(daemon);
    audit(&place);
}

/// What the user's own process has in its environment.
fn user_environment(task: &str) -> Vec<u8> {
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let read = |entry: &std::fs::DirEntry, name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
    let programs = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let programs = programs.filter(|entry| has(&read(entry, "cmdline"), "\0run.py"));
    let all: Vec<u8> = programs.map(|entry| read(&entry, "environ")).find(|bytes| has(bytes, task)).unwrap_or_default();
    assert!(!all.is_empty(), "the program was not found");
    all
}

/// `hostler explain git` says how all of this is reached, and tries it.
fn explained(place: &Place, config: &Path, code: &GitServer, authority: &str) {
    let explain = |url: &str, arguments: &[&str]| {
        let mut command = place.hostler();
        command.args(["explain", "git", url]).args(arguments).env("CLEARML_CONFIG_FILE", config);
        command.env("GIT_SSL_CAINFO", authority).finish_within(LIMIT)
    };
    let works = explain(&code.url("outer"), &["--json"]);
    assert_eq!(works.code(), 0, "{works:#?}");
    let answer: Value = serde_json::from_str(&works.stdout).unwrap();
    assert_eq!(
        (&answer["works"], &answer["url"], &answer["credential"]),
        (&json!(true), &json!(code.url("outer")), &json!("user robot and a password, from agent.git_user")),
    );
    assert!(answer["answer"].as_str().unwrap().starts_with("HEAD is "), "{answer}");
    let missing = explain(&code.url("nowhere"), &[]);
    assert_eq!(missing.code(), 1, "{missing:#?}");
    assert!(missing.stdout.contains("does not work") && missing.stdout.contains("nowhere"), "{missing:#?}");
    let ssh = explain("git@127.0.0.1:team/code.git", &[]);
    assert!(ssh.stdout.contains("asked as    https://127.0.0.1/team/code.git"), "{ssh:#?}");
    assert!(ssh.stdout.contains("agent.translate_ssh"), "{ssh:#?}");
    let elsewhere = explain("https://127.0.0.2:1/r.git", &[]);
    assert!(elsewhere.stdout.contains("none of the configuration"), "{elsewhere:#?}");
    for finished in [works, missing, ssh, elsewhere] {
        assert!(!holds_secret(finished.stdout.as_bytes()) && !holds_secret(finished.stderr.as_bytes()));
    }
}

/// An index that refuses everything, in the way that the path says (`/401/..`). Its address.
fn index_that_refuses() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let mut head = String::new();
            let mut reader = BufReader::new(&stream);
            while reader.read_line(&mut head).is_ok_and(|size| size > 2) {}
            let status = if head.contains(" /401/") { "401 Unauthorized" } else { "403 Forbidden" };
            let more = "WWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            // Who goes away meanwhile has no use for it.
            let _ = write!(stream, "HTTP/1.1 {status}\r\n{more}");
        }
    });
    address.to_string()
}

#[test]
fn an_index_that_gives_nothing_is_named() {
    let refusing = index_that_refuses();
    let fails = |name: &str, path: &str, requirement: &str, names: &[&str]| {
        let lines = format!("--extra-index-url http://robot:wrong-pass@{refusing}/{path}/simple\n{requirement}");
        let named = format!("http://{refusing}/{path}/simple");
        let names = [&[named.as_str(), path], names].concat();
        Row::fails(name, versions(&lines, "six"), "environment", &names).never_says("wrong-pass")
    };
    let missing = "hostler-no-such-package";
    let table = Table::start(Place::new(), &[("UV_HTTP_RETRIES", "0")]);
    table.run(&[
        fails("a wrong password", "401", missing, &[missing, "was not found"]).says("(401 Unauthorized)"),
        fails("a version that is elsewhere", "401", "six==99.99", &["no version of six==99.99"]),
        fails("an index that is forbidden", "403", missing, &[missing, "was not found"]),
        Row::completes(
            "a package that is elsewhere",
            versions(&format!("--extra-index-url http://{refusing}/401/simple\nsix==1.16.0"), "six"),
            &["six=1.16.0"],
        ),
        Row::fails(
            "an index that cannot be reached",
            versions("--extra-index-url https://nonexistent.invalid/simple\nsix==1.15.0", "six"),
            "environment",
            &["the index https://nonexistent.invalid/simple cannot be reached"],
        ),
    ]);
    table.finish();
}
