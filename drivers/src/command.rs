//! Child programs of a preparation (git, uv, pip): their output line by line, ended when the task is stopped.
//!
//! No shell is involved. A command's own variables (askpass, index URLs with passwords) reach that child only and
//! are left out of every `Debug` text.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How many of the last output lines [`Finished::tail`] keeps.
const TAIL_LINES: usize = 200;
/// A line longer than this, in bytes, is cut into several.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// How often the stop flag is looked at while a child is silent, in milliseconds.
const STOP_CHECK_MS: u8 = 50;
/// Time between SIGTERM and SIGKILL for a child that is stopped.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long output is still read from processes that a finished child left behind.
const LEFTOVER_OUTPUT: Duration = Duration::from_secs(1);

/// One program to run.
pub struct CommandLine {
    /// A path, or a name that is looked up on the `PATH` of the child's environment.
    pub program: PathBuf,
    /// Its arguments. No secrets: every user of the machine can read them.
    pub arguments: Vec<OsString>,
    /// Where it runs; the current directory where absent.
    pub directory: Option<PathBuf>,
    /// Variables added to the runner's environment, for this child only. May hold secrets.
    pub variables: Vec<(OsString, OsString)>,
    /// Variables taken out of the runner's environment.
    pub removed_variables: Vec<OsString>,
    /// Standard input; empty where absent.
    ///
    /// An exclusively locked file may be given: the lock then lives until this child is dead too, so that a child
    /// that outlives its killed parent cannot meet the next holder of the lock.
    pub input: Option<File>,
}

impl CommandLine {
    /// A command without arguments, in the current directory.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            variables: Vec::new(),
            removed_variables: Vec::new(),
            input: None,
        }
    }

    /// Appends one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Adds a variable for this child only.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Takes variables out of the inherited environment.
    #[must_use]
    pub fn without_variables<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.removed_variables.extend(names.into_iter().map(OsString::from));
        self
    }

    /// Sets standard input; see [`CommandLine::input`].
    #[must_use]
    pub fn input(mut self, file: File) -> Self {
        self.input = Some(file);
        self
    }

    fn program_name(&self) -> String {
        self.program.display().to_string()
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsString> = self.variables.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("CommandLine")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("directory", &self.directory)
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// The last lines that it printed, oldest first.
    pub tail: Vec<String>,
}

impl Finished {
    /// Whether it returned 0.
    pub fn is_success(&self) -> bool {
        self.status.success()
    }
}

/// Why a command has no exit status.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such program.
    #[error("{program} is not installed, or not on PATH")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// It could not be started, or not be read from.
    #[error("cannot run {program}")]
    Run {
        /// As it was asked for.
        program: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The task was stopped while the command ran; the command is dead.
    #[error("{program} was ended because the task was stopped")]
    Stopped {
        /// As it was asked for.
        program: String,
    },
}

/// Runs programs with the environment of a task's preparation.
pub trait CommandRunner: Send + Sync {
    /// Runs a command to its end and hands every line of its output and error output, in order, to `output`.
    fn run(&self, command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError>;

    /// A variable of the environment that children get.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// Whether the task was stopped, so that work should end.
    fn is_stopped(&self) -> bool;

    /// Whether a variable is set and not empty.
    fn has_variable(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !value.is_empty())
    }

    /// Every executable file called `name` on the children's `PATH`, in its order.
    fn find_all(&self, name: &str) -> Vec<PathBuf> {
        let path = self.variable("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .filter(|candidate| is_executable(candidate))
            .collect()
    }

    /// The program that `name` starts.
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.find_all(name).into_iter().next()
    }
}

/// Whether this is a file that may be executed by somebody.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

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
        let mut lines = Lines::new(output);
        let followed = follow(&mut child, reader, &mut lines, &self.stop);
        let finished = followed.and_then(|end| child.wait().map(|status| (end, status)));
        lines.finish();
        match finished {
            Ok((End::Stopped, _)) => Err(CommandError::Stopped { program }),
            Ok((End::Exited, status)) => Ok(Finished { status, tail: lines.tail.into() }),
            Err(source) => {
                signal(&child, Signal::SIGKILL);
                Err(CommandError::Run { program, source })
            }
        }
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.environment.0.iter().rev().find(|(key, _)| key == OsStr::new(name)).map(|(_, value)| value.clone())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

enum End {
    Exited,
    Stopped,
}

/// Reads until the child is dead and has nothing more to say. A process that the child left behind with our pipe
/// (an ssh control master, say) does not keep us.
fn follow(child: &mut Child, mut reader: PipeReader, lines: &mut Lines<'_>, stop: &AtomicBool) -> io::Result<End> {
    let mut buffer = vec![0; 64 * 1024];
    let mut exited_at: Option<Instant> = None;
    let mut stopping = Stopping::default();
    loop {
        if stop.load(Ordering::Relaxed) {
            stopping.advance(child);
        }
        let readable = wait_readable(&reader)?;
        if readable {
            match reader.read(&mut buffer)? {
                0 => break,
                count => lines.push(&buffer[..count]),
            }
        }
        if exited_at.is_none() && (!readable || stopping.has_begun()) && child.try_wait()?.is_some() {
            exited_at = Some(Instant::now());
        }
        let leftover_time_is_over = exited_at.is_some_and(|at| at.elapsed() > LEFTOVER_OUTPUT);
        if exited_at.is_some() && (!readable || leftover_time_is_over) {
            break;
        }
    }
    // A child that closed its output but lives on is still ours to stop.
    while exited_at.is_none() && child.try_wait()?.is_none() {
        if stop.load(Ordering::Relaxed) {
            stopping.advance(child);
        }
        pause(Duration::from_millis(2));
    }
    Ok(if stopping.has_begun() { End::Stopped } else { End::Exited })
}

#[expect(clippy::disallowed_methods, reason = "a child's exit cannot be waited for together with the stop flag")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn wait_readable(reader: &PipeReader) -> io::Result<bool> {
    let mut descriptors = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    match poll(&mut descriptors, PollTimeout::from(STOP_CHECK_MS)) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[derive(Default)]
struct Stopping {
    since: Option<Instant>,
    killed: bool,
}

impl Stopping {
    fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    fn advance(&mut self, child: &Child) {
        match self.since {
            None => {
                self.since = Some(Instant::now());
                signal(child, Signal::SIGTERM);
            }
            Some(since) if !self.killed && since.elapsed() > STOP_GRACE => {
                self.killed = true;
                signal(child, Signal::SIGKILL);
            }
            Some(_) => {}
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Ok(group) = i32::try_from(child.id()) {
        // An error means that the group is gone, which is what was wanted.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

/// Cuts bytes into lines at `\n` and at `\r`, which progress displays use.
struct Lines<'a> {
    partial: Vec<u8>,
    tail: VecDeque<String>,
    output: &'a mut dyn FnMut(&str),
}

impl<'a> Lines<'a> {
    fn new(output: &'a mut dyn FnMut(&str)) -> Self {
        Self { partial: Vec::new(), tail: VecDeque::new(), output }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") || self.partial.len() > MAX_LINE_BYTES {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        let text = String::from_utf8_lossy(&self.partial);
        let line = text.trim_end();
        if !line.is_empty() {
            (self.output)(line);
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(line.to_owned());
        }
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
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
