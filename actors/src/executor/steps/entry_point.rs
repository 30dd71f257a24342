//! From the entry point to the command that is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use drivers::command::CommandRunner;
use drivers::python::Environment;
use protocols::failure::{FailureClass, Phase};
use protocols::task::Interpreter;

use super::environment::{self, Places};
use super::notebook::{self, NotebookError};
use super::script::{ScriptFile, StandsFor};
use super::{Draft, PrepareStep, StepError};
use crate::executor::launch::Launch;
use protocols::words::{WordsError, split};

/// Why there is nothing to start.
#[derive(Debug, thiserror::Error)]
enum EntryPointError {
    #[error("the entry point {entry:?} does not exist in {place:?} of the code")]
    Missing { entry: String, place: String },
    #[error("working_dir {working_dir:?} does not exist in the code")]
    NoFolder { working_dir: String },
    #[error("the entry point cannot be run")]
    Notebook {
        #[from]
        source: NotebookError,
    },
    #[error("the entry point {entry:?} cannot be taken apart")]
    Words {
        entry: String,
        #[source]
        source: WordsError,
    },
    #[error("the entry point contains a NUL character")]
    Nul,
    #[error("the entry point is empty")]
    Empty,
}

pub(super) struct EntryPoint;

impl PrepareStep<'_> for EntryPoint {
    fn phase(&self) -> Phase {
        Phase::Environment
    }

    fn run(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let task = &draft.order.task;
        let directory = draft.start_directory();
        let code_error = |error: EntryPointError| StepError::new(FailureClass::Code, Phase::Environment, &error);
        if !directory.is_dir() {
            return Err(code_error(EntryPointError::NoFolder { working_dir: task.working_dir.clone() }));
        }
        let place = Place { directory: &directory, name: &task.working_dir, script: draft.script.as_ref() };
        let arguments = match &task.interpreter {
            Interpreter::Python { .. } => {
                python_arguments(&task.entry_point, place).and_then(|arguments| without_notebook(arguments, draft))
            }
            Interpreter::Shell(_) => shell_arguments(&task.entry_point, place),
        }
        .map_err(code_error)?;
        let program = match (&task.interpreter, &draft.python) {
            (Interpreter::Shell(shell), _) => shell_program(shell, draft.place()),
            (Interpreter::Python { .. }, Some(environment)) => environment.python.clone(),
            // The step before has failed for a task that needs Python and has none.
            (Interpreter::Python { .. }, None) => unreachable!("packages come before the entry point"),
        };
        let places = Places {
            directory: &directory,
            entry_directory: entry_directory(&directory, &arguments),
            programs: draft.python.as_ref().and_then(|environment| environment.bin_dir.as_deref()),
            conda: draft.python.as_ref().and_then(Environment::of_conda),
        };
        let (environment, container) = match draft.container.take() {
            Some((container, inherited)) => {
                (environment::compose_in_container(inherited, draft.order, &places), Some(container))
            }
            None => (environment::compose(std::env::vars_os(), draft.order, &places), None),
        };
        let wrapper = draft.order.container.as_ref().and_then(|container| container.spec.entrypoint.as_deref());
        let (program, arguments) = wrapped(wrapper, program, arguments);
        // Containers see it through a mount that cannot be written.
        let read_only = draft.python.as_ref().filter(|_| container.is_none()).and_then(Environment::read_only);
        draft.launch = Some(Launch { program, arguments, directory, environment, helper: None, read_only, container });
        Ok(())
    }
}

/// The command, or the program of `--entrypoint` with the command as its arguments.
fn wrapped(wrapper: Option<&str>, program: PathBuf, arguments: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
    match wrapper.filter(|wrapper| !wrapper.is_empty()) {
        Some(wrapper) => (wrapper.into(), std::iter::once(program.into_os_string()).chain(arguments).collect()),
        None => (program, arguments),
    }
}

/// Where the entry point is looked for.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    directory: &'a Path,
    /// The directory as the task says it, for messages.
    name: &'a str,
    script: Option<&'a ScriptFile>,
}

impl Place<'_> {
    fn missing(&self, entry: &str) -> EntryPointError {
        EntryPointError::Missing { entry: entry.to_owned(), place: self.name.to_owned() }
    }
}

/// Arguments of `python`: unbuffered, so that a line is seen when it is printed.
fn python_arguments(entry: &str, place: Place<'_>) -> Result<Vec<OsString>, EntryPointError> {
    let program = file_and_arguments(entry, place, |first| first.starts_with('-'))?;
    Ok(std::iter::once("-u".to_owned()).chain(program).map(OsString::from).collect())
}

/// A notebook is started as the program that it is turned into. The text of a task that only has the name of one is a
/// program already.
fn without_notebook(mut arguments: Vec<OsString>, draft: &Draft<'_>) -> Result<Vec<OsString>, EntryPointError> {
    let is_literal = draft.script.as_ref().is_some_and(|script| script.stands_for != StandsFor::Nothing);
    let Some(program) = arguments.get_mut(1) else { return Ok(arguments) };
    let Some(name) = program.to_str().filter(|name| name.ends_with(".ipynb")) else { return Ok(arguments) };
    let converted = match notebook::convert(&draft.start_directory(), name) {
        Err(NotebookError::Format { .. }) if is_literal => return Ok(arguments),
        converted => converted?,
    };
    let left_out = match converted.left_out.is_empty() {
        true => String::new(),
        false => format!("; left out: {}", converted.left_out.join(", ")),
    };
    draft.console.say(&format!("the notebook {name} runs as {}: {} cells{left_out}", converted.name, converted.cells));
    *program = converted.name.into();
    Ok(arguments)
}

/// Arguments of a shell. What follows `-c` is one text, which keeps its quotes for the shell to read.
fn shell_arguments(entry: &str, place: Place<'_>) -> Result<Vec<OsString>, EntryPointError> {
    let entry = checked(entry)?;
    if let Some(rest) = entry.strip_prefix("-c").filter(|rest| rest.starts_with(char::is_whitespace)) {
        return Ok(vec!["-c".into(), unquoted(rest.trim()).into()]);
    }
    let words = file_and_arguments(entry, place, |first| first.starts_with('-'))?;
    Ok(words.into_iter().map(OsString::from).collect())
}

/// A text that is in quotes as a whole, as one types it in a terminal, without them.
fn unquoted(text: &str) -> String {
    let words = split(text).unwrap_or_default();
    match &words[..] {
        [word] if text.starts_with(['\'', '"']) => word.clone(),
        _ => text.to_owned(),
    }
}

fn checked(entry: &str) -> Result<&str, EntryPointError> {
    let entry = entry.trim();
    match entry {
        "" => Err(EntryPointError::Empty),
        entry if entry.contains('\0') => Err(EntryPointError::Nul),
        entry => Ok(entry),
    }
}

/// A file whose name is all of the entry point, or its first word with the others as arguments. The first word is
/// a file that exists, or an option of the interpreter.
fn file_and_arguments(
    entry: &str,
    place: Place<'_>,
    is_option: impl Fn(&str) -> bool,
) -> Result<Vec<String>, EntryPointError> {
    let entry = checked(entry)?;
    let script = place.script.filter(|script| script.stands_for != StandsFor::Nothing);
    if let Some(ScriptFile { name, stands_for: StandsFor::Everything }) = script {
        return Ok(vec![name.clone()]);
    }
    if script.is_none() && place.directory.join(entry).is_file() {
        return Ok(vec![entry.to_owned()]);
    }
    let mut words = split(entry).map_err(|source| EntryPointError::Words { entry: entry.to_owned(), source })?;
    let first = words.first_mut().ok_or(EntryPointError::Empty)?;
    match script {
        Some(script) => first.clone_from(&script.name),
        None if is_option(first) || place.directory.join(&*first).exists() => {}
        None => return Err(place.missing(first)),
    }
    Ok(words)
}

/// The directory of the script that is started, where one is.
fn entry_directory(directory: &Path, arguments: &[OsString]) -> PathBuf {
    arguments
        .iter()
        .find(|argument| !argument.as_encoded_bytes().starts_with(b"-"))
        .map(|script| directory.join(script))
        .filter(|script| script.is_file())
        .and_then(|script| script.parent().map(Path::to_owned))
        .unwrap_or_else(|| directory.to_owned())
}

/// The shell that the task asks for, or the nearest that is there.
fn shell_program(asked: &str, commands: &dyn CommandRunner) -> PathBuf {
    // One of this machine that is there and cannot be started is an error that names it.
    let is_there = |path: &Path| commands.is_executable(path) || (commands.image().is_none() && path.exists());
    let by_path = Some(PathBuf::from(asked)).filter(|path| path.is_absolute() && is_there(path));
    let name = asked.rsplit('/').next().unwrap_or(asked);
    by_path
        .or_else(|| commands.find(name))
        .or_else(|| commands.find("bash"))
        .unwrap_or_else(|| PathBuf::from("/bin/sh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Code {
        folder: tempfile::TempDir,
    }

    impl Code {
        fn with(files: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let path = folder.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            Self { folder }
        }

        fn python(&self, entry: &str, script: Option<&ScriptFile>) -> Result<Vec<OsString>, EntryPointError> {
            python_arguments(entry, Place { directory: self.folder.path(), name: ".", script })
        }

        fn shell(&self, entry: &str) -> Result<Vec<OsString>, EntryPointError> {
            shell_arguments(entry, Place { directory: self.folder.path(), name: ".", script: None })
        }

        #[track_caller]
        fn check(&self, entry: &str, expected: &[&str]) {
            let arguments = self.python(entry, None).unwrap();
            assert_eq!(arguments, [&["-u"], expected].concat());
        }
    }

    #[test]
    fn arguments_are_left_as_they_were_given() {
        let code = Code::with(&["train.py", "my train.py", "sub/x.py", "package/__main__.py"]);
        code.check("train.py", &["train.py"]);
        code.check(
            "train.py --url https://x//y/../z '' \"a b\"",
            &["train.py", "--url", "https://x//y/../z", "", "a b"],
        );
        code.check("my train.py", &["my train.py"]);
        code.check("sub/x.py $HOME #1", &["sub/x.py", "$HOME", "#1"]);
        code.check("package", &["package"]);
        code.check("-m torch.distributed.run --nnodes=1 x.py", &["-m", "torch.distributed.run", "--nnodes=1", "x.py"]);
        code.check("-m\tpackage", &["-m", "package"]);
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let code = Code::with(&[]);
        let missing = code.python("gone.py --lr 1", None).unwrap_err();
        assert!(matches!(&missing, EntryPointError::Missing { entry, place } if entry == "gone.py" && place == "."));
        assert!(matches!(code.python("it's.py", None), Err(EntryPointError::Words { .. })));
        assert!(matches!(code.python("a\0b", None), Err(EntryPointError::Nul)));
        assert!(matches!(code.python("  ", None), Err(EntryPointError::Empty)));
        assert!(matches!(code.shell("gone.sh"), Err(EntryPointError::Missing { .. })));
    }

    #[test]
    fn a_literal_script_is_what_is_started() {
        let code = Code::with(&["train.py", "my script"]);
        let first = ScriptFile { name: "train.py".into(), stands_for: StandsFor::FirstWord };
        assert_eq!(code.python("sub/train.py --lr 1", Some(&first)).unwrap(), ["-u", "train.py", "--lr", "1"]);
        let all = ScriptFile { name: "my script".into(), stands_for: StandsFor::Everything };
        assert_eq!(code.python("my script", Some(&all)).unwrap(), ["-u", "my script"]);
        let nothing = ScriptFile { name: "untitled.py".into(), stands_for: StandsFor::Nothing };
        assert_eq!(code.python("-m x", Some(&nothing)).unwrap(), ["-u", "-m", "x"]);
    }

    #[test]
    fn the_text_of_a_shell_keeps_its_quotes() {
        let code = Code::with(&["run.sh"]);
        assert_eq!(code.shell("-c  echo 'a  b' \"$X\" ").unwrap(), ["-c", "echo 'a  b' \"$X\""]);
        assert_eq!(code.shell("-c 'echo \"a  b\"'").unwrap(), ["-c", "echo \"a  b\""]);
        assert_eq!(code.shell("run.sh 'a b'").unwrap(), ["run.sh", "a b"]);
    }

    #[test]
    fn the_entry_directory_is_that_of_the_script() {
        let code = Code::with(&["sub/x.py"]);
        let root = code.folder.path();
        let of = |arguments: &[&str]| entry_directory(root, &arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["-u", "sub/x.py", "a/b"]), root.join("sub"));
        assert_eq!(of(&["-u", "-m", "package", "https://x/y"]), root);
        assert_eq!(of(&["-c", "echo"]), root);
    }
}
