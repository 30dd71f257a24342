//! Environments that take a millisecond to make, for tests of the store.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{Asker, BuildSite, Built, Found, Limits, Question, Recipe, Store};
use crate::command::SystemCommands;
use crate::python::error::PythonError;
use crate::python::requirement_line::package_name;

/// Files of a toy package.
const FILES: usize = 20;
/// Bytes of each.
const BYTES: usize = 4000;

/// An environment with one package.
pub(super) struct Toy {
    /// What is asked for.
    pub(super) asked: String,
    /// What it is resolved to, where it is.
    pub(super) resolved: Option<String>,
}

impl Recipe for Toy {
    fn question(&self) -> Question {
        Question::new(vec!["kind: toy".into(), format!("requirement: {}", self.asked)])
    }

    fn is_moving(&self) -> bool {
        self.asked.ends_with("@main")
    }

    fn names(&self) -> Result<Option<Vec<String>>, PythonError> {
        Ok(self.resolved.as_ref().map(|_| package_name(&self.asked).into_iter().collect()))
    }

    fn resolve(&self, _: &BuildSite<'_>) -> Result<Option<Vec<String>>, PythonError> {
        Ok(self.resolved.clone().map(|line| vec![line]))
    }

    fn build(&self, site: &BuildSite<'_>, resolution: Option<&[String]>) -> Result<Built, PythonError> {
        fs::create_dir_all(site.folder.join("venv/bin")).unwrap();
        symlink("/bin/sh", site.folder.join("venv/bin/python")).unwrap();
        let packages = site.folder.join("venv/lib/python3/site-packages");
        let resolved = resolution.and_then(|lines| lines.first()).or(self.resolved.as_ref());
        let name = resolved.map_or(self.asked.as_str(), String::as_str);
        fs::create_dir_all(packages.join("toy.dist-info")).unwrap();
        let mut record = String::new();
        for number in 0..FILES {
            let text = format!("{name} {number}\n").repeat(BYTES / (name.len() + 4));
            fs::write(packages.join(format!("{number}.py")), &text).unwrap();
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()));
            record.push_str(&format!("{number}.py,sha256={hash},{}\n", text.len()));
        }
        fs::write(packages.join("toy.dist-info/RECORD"), record).unwrap();
        let program = PathBuf::from("venv/bin/python");
        Ok(Built { program, python_version: "3".into(), packages: vec![name.to_owned()] })
    }

    fn question_of_clone(&self, built: &Built) -> Option<Question> {
        Some(Toy { asked: built.packages[0].clone(), resolved: None }.question())
    }

    fn kind(&self) -> Vec<String> {
        vec!["kind: toy".into()]
    }
}

/// Asks for a toy in the name of a task.
pub(super) fn provide(store: &Store, toy: &Toy, task: &str, limits: Limits) -> Found {
    let commands = SystemCommands::inheriting(Arc::default());
    let asker = Asker { task, commands: &commands, progress: &|_| {}, limits };
    store.provide(toy, &asker).unwrap()
}

/// Whether everything of a toy environment is there.
pub(super) fn is_whole(folder: &Path) -> bool {
    (0..FILES).all(|number| {
        let file = folder.join(format!("venv/lib/python3/site-packages/{number}.py"));
        fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0)
    })
}
