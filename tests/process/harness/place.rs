//! A directory of its own for every test, and everything that runs there.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{kill, running_with};
use super::python::{base_python, given_python, sdk_python};

/// Marks every process that a test starts, and whatever those start.
const MARK: &str = "HOSTLER_TEST_PLACE";

/// One test's directory: home, state, data, repositories. When it is dropped, whatever still runs from it is killed;
/// the logs of a failed test are printed.
#[derive(Debug)]
pub(crate) struct Place {
    directory: tempfile::TempDir,
    /// Whose programs run there, where that is not who tests.
    user: Option<User>,
}

/// A user of this machine, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Place {
    pub(crate) fn new() -> Self {
        // Unix socket paths are short: no deep target directory.
        let directory = tempfile::Builder::new().prefix("hostler-").tempdir().unwrap();
        let place = Self { directory, user: None };
        for name in ["home", "bin", "logs"] {
            std::fs::create_dir(place.path(name)).unwrap();
        }
        if given_python().is_none() {
            // `uv` is on PATH, the rest of the SDK's environment is not: tasks must not find the SDK by accident.
            let uv = Path::new(sdk_python()).parent().unwrap().join("uv");
            std::os::unix::fs::symlink(uv, place.path("bin/uv")).unwrap();
        }
        place
    }

    /// One that belongs to a user, as whom all of its programs run.
    pub(crate) fn of(user: User) -> Self {
        let mut place = Self::new();
        for path in ["", "home", "bin", "logs"] {
            chown(place.path(path), Some(user.uid), Some(user.gid)).unwrap();
        }
        place.user = Some(user);
        place
    }

    /// A path below the place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file below the place as text; empty where it does not exist.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The lines of a file below the place.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// The program under test, in this place's environment: the one just built, or `HOSTLER_TEST_PROGRAM`.
    pub(crate) fn hostler(&self) -> Command {
        let other = std::env::var_os("HOSTLER_TEST_PROGRAM");
        self.command(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_hostler").into()))
    }

    /// Any program, in this place's environment: its own home, no ClearML settings of the person who tests.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if let Some(name) = name.to_str()
                && ["CLEARML_", "TRAINS_", "HOSTLER_", "XDG_", "GIT_CONFIG", "RUST_LOG", "VIRTUAL_ENV"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        let python = Path::new(base_python()).parent().unwrap();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        if let Some(user) = self.user {
            command.gid(user.gid).uid(user.uid);
        }
        let path = [self.path("bin"), python.to_path_buf()].into_iter().chain(std::env::split_paths(&inherited));
        command
            .current_dir(self.directory.path())
            .env(MARK, self.directory.path())
            .env("HOME", self.path("home"))
            .env("PATH", std::env::join_paths(path).unwrap())
            // What the programs log goes into the output of a failed test.
            .env("HOSTLER_LOG", std::env::var_os("HOSTLER_TEST_LOG").unwrap_or_else(|| "info".into()))
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost")
            // Downloads are shared between tests; environments are not.
            .env("UV_CACHE_DIR", self.cache("uv"))
            .env("PIP_CACHE_DIR", self.cache("pip"));
        command
    }

    /// The processes that this place's programs started and that are still alive.
    pub(crate) fn running(&self) -> Vec<i32> {
        running_with(MARK, self.directory.path())
    }

    /// A folder of downloads that outlives the test run; where nothing is downloaded, one of the place.
    fn cache(&self, name: &str) -> PathBuf {
        if given_python().is_some() || self.user.is_some() {
            return self.path("home/downloads").join(name);
        }
        Path::new(sdk_python()).ancestors().nth(3).unwrap().join("cache").join(name)
    }

    fn print_logs(&self) {
        let mut files = Vec::new();
        for folder in ["logs", "state"] {
            collect_logs(&self.path(folder), &mut files);
        }
        for file in files {
            let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()).into_owned();
            let start = text.len().saturating_sub(6000);
            let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let name = file.strip_prefix(self.directory.path()).unwrap_or(&file);
            eprintln!("--- {} ({} bytes)\n{}", name.display(), text.len(), &text[start..]);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        // Twice: a process may have forked while the first round was looked at.
        for _ in 0..2 {
            self.running().into_iter().for_each(kill);
        }
    }
}

fn collect_logs(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect_logs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
}
