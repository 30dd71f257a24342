//! Where uv comes from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use drivers::command::{CommandRunner, SystemCommands};
use protocols::task::Interpreter;

use crate::fixture::Fixture;

fn any_python() -> Interpreter {
    Interpreter::Python { binary: "python3".into(), version: None }
}

/// This machine without any uv of its own.
fn without_uv(extra: &[(&str, &str)]) -> SystemCommands {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).filter(|folder| !folder.join("uv").exists());
    let path = std::env::join_paths(path).unwrap();
    let extra = extra.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    SystemCommands::new(std::env::vars_os().chain([("PATH".into(), path)]).chain(extra), Arc::default())
}

#[test]
fn it_is_installed_once_by_one_of_many() {
    let fixture = Fixture::bare();
    let commands = without_uv(&[]);
    std::thread::scope(|scope| {
        for package in ["six==1.16.0", "six==1.15.0", "attrs==23.1.0"] {
            let (fixture, commands) = (&fixture, &commands);
            scope.spawn(move || fixture.prepare_by(Some(&[package]), &any_python(), commands).unwrap());
        }
    });
    assert_eq!(fixture.shown().matches("installing uv").count(), 1, "{}", fixture.shown());
    assert!(fixture.path("cache/tools/uv/bin/uv").exists());
    assert!(!fixture.path("cache/tools/uv.new").exists());
}

#[test]
fn pip_takes_over_where_it_cannot_be_had() {
    let fixture = Fixture::bare();
    // An index that nobody can reach: six comes from a folder.
    let wheels = fixture.path("wheels");
    fs::create_dir(&wheels).unwrap();
    let commands = without_uv(&[]);
    let python = commands.find("python3").unwrap();
    let download = std::process::Command::new(python)
        .args(["-m", "pip", "download", "--quiet", "--dest"])
        .arg(&wheels)
        .arg("six==1.16.0")
        .status();
    assert!(download.unwrap().success());
    let offline = without_uv(&[("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", wheels.to_str().unwrap())]);
    let environment = fixture.prepare_by(Some(&["six==1.16.0"]), &any_python(), &offline).unwrap();
    assert_eq!(environment.packages.unwrap(), ["six==1.16.0"]);
    assert!(fixture.shown().contains("using pip"), "{}", fixture.shown());
    assert!(!fixture.path("cache/tools/uv").exists());
}

#[test]
fn one_that_does_not_run_is_passed_over() {
    let fixture = Fixture::new();
    let bin = fixture.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("uv"), "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(bin.join("uv"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let environment = fixture.prepare_with(Some(&["six==1.16.0"]), &[("PATH", &path)]).unwrap();
    assert_eq!(environment.packages.unwrap(), ["six==1.16.0"]);
}
