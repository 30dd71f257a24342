//! The house rules that no compiler checks: who may depend on whom, how large a file may be, what tests may not do,
//! and that the map in `docs/ARCHITECTURE.md` is the territory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Lines, tests included.
const WARN_LINES: usize = 500;
const MAX_LINES: usize = 800;

/// Which crate of the workspace may use which.
const DIRECTIONS: [(&str, &[&str]); 7] = [
    ("hostler-fake-nvml", &[]),
    ("hostler-init", &[]),
    ("hostler-protocols", &[]),
    ("hostler-drivers", &["hostler-protocols"]),
    ("hostler-server", &["hostler-protocols"]),
    ("hostler-actors", &["hostler-drivers", "hostler-protocols"]),
    ("hostler", &["hostler-actors", "hostler-drivers", "hostler-protocols", "hostler-server"]),
];

/// Invariant P1: what a crate without I/O, without a clock and without a runtime cannot need.
const NOT_IN_PROTOCOLS: [&str; 8] = ["actix", "axum", "git2", "nix", "reqwest", "rusqlite", "rustix", "tokio"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the project: those of git, with those that are new.
fn files() -> Vec<PathBuf> {
    let listing = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git is needed");
    assert!(listing.status.success(), "{listing:?}");
    let listing = String::from_utf8(listing.stdout).expect("file names are UTF-8");
    listing.lines().map(|line| root().join(line)).filter(|path| path.is_file()).collect()
}

fn rust_files() -> impl Iterator<Item = (PathBuf, String)> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| {
        let text = std::fs::read_to_string(&path).expect("Rust is UTF-8");
        (path.strip_prefix(root()).expect("below the root").to_path_buf(), text)
    })
}

fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo is needed");
    assert!(metadata.status.success(), "{metadata:?}");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
    normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn crates_depend_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = DIRECTIONS.into_iter().collect();
    let packages = packages();
    assert_eq!(packages.len(), DIRECTIONS.len(), "a crate was added: say in this test whom it may use");
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        let allowed = allowed[name];
        for dependency in dependencies(package) {
            let ours = dependency == "hostler" || dependency.starts_with("hostler-");
            assert!(!ours || allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
            assert!(
                name != "hostler-protocols" || !NOT_IN_PROTOCOLS.contains(&dependency.as_str()),
                "invariant P1: protocols must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn protocols_touch_nothing_outside() {
    for (path, text) in rust_files().filter(|(path, _)| path.starts_with("protocols/src")) {
        for forbidden in ["std::fs", "std::net", "std::process", "std::env", "SystemTime", "Instant::now"] {
            assert!(!text.contains(forbidden), "invariant P1: {} uses {forbidden}", path.display());
        }
    }
}

#[test]
fn daemon_and_executor_do_not_import_each_other() {
    for (path, text) in rust_files() {
        for (side, other) in [("daemon", "executor"), ("executor", "daemon")] {
            if path.starts_with(format!("actors/src/{side}")) {
                for import in [format!("crate::{other}::"), format!("super::super::{other}::")] {
                    assert!(!text.contains(&import), "{} imports {import}", path.display());
                }
            }
        }
    }
}

/// What a line of Rust says that belongs below the boundary of the store, if it does.
fn database_talk(line: &str) -> Option<&'static str> {
    let code = line.trim_start();
    if code.starts_with("//") {
        return None;
    }
    const STATEMENTS: [&str; 9] = [
        "SELECT ",
        "INSERT INTO ",
        "UPDATE ",
        "DELETE FROM ",
        " WHERE ",
        "EXISTS (",
        "PRAGMA ",
        "IS NULL",
        "json_each",
    ];
    if code.contains(".prepare(") && !code.contains(".prepare()") {
        return Some(".prepare(");
    }
    let calls = ["rusqlite", ".prepare_cached(", ".query_row(", ".query_map(", ".execute_batch("];
    calls.into_iter().chain(STATEMENTS).find(|said| code.contains(said))
}

#[test]
fn only_the_store_talks_to_the_database() {
    for (path, text) in
        rust_files().filter(|(path, _)| path.starts_with("server/src") && !path.starts_with("server/src/store"))
    {
        let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (number, line) in production.lines().enumerate() {
            if let Some(said) = database_talk(line) {
                panic!(
                    "{}:{} says `{said}`: SQL and its rows belong below server/src/store",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn database_talk_is_seen() {
    for line in [
        "use rusqlite::Connection;",
        "let mut statement = connection.prepare(sql)?;",
        "\"SELECT id FROM tasks\"",
        "Expression::plain(\"p.parent IS NULL\")",
    ] {
        assert!(database_talk(line).is_some(), "{line}");
    }
    for line in ["// SELECT the task", "let lock = places.prepare()?;", "update.text(\"queue\", queue);"] {
        assert_eq!(database_talk(line), None, "{line}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a hint for whoever runs the tests, not a failure")]
fn files_stay_small() {
    let mut too_large = Vec::new();
    for (path, text) in rust_files() {
        match text.lines().count() {
            lines if lines > MAX_LINES => too_large.push(format!("{} has {lines} lines", path.display())),
            lines if lines > WARN_LINES => {
                eprintln!("{} has {lines} lines: does it hold two concepts?", path.display());
            }
            _ => {}
        }
    }
    assert!(too_large.is_empty(), "more than {MAX_LINES} lines: {too_large:?}");
}

#[test]
fn tests_wait_for_events_and_do_not_sleep() {
    let pause = concat!("sleep", "(");
    // The simulated driver is a program that tests run, and slow calls are what it is for.
    for (path, text) in rust_files().filter(|(path, _)| !path.starts_with("tests/fake-nvml")) {
        let tests = if path.components().any(|part| part.as_os_str() == "tests")
            || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
        {
            text.as_str()
        } else {
            text.split_once("#[cfg(test)]\nmod tests {").map_or("", |(_, tests)| tests)
        };
        // A program that a test starts may take its time: only calls of this process count.
        let calls = ["thread::", "time::"].map(|module| format!("{module}{pause}"));
        for (number, line) in tests.lines().enumerate() {
            assert!(
                !calls.iter().any(|call| line.contains(call)),
                "{}, line {} of its tests sleeps: wait on an event, or poll with a deadline",
                path.display(),
                number + 1
            );
        }
    }
}

/// Names of the actors in the code: everything with an `impl Actor`.
fn actors_in_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in rust_files().filter(|(path, _)| path.starts_with("actors/src")) {
        // Only a whole module of tests ends the code of production; an attribute on a line of it does not.
        let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for line in production.lines() {
            if let Some((_, rest)) = line.split_once("Actor for ")
                && line.trim_start().starts_with("impl")
            {
                found.insert(rest.chars().take_while(|character| character.is_alphanumeric()).collect());
            }
        }
    }
    found
}

/// Names of the actors in the tree of `docs/ARCHITECTURE.md`: the first word behind each branch of the drawing.
fn actors_on_the_map() -> BTreeSet<String> {
    let map = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the map exists");
    let (_, rest) = map.split_once("## The actors").expect("a chapter of the actors");
    let drawing = rest.split("```").nth(1).expect("a drawing of the actors");
    drawing
        .lines()
        .skip(1)
        .filter_map(|line| {
            let line = line.trim_start_matches(|character: char| !character.is_alphabetic());
            let name: String = line.chars().take_while(|character| character.is_alphanumeric()).collect();
            name.starts_with(char::is_uppercase).then_some(name)
        })
        .collect()
}

#[test]
fn the_map_names_every_actor_and_no_other() {
    assert_eq!(actors_in_code(), actors_on_the_map(), "left: `impl Actor` in actors/, right: docs/ARCHITECTURE.md");
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let here = root().display().to_string();
    let home = std::env::home_dir().map(|home| format!("{}/", home.display()));
    // That of root is the same on every machine, and in every image.
    let home = home.filter(|home| home != "/root/");
    for path in files() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for place in [Some(&here), home.as_ref()].into_iter().flatten() {
            assert!(!text.contains(place.as_str()), "{} names {place}", path.display());
        }
    }
}
