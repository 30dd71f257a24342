//! From enqueue to result, with everything real in between.

use serde_json::Value;

use crate::harness::{Daemon, Draft, Place, Server, audit, git, git_commit_all, new_repository, run_scenario};

const TRAIN: &str = include_str!("../sdk/programs/train.py");

fn requirement_lines(task: &Value) -> Vec<String> {
    match &task["script"]["requirements"]["pip"] {
        Value::String(text) => text.lines().map(str::to_owned).collect(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            panic!("no requirements: {other}")
        }
    }
}

/// The issue in one test: the SDK makes a task in a real repository, a clone of it with an edited hyperparameter is
/// run by the daemon, and everything is read back with the SDK.
#[test]
fn an_edited_clone_runs_to_its_result() {
    let place = Place::new();
    let server = Server::start(&place);
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let origin = place.path("origin.git");
    let checkout = place.path("checkout");
    let commit = new_repository(&checkout, &[("train.py", TRAIN)]);
    git(&place.path(""), &["init", "--quiet", "--bare", origin.to_str().unwrap()]);
    let url = format!("file://{}", origin.display());
    git(&checkout, &["remote", "add", "origin", &url]);
    git(&checkout, &["push", "--quiet", "--set-upstream", "origin", "main"]);

    let finished = run_scenario(&place, &server, "run_by_agent", &[checkout.to_str().unwrap()]);
    assert!(finished.status.success(), "--- stdout\n{}\n--- stderr\n{}", finished.stdout, finished.stderr);
    let clone = finished.stdout.lines().find_map(|line| line.strip_prefix("CLONE ")).unwrap();

    let task = server.api().ended_as(clone, "completed");
    assert_eq!(task["script"]["version_num"], commit.as_str());
    let packages = requirement_lines(&task);
    for package in ["clearml==2.1.12", "numpy=="] {
        assert!(packages.iter().any(|line| line.starts_with(package)), "{package} in {packages:?}");
    }
    audit(&place);
}

#[test]
fn a_literal_script_gets_its_arguments_and_its_packages() {
    let place = Place::new();
    let server = Server::start(&place);
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let api = server.api();
    let program = "import sys, six\nprint('GOT', six.__version__, sys.argv[1:], flush=True)\n";
    let draft = Draft::script("literal", program)
        .with("entry_point", "program.py --rate 0.5 'two words'")
        .requirements("six==1.17.0\n");
    let first = draft.enqueue(&api);
    let task = api.ended_as(&first, "completed");
    assert_eq!(api.console_lines(&first, "GOT"), ["GOT 1.17.0 ['--rate', '0.5', 'two words']"]);
    assert!(requirement_lines(&task).contains(&"six==1.17.0".to_owned()), "{task:#}");

    // The second time the environment is there already, and says so.
    let second = draft.enqueue(&api);
    api.ended_as(&second, "completed");
    assert_eq!(api.console_lines(&second, "GOT").len(), 1);
    audit(&place);
}

#[test]
fn without_uv_on_the_machine_one_is_installed_at_first_use() {
    let place = Place::new();
    std::fs::remove_file(place.path("bin/uv")).unwrap();
    let server = Server::start(&place);
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let api = server.api();
    let draft = Draft::script("literal", "import six\nprint('GOT', six.__version__)\n").requirements("six==1.17.0");
    let task = draft.enqueue(&api);
    api.ended_as(&task, "completed");
    assert_eq!(api.console_lines(&task, "GOT"), ["GOT 1.17.0"]);
    audit(&place);
}

#[test]
fn commit_branch_diff_directory_and_module_are_what_the_task_says() {
    let place = Place::new();
    let server = Server::start(&place);
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let api = server.api();
    let repository = place.path("repository");
    let url = repository.to_str().unwrap();
    let first = new_repository(
        &repository,
        &[("pkg/__init__.py", ""), ("pkg/run.py", "import os\nprint('RUN', 'first', os.getcwd())\n")],
    );
    let second = git_commit_all(&repository, &[("pkg/run.py", "import os\nprint('RUN', 'second', os.getcwd())\n")]);
    git(&repository, &["branch", "side", &first]);
    std::fs::write(repository.join("pkg/run.py"), "import os\nprint('RUN', 'changed', os.getcwd())\n").unwrap();
    // As the SDK records it: without the last line break.
    let diff = git(&repository, &["diff"]);

    let draft = |name: &str| Draft::repository(name, url, "run.py").with("working_dir", "pkg");
    let checks: [(&str, Draft, &str, &str, Option<&str>); 5] = [
        ("a commit", draft("commit").with("version_num", first.clone()), "first", "pkg", Some(&first)),
        ("a branch", draft("branch").with("branch", "side"), "first", "pkg", Some(&first)),
        ("neither", draft("head"), "second", "pkg", Some(&second)),
        ("a diff", draft("diff").with("version_num", second.clone()).with("diff", diff), "changed", "pkg", None),
        (
            "a module",
            Draft::repository("module", url, "-m pkg.run").with("version_num", second.clone()),
            "second",
            "",
            None,
        ),
    ];
    let tasks: Vec<String> = checks.iter().map(|(_, draft, ..)| draft.enqueue(&api)).collect();
    for ((what, _, word, folder, commit), task) in checks.iter().zip(&tasks) {
        let ended = api.ended_as(task, "completed");
        let lines = api.console_lines(task, "RUN");
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        assert!(lines[0].starts_with(&format!("RUN {word} ")), "{what}: {lines:?}");
        assert!(lines[0].ends_with(folder), "{what}: {lines:?}");
        if let Some(commit) = commit {
            assert_eq!(ended["script"]["version_num"], *commit, "{what}");
        }
    }
    audit(&place);
}
