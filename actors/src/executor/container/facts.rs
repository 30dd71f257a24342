//! What an image has, as far as a preparation needs it. Found out once: an image does not change.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use protocols::container::init::Probe;
use serde::{Deserialize, Serialize};

/// What is remembered of an image, after its setup scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// What is there.
    pub(super) probe: Probe,
    /// What its programs find in their environment.
    pub(super) search_path: OsString,
    /// Whether its Python has packages that tasks may count on.
    pub(super) has_packages: bool,
    /// Whether its Python has what virtual environments are made with.
    pub(super) makes_venvs: bool,
}

/// Asks an interpreter for what [`Facts`] says of it. Runs on every Python 3.
pub(super) const QUESTION: &str = "\
import json
try:
    import ensurepip, venv
    venvs = True
except ImportError:
    venvs = False
usual = {'pip', 'setuptools', 'wheel', 'distribute', 'pkg-resources', 'python-apt', 'dbus-python'}
try:
    from importlib import metadata
    names = {(it.metadata['Name'] or '').lower() for it in metadata.distributions()}
except ImportError:
    names = {'unknown'}
print(json.dumps({'venvs': venvs, 'packages': bool(names - usual)}))
";

/// Its answer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) venvs: bool,
    pub(super) packages: bool,
}

impl Facts {
    /// What is remembered of a site.
    pub(super) fn read(cache_dir: &Path, site: &str) -> Option<Self> {
        protocols::order::decode(&std::fs::read(file(cache_dir, site)).ok()?).ok()
    }

    /// Remembers it, for every later task.
    pub(super) fn write(&self, cache_dir: &Path, site: &str) -> std::io::Result<()> {
        let path = file(cache_dir, site);
        std::fs::create_dir_all(path.parent().unwrap_or(cache_dir))?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::File::create(&temporary)?.write_all(&protocols::order::encode(self))?;
        std::fs::rename(temporary, path)
    }

    /// Files of that name among what was found.
    pub(super) fn programs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
        let all = self.probe.pythons.iter().chain(&self.probe.condas).chain(&self.probe.shells);
        all.map(|path| path.as_path().to_owned()).filter(move |path| path.file_name().is_some_and(|it| it == name))
    }

    /// Whether what was looked for includes programs of that name, so that nothing found means that there is none.
    pub(super) fn knows(name: &str) -> bool {
        let version = name.strip_prefix("python").map(|rest| rest.strip_prefix("3.").unwrap_or(rest));
        let is_python = version.is_some_and(|rest| rest.chars().all(|letter| letter.is_ascii_digit()));
        is_python || matches!(name, "sh" | "bash" | "micromamba" | "mamba" | "conda")
    }
}

fn file(cache_dir: &Path, site: &str) -> PathBuf {
    cache_dir.join("images").join(format!("{site}.mpk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_what_was_looked_for() {
        for (name, expected) in [
            ("python", true),
            ("python3", true),
            ("python3.11", true),
            ("sh", true),
            ("bash", true),
            ("conda", true),
            ("micromamba", true),
            ("uv", false),
            ("zsh", false),
            ("python-config", false),
        ] {
            assert_eq!(Facts::knows(name), expected, "{name}");
        }
    }

    /// An image that was looked at by a version which did not look for conda is looked at again.
    #[test]
    fn facts_that_say_too_little_are_none() {
        let mut old: serde_json::Value =
            protocols::order::decode(&protocols::order::encode(&Facts::default())).unwrap();
        old["probe"].as_object_mut().unwrap().remove("condas").unwrap();
        let folder = tempfile::tempdir().unwrap();
        Facts::default().write(folder.path(), "a").unwrap();
        std::fs::write(file(folder.path(), "a"), protocols::order::encode(&old)).unwrap();
        assert_eq!(Facts::read(folder.path(), "a"), None);
    }

    #[test]
    fn facts_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Facts::read(folder.path(), "a"), None);
        let facts = Facts {
            probe: Probe { pythons: vec!["/usr/bin/python3".into()], ..Probe::default() },
            has_packages: true,
            ..Facts::default()
        };
        facts.write(folder.path(), "a").unwrap();
        assert_eq!(Facts::read(folder.path(), "a"), Some(facts.clone()));
        assert_eq!(facts.programs("python3").count(), 1);
        assert_eq!(facts.programs("python").count(), 0);
    }
}
