//! The scripts that prepare a container: the operator's and the task's, as real files, in the stock agent's order.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::time::Duration;

use drivers::container::Asked;
use protocols::container::init::{FromInit, INIT_PATH, LINK_FOLDER, Program, TELLS_ENVIRONMENT};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::lifecycle::Exit;
use protocols::order::SetupScript;

use super::running::{Running, of_link, of_system};
use crate::executor::console::Console;
use crate::executor::console_pipe;
use crate::executor::steps::StepError;

/// Where a script leaves what it exported, in the container.
const EXPORTS: &str = "exports";
/// How often the stop flag is looked at while a script runs.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// Runs the scripts, each with what the one before it exported. Returns the environment after the last.
pub(super) fn run(
    scripts: &[SetupScript],
    running: &Running,
    shells: &[&Path],
    console: &Console,
    is_stopped: &dyn Fn() -> bool,
) -> Result<BTreeMap<OsString, OsString>, StepError> {
    run_with(std::iter::empty(), scripts, running, shells, console, is_stopped)
}

/// As [`run`], with variables that the container itself does not have.
pub(super) fn run_with(
    more: impl IntoIterator<Item = (OsString, OsString)>,
    scripts: &[SetupScript],
    running: &Running,
    shells: &[&Path],
    console: &Console,
    is_stopped: &dyn Fn() -> bool,
) -> Result<BTreeMap<OsString, OsString>, StepError> {
    let inherited = running.hello().environment.iter().map(|(name, value)| (name.0.clone(), value.0.clone()));
    let mut environment: BTreeMap<OsString, OsString> = inherited.chain(more).collect();
    if scripts.is_empty() {
        return Ok(environment);
    }
    let shell = shells.iter().find(|path| path.ends_with("bash")).or_else(|| shells.first());
    let Some(shell) = shell else {
        let message = format!("{} cannot be run: the image has no shell", scripts[0].name);
        return Err(failed(message));
    };
    // Their users expect that nobody is asked anything.
    environment.entry("DEBIAN_FRONTEND".into()).or_insert_with(|| "noninteractive".into());
    for (number, script) in scripts.iter().enumerate() {
        console.say(&format!("running {}", script.name));
        let file = format!("setup-{number}.sh");
        let folder = running.folder();
        folder.put(&file, script.text.as_bytes()).map_err(|error| of_system(&error))?;
        folder.put_open(EXPORTS).map_err(|error| of_system(&error))?;
        // The trap is for a script that exits, the last line for one that has a trap of its own.
        let keep = format!("{INIT_PATH} {TELLS_ENVIRONMENT} >{LINK_FOLDER}/{EXPORTS} 2>/dev/null");
        let wrapper = format!(
            "trap 'code=$?; {keep}; exit $code' EXIT\n\
             . {LINK_FOLDER}/{file}\n\
             set -- \"$?\"; {keep} || :; exit \"$1\"\n"
        );
        let program = Program {
            program: shell.as_os_str().into(),
            arguments: vec!["-c".into(), wrapper.into()],
            environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ..Program::default()
        };
        let exit = run_one(program, running, console, is_stopped)?;
        if exit != Exit::Code(0) {
            let how = match exit {
                Exit::Code(code) => format!("exit code {code}"),
                Exit::Signal(signal) => format!("signal {signal}"),
            };
            return Err(failed(format!("{} failed: {how}", script.name)));
        }
        let exports = std::fs::read(folder.path().join(EXPORTS)).unwrap_or_default();
        let exports = parse(&exports);
        if exports.is_empty() {
            console.say(&format!("what {} exported is not known, and not kept", script.name));
        } else {
            environment = exports;
        }
    }
    Ok(environment)
}

fn run_one(
    program: Program,
    running: &Running,
    console: &Console,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Exit, StepError> {
    let name = program.program.as_path().display().to_string();
    let (output, copying) = console_pipe::open(console).map_err(|error| of_system(&error))?;
    let asked = running.run(program, output.as_fd()).map_err(|error| of_link(&error))?;
    drop(output);
    let exit = follow(&name, &asked, is_stopped);
    copying.settle();
    exit
}

fn follow(name: &str, asked: &Asked, is_stopped: &dyn Fn() -> bool) -> Result<Exit, StepError> {
    loop {
        let news = asked
            .next(STOP_CHECK)
            .map_err(|error| failed(format!("the container ended while it was prepared: {error}")))?;
        match news {
            Some(FromInit::Ended { exit, .. }) => return Ok(exit),
            Some(FromInit::NotStarted { error, .. }) => {
                return Err(failed(format!("cannot start {name} in the container: {error}")));
            }
            Some(_) => {}
            None if is_stopped() => return Err(StepError::Stopped),
            None => {}
        }
    }
}

fn failed(message: String) -> StepError {
    StepError::Failed(TaskFailure::because(FailureClass::Environment, Phase::Environment, message))
}

/// `NAME=VALUE`, each ended by a NUL.
fn parse(bytes: &[u8]) -> BTreeMap<OsString, OsString> {
    let pair = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&entry[..at]), text(&entry[at + 1..])))
    };
    let is_of_the_shell = |name: &OsStr| matches!(name.as_bytes(), b"_" | b"SHLVL" | b"PWD" | b"OLDPWD");
    bytes.split(|byte| *byte == 0).filter_map(pair).filter(|(name, _)| !is_of_the_shell(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_exports_is_read() {
        let found = parse(b"A=1\0B=x=y\nz\0SHLVL=2\0\0");
        assert_eq!(found.len(), 2);
        assert_eq!(found[OsStr::new("B")], OsStr::new("x=y\nz"));
    }
}
