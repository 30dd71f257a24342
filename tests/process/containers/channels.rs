//! Channels of conda that want a password or a token: it is found nowhere.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::conda::{CondaImage, TYPE, draft, stand_in};
use super::{Engine, Farm};
use crate::harness::{Api, Daemon, Gate, Place, ProcessExt as _, Server, audit, eventually};

const SECRETS: [&str; 2] = ["xy-hunter2-9f3a", "s3cret-word"];
const CHANNELS: (&str, &str) = (
    "CLEARML_AGENT__AGENT__PACKAGE_MANAGER__CONDA_CHANNELS",
    "[\"https://conda.example/t/xy-hunter2-9f3a/own\", \"https://robot:s3cret-word@mirror.example/more\"]",
);
const LOUD: (&str, &str) = ("HOSTLER_LOG", "debug");

/// Everything that a task can read about where its packages are from.
const PROGRAM: &str = "import glob, os, thing\nprint('GOT', thing.VERSION)\n\
    for name in glob.glob(os.path.join(os.environ['CONDA_PREFIX'], 'conda-meta/*')):\n    print('LIST', open(name).read())\n";

fn holds_secret(bytes: &[u8]) -> bool {
    let has = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    SECRETS.into_iter().any(has)
}

/// Every file below a folder with a secret in it.
fn leaks(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() && !path.is_symlink() {
            leaks(&path, found);
        } else if !path.is_symlink() && holds_secret(&std::fs::read(&path).unwrap_or_default()) {
            found.insert(path);
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Command lines of all processes of the machine, those of containers among them.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Runs a task, and looks everywhere: while its environment is made, while everything is there, and at its end.
fn is_found_nowhere(place: &Place, api: &Api, tool: &str, enqueue: impl FnOnce(&str) -> String) {
    let mut gate = Gate::shut(&place.path("gate"));
    let task = enqueue("thing=2.0\nnoisy=1.0\nslow=1.0");
    eventually("it is built, or has failed", || !place.lines("building").is_empty() || api.status(&task) == "failed");
    assert_eq!(api.status(&task), "in_progress", "{}", api.console(&task));
    let lines = command_lines();
    let told: Vec<&String> = lines.iter().filter(|line| line.contains(&format!("{tool} "))).collect();
    assert!(told.iter().any(|line| line.contains("--prefix")), "it was not seen running: {told:?}");
    assert!(!lines.iter().any(|line| holds_secret(line.as_bytes())), "{told:?}");
    let caches = place.path("home/.cache/hostler");
    let is_of_downloads =
        |path: &PathBuf| path.starts_with(caches.join("conda")) || path.starts_with(place.path("packages"));
    let look = || {
        let mut found = BTreeSet::new();
        for folder in ["state", "home", "logs", "data"] {
            leaks(&place.path(folder), &mut found);
        }
        found.retain(|path| !is_of_downloads(path));
        found
    };
    let mut meanwhile = look();
    // What is half made nobody else may see: its folder is this user's, and no container has it but the one that makes it.
    assert_eq!(mode(&caches), 0o700);
    meanwhile.retain(|path| !path.starts_with(caches.join("environments/built")));
    assert_eq!(meanwhile.len(), 1, "{meanwhile:?}");
    let is_told = |path: &PathBuf| path.ends_with("environment.yml") || path.ends_with("settings/conda/.condarc");
    assert!(meanwhile.iter().all(|path| is_told(path) && mode(path) == 0o600), "{meanwhile:?}");
    gate.open();

    let ended = api.ended_as(&task, "completed");
    let console = api.console(&task);
    assert!(console.contains("GOT 2.0"), "{console}");
    for words in [
        "Download of https://conda.example/t/***/own/linux-64/noisy-1.0-0.conda",
        "https://conda.example/own/linux-64/thing-2.0-0.conda",
        "# cmd: ",
    ] {
        assert!(console.contains(words), "{words}: {console}");
    }
    assert!(!holds_secret(console.as_bytes()) && !holds_secret(ended.to_string().as_bytes()), "{console}");
    explained(place, &task);
    assert_eq!(look(), BTreeSet::new());
    if caches.join("conda").exists() {
        assert_eq!(mode(&caches.join("conda")), 0o700);
    }
    audit(place);
}

/// What people are told about the environment.
fn explained(place: &Place, task: &str) {
    let env = |arguments: &[&str]| {
        let mut command = place.hostler();
        command.arg("env").args(arguments);
        let said = command.finish_within(Duration::from_secs(60)).ok();
        assert!(!holds_secret(said.as_bytes()), "{said}");
        said
    };
    let list: Value = serde_json::from_str(&env(&["list", "--json"])).unwrap();
    let id = list.to_string();
    let id = list.pointer("/environments/0/id").or_else(|| list.pointer("/0/id")).and_then(Value::as_str).expect(&id);
    assert!(env(&["show", id]).contains("https://conda.example/t/***/own"));
    for arguments in [&["show", id, "--json"][..], &["why", task], &["why", task, "--json"]] {
        env(arguments);
    }
}

#[test]
fn a_token_is_found_nowhere_on_the_machine() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    stand_in(&place.path("bin/mamba"));
    let (folder, packages) = (place.path("").display().to_string(), place.path("packages").display().to_string());
    let variables =
        [TYPE, CHANNELS, LOUD, ("STAND_IN_FOLDER", folder.as_str()), ("CONDA_PKGS_DIRS", packages.as_str())];
    let daemon = Daemon::start_with(&place, &server, &["--cpu-only", "--workers", "1"], &variables);
    is_found_nowhere(&place, &api, "bin/mamba", |packages| draft(PROGRAM, packages, "").enqueue(&api));
    drop(daemon);
}

#[test]
fn a_token_is_found_nowhere_with_a_conda_in_a_container() {
    let programs = ["/opt/conda/bin/conda", "/usr/local/bin/micromamba"];
    for (engine, program) in Engine::all().into_iter().zip(programs) {
        let farm = Farm::start_with(&engine, &["--workers", "1"], &[TYPE, CHANNELS, LOUD]);
        let image = CondaImage::with(&engine, program);
        let arguments = format!("-v {0}:{0} -e STAND_IN_FOLDER={0}", farm.place.path("").display());
        is_found_nowhere(&farm.place, &farm.api, program, |packages| {
            let container = json!({ "image": image.name, "arguments": arguments });
            farm.enqueue(&draft(PROGRAM, packages, ""), container)
        });
        farm.is_clean();
    }
}
