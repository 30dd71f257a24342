//! Child programs on this machine.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{CommandError, CommandLine, CommandRunner, Finished, Followed, follow};

/// The real runner: child processes with a given environment, each in a process group of its own.
#[derive(Debug)]
pub struct SystemCommands {
    environment: Environment,
    stop: Arc<AtomicBool>,
}

struct Environment(Vec<(OsString, OsString)>);

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} variables", self.0.len())
    }
}

impl SystemCommands {
    /// Children get exactly `environment`; they are ended soon after `stop` becomes true.
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>, stop: Arc<AtomicBool>) -> Self {
        Self { environment: Environment(environment.into_iter().collect()), stop }
    }

    /// Children get what this process has.
    pub fn inheriting(stop: Arc<AtomicBool>) -> Self {
        Self::new(std::env::vars_os(), stop)
    }

    fn spawn(&self, command: CommandLine) -> Result<(Child, PipeReader), CommandError> {
        let name = command.program_name();
        let failed = |source: io::Error| CommandError::Run { program: name.clone(), source };
        let program = match command.program.components().count() {
            1 => self.find(&name).ok_or_else(|| CommandError::NotFound { program: name.clone() })?,
            _ => command.program,
        };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let mut child = Command::new(program);
        child.args(command.arguments).env_clear().envs(self.environment.0.iter().map(|(key, value)| (key, value)));
        for removed in &command.removed_variables {
            child.env_remove(removed);
        }
        child.envs(command.variables);
        if let Some(directory) = command.directory {
            child.current_dir(directory);
        }
        child.stdin(command.input.map_or_else(Stdio::null, Stdio::from));
        child.stdout(writer.try_clone().map_err(failed)?).stderr(writer).process_group(0);
        let child = child.spawn().map_err(|source| {
            let is_missing = source.kind() == io::ErrorKind::NotFound;
            if is_missing { CommandError::NotFound { program: name.clone() } } else { failed(source) }
        })?;
        Ok((child, reader))
    }
}

impl CommandRunner for SystemCommands {
    fn run(&self, command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
        let program = command.program_name();
        if self.is_stopped() {
            return Err(CommandError::Stopped { program });
        }
        let (mut child, reader) = self.spawn(command)?;
        follow(program, &mut child, reader, &|| self.is_stopped(), output)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.environment.0.iter().rev().find(|(key, _)| key == OsStr::new(name)).map(|(_, value)| value.clone())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Followed for Child {
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        Self::try_wait(self)
    }

    fn signal(&mut self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.id()) {
            // An error means that the group is gone, which is what was wanted.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine::new("sh").arguments(["-c", script])
    }

    fn runner() -> SystemCommands {
        SystemCommands::inheriting(Arc::default())
    }

    #[test]
    fn both_outputs_come_as_lines_in_order() {
        let mut lines = Vec::new();
        let command = shell("echo one; echo two >&2; printf 'ten\\rtwenty\\r\\nlast'; exit 3");
        let finished = runner().run(command, &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two", "ten", "twenty", "last"]);
        assert_eq!(finished.tail, lines);
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn a_variable_reaches_the_child_and_no_debug_text() {
        let command =
            shell("echo $SECRET; echo ${HOME-none}").variable("SECRET", "hunter2").without_variables(["HOME"]);
        assert!(!format!("{command:?}").contains("hunter2"));
        assert_eq!(runner().run(command, &mut |_| {}).unwrap().tail, ["hunter2", "none"]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = runner().run(CommandLine::new("no-such-program-here"), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, CommandError::NotFound { program } if program == "no-such-program-here"), "{error:?}");
    }

    #[test]
    fn a_stop_ends_a_child_that_ignores_it() {
        let stop = Arc::new(AtomicBool::new(false));
        let runner = SystemCommands::inheriting(Arc::clone(&stop));
        let command = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let error = runner.run(command, &mut |_| stop.store(true, Ordering::Relaxed)).unwrap_err();
        assert!(matches!(error, CommandError::Stopped { .. }));
        assert!(matches!(runner.run(shell("true"), &mut |_| {}), Err(CommandError::Stopped { .. })));
    }

    #[test]
    fn a_process_left_behind_does_not_keep_the_caller() {
        let begun = Instant::now();
        let finished = runner().run(shell("sleep 60 & echo $!; exit 0"), &mut |_| {}).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(50), "waited for the background process");
        let left: i32 = finished.tail[0].parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
    }
}
