//! Asks an interpreter what it is, and remembers the answer for as long as its file does not change.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::PythonError;
use super::store::write_atomically;
use crate::command::{CommandError, CommandLine, CommandRunner};

/// Variables that change what an interpreter is, or where it finds packages.
pub(super) const PYTHON_VARIABLES: [&str; 6] =
    ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "PYTHONUSERBASE"];

/// Prints what [`Answer`] holds. Runs on every Python 3.
const QUESTION: &str = "import json, sys, sysconfig\n\
    print(json.dumps({\n\
        'executable': sys.executable,\n\
        'version': list(sys.version_info[:3]),\n\
        'implementation': sys.implementation.name,\n\
        'platform': sysconfig.get_platform(),\n\
        'base_prefix': sys.base_prefix}))\n";

/// What an interpreter says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) executable: PathBuf,
    pub(super) version: [u32; 3],
    pub(super) implementation: String,
    pub(super) platform: String,
    pub(super) base_prefix: PathBuf,
}

/// A remembered answer, and the file that gave it.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    file: Identity,
    answer: Answer,
}

/// A remembered answer of an interpreter in an image.
#[derive(Serialize, Deserialize)]
struct RememberedInImage {
    /// The file that gave it, where it is one of the caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Identity>,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    path: PathBuf,
    real: PathBuf,
    size: u64,
    inode: u64,
    modified: (i64, i64),
}

/// Asks interpreters, or its memory in the cache folder.
pub(super) struct Prober<'a> {
    memory: PathBuf,
    commands: &'a dyn CommandRunner,
}

impl<'a> Prober<'a> {
    pub(super) fn new(cache_dir: &Path, commands: &'a dyn CommandRunner) -> Self {
        Self { memory: cache_dir.join("interpreters"), commands }
    }

    /// What the interpreter at `path` is; `None` for what is none, or does not work.
    pub(super) fn ask(&self, path: &Path) -> Result<Option<Answer>, PythonError> {
        if let Some(image) = self.commands.image() {
            return self.ask_in_image(path, image.id);
        }
        let Some(identity) = Identity::of(path) else { return Ok(None) };
        let name = hex::encode(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..12]);
        let memory = self.memory.join(format!("{name}.json"));
        let remembered: Option<Remembered> =
            fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(remembered) = remembered.filter(|it| it.file == identity) {
            return Ok(Some(remembered.answer));
        }
        let Some(answer) = self.run(path)? else { return Ok(None) };
        // A script may choose another interpreter tomorrow (pyenv, asdf): its answer is for now only.
        if is_binary(path) {
            let remembered = Remembered { file: identity, answer: answer.clone() };
            let text = serde_json::to_vec(&remembered).expect("paths of interpreters are UTF-8: they came as JSON");
            write_atomically(&memory, &text)?;
        }
        Ok(Some(answer))
    }

    /// As [`Prober::ask`], of what was made just now, whatever had its name before.
    pub(super) fn ask_now(&self, path: &Path) -> Result<Option<Answer>, PythonError> {
        self.run(path)
    }

    /// An image does not change: what was answered once holds for ever. What was got for images is a file of this
    /// machine, which may be another one tomorrow.
    fn ask_in_image(&self, path: &Path, image: &str) -> Result<Option<Answer>, PythonError> {
        let file = match path.starts_with(&self.memory) {
            true => match Identity::of(path) {
                Some(file) => Some(file),
                None => return Ok(None),
            },
            false => None,
        };
        let name = Sha256::digest([path.as_os_str().as_encoded_bytes(), b"\0", image.as_bytes()].concat());
        let memory = self.memory.join("images").join(format!("{}.json", hex::encode(&name[..12])));
        let remembered: Option<RememberedInImage> =
            fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(remembered) = remembered.filter(|it| it.file == file) {
            return Ok(Some(remembered.answer));
        }
        let Some(answer) = self.run(path)? else { return Ok(None) };
        let remembered = RememberedInImage { file, answer };
        write_atomically(&memory, &serde_json::to_vec(&remembered).expect("paths that came as JSON are UTF-8"))?;
        Ok(Some(remembered.answer))
    }

    fn run(&self, path: &Path) -> Result<Option<Answer>, PythonError> {
        let command = CommandLine::new(path).arguments(["-I", "-c", QUESTION]).without_variables(PYTHON_VARIABLES);
        match self.commands.run(command, &mut |_| {}) {
            Ok(finished) if finished.is_success() => {
                Ok(finished.tail.last().and_then(|line| serde_json::from_str(line).ok()))
            }
            Ok(_) => Ok(None),
            Err(CommandError::Stopped { .. }) => Err(PythonError::Stopped),
            // What cannot be started is no interpreter.
            Err(CommandError::NotFound { .. } | CommandError::Run { .. }) => Ok(None),
        }
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        path.to_str()?;
        let metadata = path.metadata().ok()?;
        let real = path.canonicalize().ok().filter(|real| real.to_str().is_some())?;
        Some(Self {
            path: path.to_owned(),
            real,
            size: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

fn is_binary(path: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start != b"#!"
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;
    use crate::python::in_image::InImage;

    fn write(path: &Path, minor: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let script = format!(
            "#!/bin/sh\necho '{{\"executable\": \"{}\", \"version\": [3, {minor}, 1], \
             \"implementation\": \"cpython\", \"platform\": \"linux\", \"base_prefix\": \"/usr\"}}'\n",
            path.display()
        );
        // Another file, as an installation that takes the place of an earlier one has it.
        let new = path.with_extension("new");
        fs::write(&new, script).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn what_is_in_an_image_is_asked_once_and_what_was_got_for_it_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let machine = SystemCommands::inheriting(Arc::default());
        let commands = InImage { machine: &machine, libc: None };
        let prober = Prober::new(folder.path(), &commands);
        let minor = |path: &Path| prober.ask(path).unwrap().map(|answer| answer.version[1]);
        let own = folder.path().join("image/usr/bin/python3");
        let got = folder.path().join("interpreters/images/gnu/cpython-3.8.1-linux/bin/python3");
        for path in [&own, &got] {
            assert_eq!(minor(path), None);
            write(path, 8);
            assert_eq!(minor(path), Some(8));
            write(path, 9);
        }
        assert_eq!((minor(&own), minor(&got)), (Some(8), Some(9)));
        fs::remove_file(&got).unwrap();
        assert_eq!(minor(&got), None);
    }
}
