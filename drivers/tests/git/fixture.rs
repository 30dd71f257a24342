//! A repository to fetch from, and a cache to fetch into.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use drivers::command::{CommandRunner, SystemCommands};
use drivers::git::{CheckedOut, Checkout, GitError};
use protocols::order::GitSettings;
use protocols::task::Revision;
use tempfile::TempDir;

/// A folder with an origin repository, a cache and work trees.
pub(crate) struct Fixture {
    folder: TempDir,
    pub(crate) settings: GitSettings,
    pub(crate) lines: Mutex<Vec<String>>,
}

impl Fixture {
    /// With an origin that has one commit of `train.py` on `main`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Self { folder, settings: GitSettings::default(), lines: Mutex::default() };
        fs::create_dir(fixture.origin()).unwrap();
        fixture.git(&["init", "--quiet", "--initial-branch=main"]);
        fixture.commit("train.py", b"print('one')\n");
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn origin(&self) -> PathBuf {
        self.path("origin.git")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// The only mirror in the cache.
    pub(crate) fn mirror(&self) -> PathBuf {
        let entries = fs::read_dir(self.cache().join("repositories")).unwrap();
        let mut mirrors = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "git");
        let mirror = mirrors.next().unwrap();
        assert!(mirrors.next().is_none(), "one repository, one mirror");
        mirror
    }

    /// Runs git in the origin.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.origin(), arguments)
    }

    /// Writes a file in the origin and commits it.
    pub(crate) fn commit(&self, name: &str, content: &[u8]) -> String {
        let path = self.origin().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self.commit_all()
    }

    /// Commits all changes in the origin.
    pub(crate) fn commit_all(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Takes uncommitted changes out of the origin, as the SDK records them.
    pub(crate) fn take_diff(&self) -> String {
        self.git(&["add", "--all", "--intent-to-add"]);
        let output = command_in(&self.origin(), &["diff", "--binary", "HEAD"]).output().unwrap();
        self.git(&["reset", "--quiet", "--hard", "HEAD"]);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn commands(&self) -> SystemCommands {
        SystemCommands::inheriting(Arc::default())
    }

    pub(crate) fn check_out(&self, revision: &Revision, diff: &str, into: &str) -> Result<CheckedOut, GitError> {
        self.check_out_url(&self.origin().display().to_string(), revision, diff, into, &self.commands())
    }

    pub(crate) fn check_out_url(
        &self,
        url: &str,
        revision: &Revision,
        diff: &str,
        into: &str,
        commands: &dyn CommandRunner,
    ) -> Result<CheckedOut, GitError> {
        let checkout = Checkout {
            url,
            revision,
            diff,
            into: &self.path(into),
            cache_dir: &self.cache(),
            settings: &self.settings,
            commands,
        };
        checkout.run(&|line| self.lines.lock().unwrap().push(line.to_owned()))
    }

    /// Everything that was shown so far.
    pub(crate) fn shown(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub(crate) fn has_fetched(&self) -> bool {
        self.shown().contains("fetching ")
    }
}

pub(crate) fn commit(id: &str) -> Revision {
    Revision::Commit(id.to_owned())
}

pub(crate) fn branch(name: &str) -> Revision {
    Revision::Branch(name.to_owned())
}

/// What git prints, without the line end.
#[track_caller]
pub(crate) fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let output = command_in(folder, arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=Test", "-c", "user.email=test@example.org"]);
    command.args(["-c", "protocol.file.allow=always", "-c", "core.quotePath=true"]).args(arguments);
    command
}
