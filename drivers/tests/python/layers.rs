//! What a task installs while it runs, and who sees it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use drivers::python::Environment;

use crate::fixture::{Fixture, python, shared_cache};

/// Every file below a folder, with what would tell that somebody wrote to it.
fn snapshot(folder: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            // Byte code comes and goes beside what it was made of.
            if metadata.is_file() && path.extension().is_none_or(|extension| extension != "pyc") {
                let what = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
                found.insert(path.display().to_string(), what);
            }
        }
    }
    found
}

/// Runs a program as a task of this environment would.
#[track_caller]
fn run(environment: &Environment, program: &str, arguments: &[&str]) -> String {
    let bin = environment.bin_dir.as_ref().unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut command = Command::new(if program.starts_with('/') { program.into() } else { bin.join(program) });
    command.args(arguments).env("PATH", path).env("VIRTUAL_ENV", bin.parent().unwrap());
    // As root there is a warning, and no permission that would bind.
    command.env("PIP_ROOT_USER_ACTION", "ignore").env("UV_CACHE_DIR", shared_cache().join("uv"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

#[test]
fn what_a_task_installs_is_seen_by_nobody_else() {
    let fixture = Fixture::new();
    let shared = fixture.prepare(Some(&["six==1.16.0"])).unwrap();
    let layer = |name: &str| shared.clone().with_layer(&fixture.path(name)).unwrap();
    let (one, other) = (layer("one"), layer("other"));
    let folder = shared.shared.as_ref().unwrap().folder.join("venv");
    let before = snapshot(&folder);
    assert_eq!(python(&one, "import six; print(six.__version__)"), "1.16.0");

    // The three ways in which programs install.
    run(&one, "pip", &["install", "--quiet", "attrs==23.1.0"]);
    let by_module = "import subprocess, sys; subprocess.check_call([sys.executable, '-m', 'pip', 'install', \
                     '--quiet', 'six==1.15.0'])";
    run(&one, "python", &["-c", by_module]);
    let uv = shared_cache().join("tools/uv/bin/uv");
    run(&one, uv.to_str().unwrap(), &["pip", "install", "--quiet", "idna==3.4"]);
    run(&one, "pip", &["uninstall", "--quiet", "--yes", "six"]);

    let seen = "import attr, idna, six, sys; print(attr.__version__, idna.__version__, six.__version__, sys.prefix)";
    let prefix = fixture.path("one");
    assert_eq!(python(&one, seen), format!("23.1.0 3.4 1.16.0 {}", prefix.display()), "its own six is gone again");
    let missing = "import importlib.util as u; print(u.find_spec('attr'), u.find_spec('idna'))";
    assert_eq!(python(&other, missing), "None None");
    assert_eq!(python(&shared, missing), "None None");
    assert_eq!(snapshot(&folder), before);
    let (count, damages) = drivers::python::store::Store::new(fixture.path("cache/environments")).verify().unwrap();
    assert!(count == 1 && damages.is_empty(), "{damages:?}");

    // A version that is newer than the shared one wins, in programs of the environment too.
    run(&one, "pip", &["install", "--quiet", "six==1.17.0"]);
    assert_eq!(python(&one, "import six; print(six.__version__)"), "1.17.0");
    assert!(run(&one, "pip", &["list"]).contains("1.17.0"));
    assert_eq!(python(&other, "import six; print(six.__version__)"), "1.16.0");
}

#[test]
fn programs_of_packages_start_with_the_layer() {
    let fixture = Fixture::new();
    let shared = fixture.prepare(Some(&["wheel==0.45.1"])).unwrap();
    let layered = shared.with_layer(&fixture.path("layer")).unwrap();
    let text = fs::read_to_string(layered.bin_dir.as_ref().unwrap().join("wheel")).unwrap();
    assert!(text.contains(layered.python.parent().unwrap().to_str().unwrap()), "{text}");
    assert!(run(&layered, "wheel", &["version"]).contains("0.45.1"));
}

#[test]
fn an_environment_is_sealed_once_its_byte_code_is_there() {
    let fixture = Fixture::new();
    let shared = fixture.prepare(Some(&["six==1.16.0"])).unwrap();
    let pid = shared.start_sealing().unwrap().expect("it is new");
    assert_eq!(shared.start_sealing().unwrap(), None, "somebody is at it");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::wait::waitpid(pid, None).unwrap();
    let folder = &shared.shared.as_ref().unwrap().folder;
    assert!(folder.join("sealed").exists());
    assert_eq!(shared.start_sealing().unwrap(), None, "it is done");
    let is_compiled = "import six, os; print(os.path.exists(six.__cached__))";
    assert_eq!(python(&shared, is_compiled), "True");
    assert_eq!(fs::metadata(folder.join("venv/bin")).unwrap().mode() & 0o222, 0);
    // It can be removed all the same, and is used where it is.
    let store = drivers::python::store::Store::new(fixture.path("cache/environments"));
    let id = shared.shared.as_ref().unwrap().id.clone();
    assert!(!store.remove(&id).unwrap(), "it is in use");
    assert!(fixture.prepare(Some(&["six==1.16.0"])).unwrap().reused);
    drop(shared);
    assert!(store.remove(&id).unwrap());
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn nobody_may_write_what_is_shared_from_the_first_moment() {
    let fixture = Fixture::new();
    let shared = fixture.prepare(Some(&["six==1.16.0"])).unwrap();
    let file = std::path::PathBuf::from(python(&shared, "import six; print(six.__file__)"));
    for path in [file.as_path(), file.parent().unwrap()] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o222, 0, "{}", path.display());
    }
    // Byte code comes all the same.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(shared.start_sealing().unwrap().unwrap()).unwrap());
    nix::sys::wait::waitpid(pid, None).unwrap();
    assert_eq!(python(&shared, "import six, os; print(os.path.exists(six.__cached__))"), "True");
}
