//! Programs of a preparation, run inside: the same contract as on the machine itself.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drivers::command::{CommandError, CommandLine, CommandRunner};
use drivers::container::ContainerCommands;

use crate::inside::{Inside, Place};

fn commands(inside: &Inside, stop: &Arc<AtomicBool>) -> ContainerCommands {
    let environment = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/nowhere"), ("KEPT", "yes")];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    ContainerCommands::new(inside.link.clone(), environment, Arc::clone(stop))
}

fn shell(script: &str) -> CommandLine {
    CommandLine::new("sh").arguments(["-c", script])
}

#[test]
fn both_outputs_come_as_lines_in_order() {
    let inside = Inside::start(Place::Beside);
    let commands = commands(&inside, &Arc::default());
    let mut lines = Vec::new();
    let command = shell("echo one; echo two >&2; printf 'ten\\rtwenty\\r\\nlast'; exit 3");
    let finished = commands.run(command, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(lines, ["one", "two", "ten", "twenty", "last"]);
    assert_eq!((finished.tail, finished.status.code()), (lines, Some(3)));
    let finished = commands.run(shell("kill -15 $$"), &mut |_| {}).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&finished.status), Some(15));
}

#[test]
fn ten_thousand_lines_arrive() {
    let inside = Inside::start(Place::Beside);
    let mut next = 1;
    let finished = commands(&inside, &Arc::default())
        .run(shell("seq 10000"), &mut |line| {
            assert_eq!(line, next.to_string());
            next += 1;
        })
        .unwrap();
    assert_eq!(next, 10_001);
    assert_eq!((finished.tail.len(), finished.tail.last().map(String::as_str)), (200, Some("10000")));
}

#[test]
fn variables_come_and_go_with_a_command() {
    let inside = Inside::start(Place::Beside);
    let commands = commands(&inside, &Arc::default());
    let command = shell("echo $SECRET ${HOME-none} $KEPT").variable("SECRET", "hunter2").without_variables(["HOME"]);
    assert_eq!(commands.run(command, &mut |_| {}).unwrap().tail, ["hunter2 none yes"]);
    assert_eq!(commands.variable("HOME"), Some("/nowhere".into()));
    assert!(!format!("{commands:?}").contains("nowhere"));
}

#[test]
fn programs_are_searched_in_the_container() {
    let inside = Inside::start(Place::Beside);
    let commands = commands(&inside, &Arc::default());
    assert!(commands.find("sh").is_some_and(|path| path.ends_with("sh")));
    assert!(commands.is_executable(Path::new("/bin/sh")));
    assert!(!commands.is_executable(Path::new("/etc/passwd")) && !commands.is_executable(Path::new("bin/sh")));
    let error = commands.run(CommandLine::new("no-such-program-here"), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, CommandError::NotFound { program } if program == "no-such-program-here"), "{error:?}");
    let nowhere = shell("true").directory("/no/such/folder");
    let error = commands.run(nowhere, &mut |_| {}).unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(why, "the working directory /no/such/folder is not there");
}

/// The lock of an input lives as long as the program inside, and no longer.
#[test]
fn an_input_is_passed_on_with_its_lock() {
    let inside = Inside::start(Place::Beside);
    let commands = commands(&inside, &Arc::default());
    let path = inside.path("lock");
    std::fs::write(&path, "said\n").unwrap();
    let locked = File::open(&path).unwrap();
    locked.lock().unwrap();
    let other = File::open(&path).unwrap();
    let mut during = None;
    let finished = commands
        .run(shell("read line; echo $line").input(locked), &mut |_| during = Some(other.try_lock().is_err()))
        .unwrap();
    assert_eq!(finished.tail, ["said"]);
    assert!(during.is_some(), "it printed");
    other.lock().unwrap();
}

#[test]
fn a_stop_ends_a_program_that_ignores_it() {
    let inside = Inside::start(Place::Beside);
    let stop = Arc::new(AtomicBool::new(false));
    let commands = commands(&inside, &stop);
    let command = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
    let error = commands.run(command, &mut |_| stop.store(true, Ordering::Relaxed)).unwrap_err();
    assert!(matches!(error, CommandError::Stopped { .. }), "{error:?}");
    assert!(matches!(commands.run(shell("true"), &mut |_| {}), Err(CommandError::Stopped { .. })));
}

#[test]
fn a_container_that_goes_away_is_an_error_and_not_a_wait() {
    let mut inside = Inside::start(Place::Beside);
    let commands = commands(&inside, &Arc::default());
    let around = &mut inside.around;
    let error = commands.run(shell("echo up; exec sleep 5"), &mut |_| around.kill().unwrap()).unwrap_err();
    assert!(matches!(error, CommandError::Run { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("the container is gone"), "{error:?}");
}
