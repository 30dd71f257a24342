//! `hostler build`: code and environment of a task for a person.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Draft, Gate, Place, ProcessExt as _, Server, eventually, git, git_commit_all, new_repository, slow_package, within,
};

const LIMIT: Duration = Duration::from_secs(180);

fn command(place: &Place, server: &Server, task: &str, arguments: &[&str]) -> Command {
    let mut command = place.hostler();
    command
        .args(["build", "--state-dir"])
        .arg(place.path("state"))
        .arg("--cache-dir")
        .arg(place.path("cache"))
        .args(["--id", task])
        .args(arguments)
        .env("CLEARML_CONFIG_FILE", server.configuration_file());
    command
}

/// Every file below a folder, and where links lead.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&path)),
            kind if kind.is_symlink() => found.push(folder.join(std::fs::read_link(&path).unwrap())),
            _ => found.push(path),
        }
    }
    found
}

/// How many names a file has.
fn names_of(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(path).unwrap())
}

#[test]
fn what_is_built_works_when_every_cache_is_gone() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let repository = place.path("repository");
    new_repository(&repository, &[("src/lib.py", "NAME = 'first'\n"), ("src/run.py", "")]);
    let program = "import sys, six, lib\nprint('RAN', six.__version__, lib.NAME, sys.argv[1:], sys.prefix)\n";
    git_commit_all(&repository, &[("src/lib.py", "NAME = 'second'\n"), ("src/run.py", program)]);
    let diff = "diff --git a/src/lib.py b/src/lib.py\n--- a/src/lib.py\n+++ b/src/lib.py\n@@ -1 +1 @@\n\
        -NAME = 'second'\n+NAME = 'changed'\n";
    let task = Draft::repository("built", repository.to_str().unwrap(), "run.py --lr 0.1")
        .with("working_dir", "src")
        .with("branch", "main")
        .with("diff", diff)
        .requirements("six==1.16.0\n")
        .create(&api);
    let before = api.task(&task);
    let target = place.path("try");
    let done =
        command(&place, &server, "built", &["--json", "--target", target.to_str().unwrap()]).finish_within(LIMIT);
    let built: Value = serde_json::from_str(&done.ok()).unwrap();
    assert_eq!(api.task(&task), before, "the server is not changed");
    assert_eq!(built["packages"], serde_json::json!(["six==1.16.0"]));
    let has_other_names = |path: &PathBuf| path.is_file() && path.starts_with(&target) && names_of(path) > 1;
    assert!(!files(&target).iter().any(has_other_names), "a change in it would be one in the cache");
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    std::fs::remove_dir_all(place.path("state")).unwrap();
    let leads_to_cache = |path: &PathBuf| path.starts_with(place.path("cache"));
    assert!(!files(&target).iter().any(leads_to_cache));

    let words: Vec<&str> = built["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let mut run = place.command(words[0]);
    run.args(&words[1..]).current_dir(built["directory"].as_str().unwrap());
    let printed = run.env("PYTHONPATH", built["environment"]["PYTHONPATH"].as_str().unwrap()).finish_within(LIMIT).ok();
    let prefix = target.join("environment/venv");
    assert_eq!(printed, format!("RAN 1.16.0 changed ['--lr', '0.1'] {}\n", prefix.display()));
    // What a person does in it next.
    let code = target.join("code");
    assert_eq!(git(&code, &["log", "--format=%H"]).lines().count(), 2);
    assert_eq!(git(&code, &["rev-parse", "HEAD"]), built["commit"].as_str().unwrap());
    assert_eq!(git(&code, &["diff", "--name-only"]), "src/lib.py");
    assert_eq!(git(&code, &["fsck"]), "");
}

#[test]
fn what_is_printed_can_be_pasted_and_built_again() {
    let place = Place::new();
    let server = Server::start(&place);
    let draft = Draft::script("a script", "print('PASTED')\n").with("entry_point", "it.py");
    let task = draft.create(&server.api());
    for _ in 0..2 {
        let done = command(&place, &server, &task, &[]).finish_within(LIMIT);
        let text = done.ok();
        let run = text.lines().find_map(|line| line.strip_prefix("run     ")).unwrap();
        assert!(run.contains(&format!("{task}/environment/venv/bin/python -u it.py")), "{text}");
        let printed = place.command("sh").args(["-c", run]).finish_within(LIMIT).ok();
        assert_eq!(printed, "PASTED\n");
    }
    let states: Vec<_> = std::fs::read_dir(place.path("state/build")).unwrap().collect();
    assert!(states.is_empty(), "{states:?}");
}

#[test]
fn what_cannot_be_built_says_why_in_one_line() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let task = Draft::script("none", "").requirements("no-such-package-at-all==1").create(&api);
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let done = command(&place, &server, &task, arguments).finish_within(LIMIT);
        // What an installer printed stands before it.
        let last = done.stderr.lines().last().unwrap_or_default();
        assert!(done.code() == code && last.starts_with("error: ") && last.contains(words), "{done:#?}");
    };
    refused(&[], 1, "no-such-package-at-all");
    refused(&["--target", place.path("home").parent().unwrap().to_str().unwrap()], 2, "--target");
    refused(&["--python-version", "three"], 2, "--python-version");
    assert_eq!(api.status(&task), "created");
}

#[test]
fn a_build_that_is_stopped_or_killed_leaves_no_process() {
    let place = Place::new();
    let server = Server::start(&place);
    let gate = Gate::shut(&place.path("gate"));
    let requirement = slow_package(&place, &gate);
    let task = Draft::script("slow", "print(1)").requirements(&requirement).create(&server.api());
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let _ = std::fs::remove_file(place.path("building"));
        let mut child = command(&place, &server, &task, &[])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(place.path("logs/build.log")).unwrap())
            .spawn()
            .unwrap();
        eventually("a package that is built", || place.path("building").exists());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let status = within(LIMIT, "its end", || child.try_wait().unwrap().ok_or_else(|| "alive".to_owned()));
        if signal == rustix::process::Signal::INT {
            assert_eq!(status.code(), Some(254));
        }
        eventually("only the server is left", || place.running().len() == 1);
    }
}
