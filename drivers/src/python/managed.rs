//! Interpreters that are not on this machine: uv gets them, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protocols::order::PythonSettings;

use super::error::PythonError;
use super::indexes::Indexes;
use super::interpreter::{PythonInterpreter, versions_below};
use super::probe::PYTHON_VARIABLES;
use super::reason;
use super::requirements::Requirements;
use super::store::write_atomically;
use super::uv::UvProvider;
use crate::command::{CommandLine, CommandRunner};
use crate::file_lock::FileLock;

/// Where they are, below the caches.
const FOLDER: &str = "interpreters/managed";
/// How long it is remembered that a version cannot be had.
const FORGIVEN: Duration = Duration::from_secs(600);

/// Gets interpreters.
pub(super) struct Managed<'a> {
    pub(super) settings: &'a PythonSettings,
    pub(super) cache_dir: &'a Path,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

impl Managed<'_> {
    /// Interpreters of a version like `3.10`, got now if need be, or the reason why there is none. `other` is one
    /// that works, with which uv can be installed.
    pub(super) fn provide(
        &self,
        version: &str,
        other: &PythonInterpreter,
    ) -> Result<Result<Vec<PathBuf>, String>, PythonError> {
        let folder = self.cache_dir.join(FOLDER);
        let found = || versions_below(&folder, "cpython-", version);
        if !found().is_empty() {
            return Ok(Ok(found()));
        }
        if self.settings.without_uv || self.settings.skip_install || !version.starts_with("3.") {
            return Ok(Err(String::new()));
        }
        let refusal = folder.join(format!("{version}.refused"));
        if let Some(why) = remembered(&refusal) {
            return Ok(Err(why));
        }
        let indexes = Indexes::gather(self.settings, &Requirements::default(), self.commands);
        let (cache_dir, commands, progress) = (self.cache_dir, self.commands, self.progress);
        let provider = UvProvider { cache_dir, interpreter: other, indexes: &indexes, commands, progress };
        let Some(uv) = provider.provide()? else { return Ok(Err(String::new())) };
        let waiting = || progress("waiting for another task that gets the same Python");
        let lock = FileLock::acquire(&folder.join("lock"), commands, waiting)?;
        if !found().is_empty() {
            return Ok(Ok(found()));
        }
        progress(&format!("Python {version}, which the task asks for, is not on this machine: getting it"));
        let mut command = CommandLine::new(uv)
            .arguments(["python", "install", "--quiet", "--install-dir"])
            .argument(&folder)
            .argument(version)
            .directory(cache_dir)
            .without_variables(PYTHON_VARIABLES)
            .input(lock.for_child()?);
        command.variables.extend(indexes.uv_variables(&cache_dir.join("uv"), commands));
        // The last one counts. Nothing is put into the user's own folder of programs.
        command.variables.push(("UV_PYTHON_DOWNLOADS".into(), "manual".into()));
        command.variables.push(("UV_PYTHON_INSTALL_BIN".into(), "0".into()));
        let finished = commands.run(command, &mut |_| {})?;
        if finished.is_success() && !found().is_empty() {
            return Ok(Ok(found()));
        }
        let why = reason::reason(&finished.tail, indexes.scrubber());
        write_atomically(&refusal, why.as_bytes())?;
        Ok(Err(why))
    }
}

/// The interpreter, as a copy in `folder` where it is one of the caches: an environment that must not need them cannot
/// have it there. These interpreters find their files from where they are.
pub(super) fn take_along(
    interpreter: PythonInterpreter,
    cache_dir: &Path,
    folder: &Path,
) -> Result<PythonInterpreter, PythonError> {
    let managed = cache_dir.join(FOLDER);
    let real = interpreter.path.canonicalize().unwrap_or_else(|_| interpreter.path.clone());
    let Ok(inside) = real.strip_prefix(&managed) else { return Ok(interpreter) };
    let (Some(name), into) = (inside.components().next(), folder.join("python")) else { return Ok(interpreter) };
    super::store::remove(&into)?;
    let installation = managed.join(name);
    copy_tree(&installation, &into).map_err(PythonError::io("copy the interpreter to", &into))?;
    let inside: PathBuf = inside.components().skip(1).collect();
    Ok(PythonInterpreter { path: into.join(inside), base_prefix: into, ..interpreter })
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn remembered(refusal: &Path) -> Option<String> {
    let modified = refusal.metadata().ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    fs::read_to_string(refusal).ok().filter(|_| age < FORGIVEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(path: PathBuf) -> PythonInterpreter {
        PythonInterpreter {
            base_prefix: path.parent().and_then(Path::parent).unwrap_or(&path).to_owned(),
            path,
            version: [3, 12, 1],
            implementation: "cpython".to_owned(),
            platform: String::new(),
        }
    }

    #[test]
    fn an_interpreter_of_the_caches_is_taken_along_and_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (cache, apart) = (folder.join("cache"), folder.join("apart"));
        let bin = cache.join(FOLDER).join("cpython-3.12.1-linux/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("python3.12"), "program").unwrap();
        std::os::unix::fs::symlink("python3.12", bin.join("python3")).unwrap();
        let taken = take_along(interpreter(bin.join("python3")), &cache, &apart).unwrap();
        assert_eq!((taken.path, taken.base_prefix), (apart.join("python/bin/python3.12"), apart.join("python")));
        fs::remove_dir_all(&cache).unwrap();
        assert_eq!(fs::read_to_string(apart.join("python/bin/python3")).unwrap(), "program");
        let of_machine = interpreter(folder.join("usr/bin/python3"));
        assert_eq!(take_along(of_machine.clone(), &cache, &apart).unwrap(), of_machine);
    }
}
