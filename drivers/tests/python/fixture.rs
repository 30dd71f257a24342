//! A cache of its own for every test, a uv for all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use drivers::command::{CommandRunner, SystemCommands};
use drivers::python::{CodeFolder, Environment, EnvironmentRequest, EnvironmentStore, PythonError};
use protocols::order::PythonSettings;
use protocols::task::Interpreter;
use tempfile::TempDir;

pub(crate) struct Fixture {
    folder: TempDir,
    pub(crate) settings: PythonSettings,
    lines: Mutex<Vec<String>>,
    line_came: Condvar,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Fixture {
    /// Without uv, unless the machine has one.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("code/src")).unwrap();
        Self {
            folder,
            settings: PythonSettings::default(),
            lines: Mutex::default(),
            line_came: Condvar::new(),
            stop: Arc::default(),
        }
    }

    /// With the uv that all tests of this binary share.
    pub(crate) fn new() -> Self {
        let fixture = Self::bare();
        let tools = fixture.path("cache/tools");
        fs::create_dir_all(&tools).unwrap();
        std::os::unix::fs::symlink(shared_cache().join("tools/uv"), tools.join("uv")).unwrap();
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path("code").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// An environment for requirement lines, or for what the code says.
    pub(crate) fn prepare(&self, requirements: Option<&[&str]>) -> Result<Environment, PythonError> {
        self.prepare_with(requirements, &[])
    }

    /// The same with variables of its own.
    pub(crate) fn prepare_with(
        &self,
        requirements: Option<&[&str]>,
        variables: &[(&str, &str)],
    ) -> Result<Environment, PythonError> {
        let own = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        // One download for all tests.
        let shared = [("UV_CACHE_DIR".into(), shared_cache().join("uv").into())];
        let commands = SystemCommands::new(std::env::vars_os().chain(shared).chain(own), Arc::clone(&self.stop));
        self.prepare_by(requirements, &Interpreter::Python { binary: "python3".into(), version: None }, &commands)
    }

    /// The same for any interpreter.
    pub(crate) fn prepare_by(
        &self,
        requirements: Option<&[&str]>,
        interpreter: &Interpreter,
        commands: &dyn CommandRunner,
    ) -> Result<Environment, PythonError> {
        let lines: Option<Vec<String>> = requirements.map(|lines| lines.iter().map(|line| (*line).into()).collect());
        let (root, working_dir) = (self.path("code"), self.path("code/src"));
        let request = EnvironmentRequest {
            repositories: None,
            conda: None,
            task: "one",
            interpreter,
            requirements: lines.as_deref(),
            code: Some(CodeFolder { root: &root, working_dir: &working_dir, entry_point: "train.py" }),
            private_dir: &self.path("attempt"),
        };
        let store = EnvironmentStore::new(&self.path("cache"), &self.settings);
        store.prepare(&request, commands, &|line| {
            self.lines.lock().unwrap().push(line.to_owned());
            self.line_came.notify_all();
        })
    }

    /// Waits until a line with this text was shown.
    pub(crate) fn wait_for(&self, text: &str) {
        let is_missing = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(text));
        let lines = self.lines.lock().unwrap();
        let (lines, waited) = self.line_came.wait_timeout_while(lines, Duration::from_secs(300), is_missing).unwrap();
        assert!(!waited.timed_out(), "{lines:?}");
    }

    pub(crate) fn shown(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// How many environments were built so far.
    pub(crate) fn builds(&self) -> usize {
        self.shown().matches("building an environment").count()
    }
}

/// What the environment's interpreter prints.
#[track_caller]
pub(crate) fn python(environment: &Environment, program: &str) -> String {
    let output = Command::new(&environment.python).args(["-I", "-c", program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A cache that outlives the test: in the build folder, as nextest runs every test in a process of its own.
pub(crate) fn shared_cache() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-cache");
    let settings = PythonSettings::default();
    let store = EnvironmentStore::new(&folder, &settings);
    let variables = std::env::vars_os().filter(|(name, _)| name != "PATH");
    // A machine's own uv would not be installed into the cache.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).filter(|folder| !folder.join("uv").exists());
    let path = [("PATH".into(), std::env::join_paths(path).unwrap())];
    let commands = SystemCommands::new(variables.chain(path), Arc::default());
    let request = EnvironmentRequest {
        repositories: None,
        conda: None,
        task: "",
        interpreter: &Interpreter::Python { binary: "python3".into(), version: None },
        requirements: Some(&[]),
        code: None,
        private_dir: &folder.join("private"),
    };
    let lines = Mutex::new(Vec::new());
    store.prepare(&request, &commands, &|line| lines.lock().unwrap().push(line.to_owned())).unwrap();
    assert!(folder.join("tools/uv/bin/uv").exists(), "{lines:?}");
    folder
}
