//! Real Python with the real SDK, and real git.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::process::{Finished, ProcessExt};
use super::{Place, Server};

/// The SDK logs in, uploads and waits for its own threads; several of these run at once.
const SCENARIO_LIMIT: Duration = Duration::from_secs(280);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter whose environment holds the SDK of `tests/sdk/requirements.txt`; made at the first call.
pub(crate) fn sdk_python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| python_environment("tests/sdk/requirements.txt"))
}

/// The interpreter of an environment with what a requirements file of this project lists; made if it is missing.
pub(crate) fn python_environment(requirements: &str) -> String {
    let mut command = Command::new(root().join("scripts/python-env"));
    let made = command.arg(root().join(requirements)).finish_within(Duration::from_secs(500));
    made.ok().trim().to_owned()
}

/// The interpreter that `HOSTLER_TEST_PYTHON` names. Where it is set nothing is made and nothing downloaded: for the
/// tests of real cards, on machines without network.
pub(super) fn given_python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let given = || {
        let name = std::env::var_os("HOSTLER_TEST_PYTHON").filter(|name| !name.is_empty())?;
        Some(printed_by(Command::new(name), "import sys; print(sys.executable)"))
    };
    PYTHON.get_or_init(given).as_deref()
}

/// The machine's interpreter: what a task finds as `python3`. The given one, or the one that the SDK's environment
/// was made from.
pub(crate) fn base_python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let base = "import os, sys; print(os.path.join(sys.base_prefix, 'bin', 'python3'))";
    PYTHON.get_or_init(|| given_python().map_or_else(|| printed_by(Command::new(sdk_python()), base), str::to_owned))
}

fn printed_by(mut python: Command, program: &str) -> String {
    python.args(["-c", program]).finish_within(Duration::from_secs(60)).ok().trim().to_owned()
}

/// The package index that pip uses here, as this machine's configuration has it.
pub(crate) fn package_index() -> &'static str {
    static INDEX: OnceLock<String> = OnceLock::new();
    let ask = "from pip._internal.commands import create_command
print(create_command('install').parser.parse_args([])[0].index_url.rstrip('/') + '/')";
    INDEX.get_or_init(|| printed_by(Command::new(sdk_python()), ask))
}

/// Where the package index has a file of a project.
pub(crate) fn url_of_package(project: &str, file: &str) -> String {
    let ask = "import re, sys, urllib.parse, urllib.request
page = sys.argv[1] + sys.argv[2] + '/'
text = urllib.request.urlopen(page, timeout=60).read().decode()
link = next(link for link in re.findall('href=\"([^\"#]*)', text) if link.endswith('/' + sys.argv[3]))
print(urllib.parse.urljoin(page, link))";
    let mut python = Command::new(sdk_python());
    python.args(["-c", ask, package_index(), project, file]);
    python.finish_within(Duration::from_secs(90)).ok().trim().to_owned()
}

/// Runs a script of `tests/sdk` against a server, with the configuration file that the server wrote.
pub(crate) fn run_scenario(place: &Place, server: &Server, name: &str, arguments: &[&str]) -> Finished {
    run_scenario_with(place, &server.configuration_file(), name, arguments)
}

/// Runs a script of `tests/sdk` with a configuration file.
pub(crate) fn run_scenario_with(place: &Place, config: &Path, name: &str, arguments: &[&str]) -> Finished {
    let script = root().join("tests/sdk").join(name).with_extension("py");
    let mut command = place.command(sdk_python());
    command
        .arg(script)
        .args(arguments)
        .env("TMPDIR", place.path("home"))
        .env("CLEARML_CONFIG_FILE", config)
        // In Python they win over the authority that the configuration names.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .env("CLEARML_CACHE_DIR", place.path("home/cache"));
    command.finish_within(SCENARIO_LIMIT)
}

/// Runs git in a folder and gives what it printed.
#[track_caller]
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments);
    command.finish_within(Duration::from_secs(60)).ok().trim().to_owned()
}

/// Makes a repository with one commit of these files. Gives the id of the commit.
pub(crate) fn new_repository(folder: &Path, files: &[(&str, &str)]) -> String {
    std::fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "--quiet"]);
    git_commit_all(folder, files)
}

/// Writes these files and commits them. Gives the id of the commit.
pub(crate) fn git_commit_all(folder: &Path, files: &[(&str, &str)]) -> String {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "work"]);
    git(folder, &["rev-parse", "HEAD"])
}
