//! What cannot be installed, and how that is said.

use std::fs;
use std::sync::atomic::Ordering;

use drivers::python::PythonError;
use protocols::failure::FailureClass;
use protocols::order::PythonSettings;

use crate::fixture::{Fixture, python};

#[track_caller]
fn check(settings: PythonSettings, requirements: &[&str], expected: &str) {
    let mut fixture = Fixture::new();
    fixture.settings = settings;
    let error = fixture.prepare(Some(requirements)).unwrap_err();
    assert!(matches!(error, PythonError::Install { .. }), "{error:?}");
    assert!(error.to_string().contains(expected) && !error.to_string().contains('\n'), "{error}");
    assert_eq!((error.class(), error.is_transient()), (FailureClass::Environment, false));
    for folder in ["asked", "built", "scratch", "doomed"] {
        let left = fs::read_dir(fixture.path("cache/environments").join(folder)).into_iter().flatten().count();
        assert_eq!(left, 0, "{folder}");
    }
}

fn with_pip() -> PythonSettings {
    PythonSettings { without_uv: true, ..PythonSettings::default() }
}

#[test]
fn a_version_that_does_not_exist_is_named() {
    check(PythonSettings::default(), &["six==99"], "six==99");
    check(with_pip(), &["six==99"], "No matching distribution found for six==99");
}

#[test]
fn a_conflict_is_named() {
    let conflict = ["requests==2.31.0", "idna>=99"];
    check(PythonSettings::default(), &conflict, "idna>=99");
    check(PythonSettings::default(), &["requests==2.31.0", "idna<2"], "requests==2.31.0 depends on idna");
}

#[test]
fn pins_that_contradict_each_other_are_installed_as_they_are() {
    let fixture = Fixture::new();
    // requests 2.31.0 wants idna >= 2.5.
    let environment = fixture.prepare(Some(&["requests==2.31.0", "idna==2.0"])).unwrap();
    let packages = environment.packages.clone().unwrap();
    assert!(packages.contains(&"requests==2.31.0".to_owned()) && packages.contains(&"idna==2.0".to_owned()));
    assert!(packages.iter().any(|line| line.starts_with("certifi==")), "the rest is resolved: {packages:?}");
    assert!(fixture.shown().contains("contradict"), "{}", fixture.shown());
    assert_eq!(python(&environment, "import idna; print('here')"), "here");
}

#[test]
fn secrets_of_an_index_are_said_nowhere() {
    let mut fixture = Fixture::new();
    fixture.settings.extra_index_urls = vec!["http://robot:s3cret-t0ken@127.0.0.1:1/simple".into()];
    let variables = [("UV_HTTP_RETRIES", "0")];
    let error = fixture.prepare_with(Some(&["no-such-package-of-hostler==1"]), &variables).unwrap_err();
    let text = format!("{error} {error:?} {}", fixture.shown());
    assert!(!text.contains("s3cret"), "{text}");
    assert!(error.is_transient(), "{error:?}");
}

#[test]
fn a_stop_ends_a_build() {
    let mut fixture = Fixture::new();
    fixture.write("setup.py", "import time\nprint('slow')\ntime.sleep(600)\n");
    fixture.settings = with_pip();
    std::thread::scope(|scope| {
        let build = scope.spawn(|| fixture.prepare(Some(&["-e .."])));
        fixture.wait_for("Obtaining");
        fixture.stop.store(true, Ordering::Relaxed);
        let error = build.join().unwrap().unwrap_err();
        assert!(error.is_stopped(), "{error:?}");
    });
}
