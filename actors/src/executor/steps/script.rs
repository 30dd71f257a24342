//! The program of a task that carries it as a text.

use std::path::{Path, PathBuf};

use drivers::git::without_colour;
use protocols::failure::{FailureClass, Phase};
use protocols::task::{CodeSource, Interpreter, TaskSpec, is_literal_script};

use super::{Draft, PrepareStep, StepError};
use protocols::words::split;

/// The file that a literal script was written into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScriptFile {
    /// Its name, in the directory where the task starts.
    pub(super) name: String,
    /// What of the entry point stands for it.
    pub(super) stands_for: StandsFor,
}

/// How an entry point names a literal script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandsFor {
    /// Its first word; the others are arguments.
    FirstWord,
    /// All of it: it has no arguments.
    Everything,
    /// Nothing: the entry point starts something else, which may use the file.
    Nothing,
}

/// The script cannot be written.
#[derive(Debug, thiserror::Error)]
enum ScriptError {
    #[error("cannot write the task's script {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the entry point {name:?} cannot be the name of a file")]
    Name { name: String },
    #[error("working_dir {working_dir:?} does not exist in the repository")]
    NoFolder { working_dir: String },
}

pub(super) struct Script;

impl PrepareStep<'_> for Script {
    fn phase(&self) -> Phase {
        Phase::Checkout
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let task = &draft.order.task;
        let text = match &task.code {
            CodeSource::Script(text) => {
                if task.working_dir != "." {
                    draft
                        .console
                        .say(&format!("working_dir {:?} is not used: the task has no repository", task.working_dir));
                }
                text
            }
            CodeSource::RepositoryWithScript { script, .. } if is_diff_in_colour(script) => return Ok(()),
            CodeSource::RepositoryWithScript { script, .. } => script,
            CodeSource::Repository { .. } | CodeSource::Nothing => return Ok(()),
        };
        let file = script_file(task);
        write(&draft.start_directory(), &file.name, text, &task.working_dir).map_err(|error| {
            let class = match &error {
                ScriptError::Write { .. } => FailureClass::Infrastructure,
                ScriptError::Name { .. } | ScriptError::NoFolder { .. } => FailureClass::Code,
            };
            StepError::new(class, self.phase(), &error)
        })?;
        draft.script = Some(file);
        Ok(())
    }
}

/// Whether a text that does not begin like a diff is one: git has written it in colour (`color.ui=always`).
pub(super) fn is_diff_in_colour(text: &str) -> bool {
    let plain = without_colour(text);
    !plain.trim().is_empty() && !is_literal_script(&plain)
}

/// Writes the script. A file of that name (of the repository, say) is replaced: what the task carries is what runs.
fn write(folder: &Path, name: &str, text: &str, working_dir: &str) -> Result<(), ScriptError> {
    const MAX_NAME_BYTES: usize = 255;
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) || name.len() > MAX_NAME_BYTES {
        return Err(ScriptError::Name { name: name.to_owned() });
    }
    if !folder.is_dir() {
        return Err(ScriptError::NoFolder { working_dir: working_dir.to_owned() });
    }
    let path = folder.join(name);
    // A symbolic link of the repository may lead out of the checkout: it is replaced, not followed.
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        std::fs::remove_file(&path).map_err(|source| ScriptError::Write { path: path.clone(), source })?;
    }
    std::fs::write(&path, text).map_err(|source| ScriptError::Write { path, source })
}

/// Name of the file, as the stock agent chooses it.
///
/// One difference: for `sub/train.py` the stock agent writes `train.py` and then starts `sub/train.py`, which is
/// not there; here the file that was written is the one that is started.
fn script_file(task: &TaskSpec) -> ScriptFile {
    let entry = task.entry_point.trim();
    let first = split(entry).ok().and_then(|words| words.into_iter().next()).unwrap_or_else(|| entry.to_owned());
    let (untitled, other, endings): (_, _, &[&str]) = match &task.interpreter {
        Interpreter::Python { .. } => ("untitled.py", "-m", &[".py"]),
        Interpreter::Shell(_) => ("untitled.sh", "-c", &[".sh", ".bash"]),
    };
    if first == other || first == "-m" {
        let named = task.working_dir.split_once(':').map(|(_, name)| name).filter(|name| !name.is_empty());
        return ScriptFile { name: named.unwrap_or(untitled).to_owned(), stands_for: StandsFor::Nothing };
    }
    let base = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    if endings.iter().any(|ending| first.ends_with(ending)) {
        ScriptFile { name: base(&first), stands_for: StandsFor::FirstWord }
    } else {
        ScriptFile { name: base(entry), stands_for: StandsFor::Everything }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(binary: &str, entry_point: &str, working_dir: &str, name: &str, stands_for: StandsFor) {
        let interpreter = match binary {
            "python" => Interpreter::Python { binary: binary.to_owned(), version: None },
            shell => Interpreter::Shell(shell.to_owned()),
        };
        let task = TaskSpec {
            id: "t".into(),
            name: String::new(),
            code: CodeSource::Script("x".into()),
            working_dir: working_dir.into(),
            entry_point: entry_point.into(),
            interpreter,
            pip_requirements: None,
            requirements: Default::default(),
            environment: Vec::new(),
        };
        assert_eq!(script_file(&task), ScriptFile { name: name.into(), stands_for });
    }

    #[test]
    fn the_name_follows_the_entry_point() {
        use StandsFor::{Everything, FirstWord, Nothing};
        check("python", "train.py", ".", "train.py", FirstWord);
        check("python", "sub/train.py --lr 0.1", ".", "train.py", FirstWord);
        check("python", "'my train.py' a", ".", "my train.py", FirstWord);
        check("python", "notebook", ".", "notebook", Everything);
        check("python", "my script", ".", "my script", Everything);
        check("python", "it's", ".", "it's", Everything);
        check("python", "-m torch.distributed.run x", ".", "untitled.py", Nothing);
        check("python", "-m pkg", "dir:named.py", "named.py", Nothing);
        check("bash", "-c 'echo 1'", ".", "untitled.sh", Nothing);
        check("bash", "run.bash x", ".", "run.bash", FirstWord);
        check("bash", "run.py", ".", "run.py", Everything);
    }

    #[test]
    fn a_diff_in_colour_is_no_script() {
        assert!(is_diff_in_colour("\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[36m@@ -1 +1 @@\x1b[m\n"));
        assert!(is_diff_in_colour("Submodule s 1..2:\n\x1b[1mdiff --git a/s/x b/s/x\x1b[m\n"));
        for script in ["print(1)\n", "print('''\n\x1b[1mdiff --git a/x b/x\x1b[m\n''')\n", "\x1b[m", ""] {
            assert!(!is_diff_in_colour(script), "{script:?}");
        }
    }

    #[test]
    fn an_existing_file_is_replaced_and_a_link_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "kept").unwrap();
        let inside = folder.path().join("code");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link.py")).unwrap();
        std::fs::write(inside.join("train.py"), "old").unwrap();
        for name in ["link.py", "train.py"] {
            write(&inside, name, "new", ".").unwrap();
            assert_eq!(std::fs::read_to_string(inside.join(name)).unwrap(), "new");
        }
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "kept");
    }

    #[test]
    fn a_name_that_is_none_and_a_folder_that_is_not_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "..", "a\0b", &"x".repeat(300)] {
            assert!(matches!(write(folder.path(), name, "", "."), Err(ScriptError::Name { .. })), "{name:?}");
        }
        let missing = folder.path().join("missing");
        assert!(matches!(write(&missing, "a.py", "", "missing"), Err(ScriptError::NoFolder { .. })));
    }
}
