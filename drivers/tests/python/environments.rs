//! Hits, misses, and what is in an environment.

use std::fs;
use std::sync::Arc;

use drivers::command::{CommandError, CommandLine, CommandRunner, Finished, SystemCommands};
use protocols::order::PythonSettings;
use protocols::task::Interpreter;

use crate::fixture::{Fixture, python};

const SIX: &[&str] = &["six==1.16.0"];

/// Fails the test as soon as anything is started.
struct NoPrograms(SystemCommands);

impl CommandRunner for NoPrograms {
    fn run(&self, command: CommandLine, _: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
        panic!("{command:?} was started");
    }

    fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        self.0.variable(name)
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

fn any_python() -> Interpreter {
    Interpreter::Python { binary: "python3".into(), version: None }
}

#[test]
fn what_was_asked_for_is_there_and_nothing_else() {
    let fixture = Fixture::new();
    let environment = fixture.prepare(Some(SIX)).unwrap();
    assert_eq!(environment.packages.as_deref(), Some(["six==1.16.0".to_owned()].as_slice()));
    assert!(!environment.reused);
    assert_eq!(python(&environment, "import six; print(six.__version__)"), "1.16.0");
    assert_eq!(python(&environment, "import platform; print(platform.python_version())"), environment.python_version);
    let pip = environment.bin_dir.as_ref().unwrap().join("pip");
    assert!(pip.exists(), "programs call pip: {}", fixture.shown());
    let other = fixture.prepare(Some(&["attrs==23.1.0"])).unwrap();
    assert_ne!(other.python, environment.python);
    assert_eq!(python(&other, "import importlib.util as u; print(u.find_spec('six'))"), "None");
}

#[test]
fn a_hit_starts_no_process() {
    let fixture = Fixture::new();
    let built = fixture.prepare(Some(SIX)).unwrap();
    let commands = NoPrograms(SystemCommands::inheriting(Arc::default()));
    // The variable that points uv to the tests' own cache does not decide on the environment.
    let found = fixture.prepare_by(Some(&["# the same", "Six == 1.16.0 # yes"]), &any_python(), &commands).unwrap();
    assert!(found.reused);
    assert_eq!((found.python, found.packages), (built.python, built.packages));
}

#[test]
fn eight_tasks_build_it_once() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8).map(|_| scope.spawn(|| fixture.prepare(Some(SIX)).unwrap())).collect();
        let environments: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        assert_eq!(environments.iter().filter(|environment| !environment.reused).count(), 1);
        assert!(environments.iter().all(|environment| environment.python == environments[0].python));
    });
    assert_eq!(fixture.builds(), 1, "{}", fixture.shown());
}

#[test]
fn a_half_built_environment_is_not_used() {
    let fixture = Fixture::new();
    let built = fixture.prepare(Some(SIX)).unwrap();
    let folder = built.bin_dir.as_ref().unwrap().parent().unwrap().parent().unwrap();
    fs::remove_file(folder.join("ready.json")).unwrap();
    fs::write(folder.join("venv/left-over"), "").unwrap();
    fs::create_dir_all(fixture.path("cache/environments/doomed/x.1.1/venv")).unwrap();
    let again = fixture.prepare(Some(SIX)).unwrap();
    assert!(!again.reused);
    assert_eq!(again.python, built.python);
    assert!(!folder.join("venv/left-over").exists());
    assert_eq!(python(&again, "import six; print(six.__version__)"), "1.16.0");
    // An interpreter that is gone makes the environment worthless.
    fs::remove_file(&again.python).unwrap();
    assert!(!fixture.prepare(Some(SIX)).unwrap().reused);
}

#[test]
fn no_requirements_are_an_environment_of_their_own() {
    let fixture = Fixture::new();
    let first = fixture.prepare(None).unwrap();
    assert_eq!(first.packages.as_deref(), Some([].as_slice()));
    let second = fixture.prepare(Some(&["", "# nothing"])).unwrap();
    assert!(second.reused && second.python == first.python);
    assert_ne!(fixture.prepare(Some(SIX)).unwrap().python, first.python);
}

#[test]
fn files_of_the_code_count_where_the_task_says_nothing() {
    let fixture = Fixture::new();
    fixture.write("requirements.txt", "-r more.txt\n");
    fixture.write("more.txt", "six==1.16.0\n");
    fixture.write("src/requirements.txt", "six\n");
    let environment = fixture.prepare(None).unwrap();
    assert_eq!(environment.packages.unwrap(), ["six==1.16.0"]);
    assert!(fixture.shown().contains("src/requirements.txt"), "{}", fixture.shown());
}

#[test]
fn code_that_is_installed_makes_the_environment_private() {
    let fixture = Fixture::new();
    fixture.write("setup.py", "from setuptools import setup\nsetup(name='mine', version='1', py_modules=['mine'])\n");
    fixture.write("mine.py", "VALUE = 'first'\n");
    let environment = fixture.prepare(Some(&["six==1.16.0", "-e .."])).unwrap();
    assert!(environment.python.starts_with(fixture.path("attempt")), "{:?}", environment.python);
    assert_eq!(environment.packages.as_deref().unwrap(), ["six==1.16.0", "-e .."]);
    fixture.write("mine.py", "VALUE = 'second'\n");
    assert_eq!(python(&environment, "import mine; print(mine.VALUE)"), "second");
    assert!(!fixture.path("cache/environments/built").exists());
}

#[test]
fn pip_does_it_where_uv_may_not() {
    let mut fixture = Fixture::bare();
    fixture.settings = PythonSettings { without_uv: true, ..PythonSettings::default() };
    let environment = fixture.prepare(Some(&["six==1.16.0", "--prefer-binary"])).unwrap();
    assert_eq!(environment.packages.as_deref().unwrap(), ["six==1.16.0"]);
    assert_eq!(python(&environment, "import six; print(six.__version__)"), "1.16.0");
    assert!(!fixture.path("cache/tools").exists());
    // What was installed is what a clone asks for.
    assert!(fixture.prepare(Some(SIX)).is_ok_and(|other| other.python == environment.python));
}

#[test]
fn packages_of_the_machine_are_seen_where_they_may() {
    let mut fixture = Fixture::new();
    fixture.settings = PythonSettings { system_site_packages: true, ..PythonSettings::default() };
    let environment = fixture.prepare(Some(&[])).unwrap();
    let configuration = environment.bin_dir.as_ref().unwrap().parent().unwrap().join("pyvenv.cfg");
    assert!(fs::read_to_string(configuration).unwrap().contains("include-system-site-packages = true"));
    assert_eq!(environment.packages.as_deref(), Some([].as_slice()));
}

#[test]
fn nothing_is_installed_where_nothing_shall_be() {
    let mut fixture = Fixture::bare();
    fixture.settings = PythonSettings { skip_install: true, ..PythonSettings::default() };
    let environment = fixture.prepare(Some(SIX)).unwrap();
    assert_eq!((environment.packages, environment.bin_dir), (None, None));
    assert!(!fixture.path("cache/environments/built").exists());
    // A shell script without requirements needs no Python, wherever there is none.
    fixture.settings = PythonSettings::default();
    let commands = SystemCommands::new([("PATH".into(), "/nowhere".into())], Arc::default());
    let shell = Interpreter::Shell("bash".into());
    let environment = fixture.prepare_by(None, &shell, &commands).unwrap();
    assert_eq!(environment.bin_dir, None);
}

#[test]
fn another_interpreter_is_another_environment() {
    let fixture = Fixture::new();
    let default = fixture.prepare(Some(SIX)).unwrap();
    let commands = SystemCommands::inheriting(Arc::default());
    let missing = Interpreter::Python { binary: "python3.99".into(), version: Some("3.99".into()) };
    let found = fixture.prepare_by(Some(SIX), &missing, &commands).unwrap();
    assert!(found.reused && found.python == default.python);
    assert!(fixture.shown().contains("Python 3.99, which the task asks for"), "{}", fixture.shown());
    let versions =
        ["3.9", "3.10", "3.12", "3.13"].iter().filter(|version| !default.python_version.starts_with(**version));
    for version in versions {
        let wish = Interpreter::Python { binary: format!("python{version}"), version: Some((*version).into()) };
        let other = fixture.prepare_by(Some(SIX), &wish, &commands).unwrap();
        // A machine need not have more than one.
        assert!(other.python_version.starts_with(&format!("{version}.")) || other.python == default.python);
        assert_eq!(python(&other, "import sys; print('%d.%d.%d' % sys.version_info[:3])"), other.python_version);
    }
}

#[test]
fn other_words_for_the_same_packages_share_an_environment() {
    let fixture = Fixture::new();
    let built = fixture.prepare(Some(&["six<1.17", "six>=1.16"])).unwrap();
    let id = |environment: &drivers::python::Environment| environment.shared.as_ref().unwrap().id.clone();
    let shared = fixture.prepare(Some(&["six==1.16.0"])).unwrap();
    assert!(shared.reused && id(&shared) == id(&built));
    assert_eq!(fixture.builds(), 1, "{}", fixture.shown());
    // A clone asks for what was installed, and needs no process to be told.
    let fixture = Fixture::new();
    let built = fixture.prepare(Some(&["python-dateutil==2.9.0"])).unwrap();
    let packages = built.packages.clone().unwrap();
    assert_eq!(packages.len(), 2);
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let commands = NoPrograms(SystemCommands::inheriting(Arc::default()));
    let cloned = fixture.prepare_by(Some(&packages), &any_python(), &commands).unwrap();
    assert!(cloned.reused && id(&cloned) == id(&built));
}

#[test]
fn a_branch_that_has_moved_is_another_environment() {
    let fixture = Fixture::new();
    let repository = fixture.path("library");
    fs::create_dir_all(&repository).unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@h", "-c", "init.defaultBranch=main"];
        let mut command = std::process::Command::new("git");
        assert!(command.current_dir(&repository).args(identity).args(arguments).status().unwrap().success());
    };
    git(&["init", "--quiet"]);
    let release = |version: &str| {
        let setup =
            format!("from setuptools import setup\nsetup(name='mine', version='{version}', py_modules=['mine'])\n");
        fs::write(repository.join("setup.py"), setup).unwrap();
        fs::write(repository.join("mine.py"), format!("VALUE = {version}\n")).unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", version]);
    };
    let line = format!("mine @ git+file://{}@main", repository.display());
    let value = || python(&fixture.prepare(Some(&[&line])).unwrap(), "import mine; print(mine.VALUE)");
    release("1");
    assert_eq!(value(), "1");
    release("2");
    assert_eq!(value(), "2");
    assert!(fixture.prepare(Some(&[&line])).unwrap().reused);
    assert_eq!(fixture.builds(), 2, "{}", fixture.shown());
}
