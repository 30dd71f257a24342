//! Programs of a preparation, run inside a container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use protocols::container::init::{FromInit, Program, User};
use protocols::exit::Exit;
use tracing::debug;

use super::link::{Asked, Descriptors, InitLink, LinkError};
use crate::command::{CommandError, CommandLine, CommandRunner, Finished, Followed, follow};

/// Runs programs in a container with a given environment, as [`SystemCommands`](crate::command::SystemCommands) does
/// on the machine itself; programs are searched in the container.
pub struct ContainerCommands {
    link: InitLink,
    environment: BTreeMap<OsString, OsString>,
    user: Option<User>,
    umask: Option<u32>,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for ContainerCommands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ContainerCommands")
            .field("link", &self.link)
            .field("environment", &format_args!("{} variables", self.environment.len()))
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl ContainerCommands {
    /// Programs get exactly `environment`; they are ended soon after `stop` becomes true.
    pub fn new(
        link: InitLink,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { link, environment: environment.into_iter().collect(), user: None, umask: None, stop }
    }

    /// Runs programs as this user of the container, instead of as the init's own.
    #[must_use]
    pub fn with_user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// Sets what programs may not give away of files that they make.
    #[must_use]
    pub fn with_umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    fn program(&self, command: &CommandLine) -> Program {
        let mut environment = self.environment.clone();
        for removed in &command.removed_variables {
            environment.remove(removed);
        }
        environment.extend(command.variables.iter().cloned());
        Program {
            program: command.program.clone().into(),
            arguments: command.arguments.iter().map(Into::into).collect(),
            directory: command.directory.clone().map(Into::into),
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            user: self.user.clone(),
            umask: self.umask,
            ..Program::default()
        }
    }

    fn found(&self, name: &std::ffi::OsStr, path: OsString) -> Vec<PathBuf> {
        self.link.find(name, path).unwrap_or_else(|error| {
            // Whoever runs a program next is told.
            debug!(%error, ?name, "container not searched");
            Vec::new()
        })
    }
}

impl CommandRunner for ContainerCommands {
    fn run(&self, command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
        let name = command.program_name();
        if self.is_stopped() {
            return Err(CommandError::Stopped { program: name });
        }
        let failed = |source: io::Error| CommandError::Run { program: name.clone(), source };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let descriptors = Descriptors {
            input: command.input.as_ref().map(AsFd::as_fd),
            output: writer.as_fd(),
            errors: writer.as_fd(),
        };
        let asked = self.link.run(self.program(&command), descriptors).map_err(|error| failed(lost(error)))?;
        drop(writer);
        let answer = asked.wait().map_err(|error| failed(lost(error)))?;
        if let FromInit::NotStarted { error, is_missing, .. } = answer {
            let is_sought = command.program.components().count() == 1;
            return Err(match is_missing && is_sought {
                true => CommandError::NotFound { program: name },
                false => failed(io::Error::new(io::ErrorKind::InvalidInput, error)),
            });
        }
        // The lock of an input is the program's from now on; ours goes with the command.
        drop(command);
        let mut child = Child { link: self.link.clone(), asked };
        follow(name, &mut child, reader, &|| self.is_stopped(), output)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.environment.get(std::ffi::OsStr::new(name)).cloned()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn find_all(&self, name: &str) -> Vec<PathBuf> {
        self.found(name.as_ref(), self.variable("PATH").unwrap_or_default())
    }

    fn is_executable(&self, path: &Path) -> bool {
        path.is_absolute() && !self.found(path.as_os_str(), OsString::new()).is_empty()
    }
}

/// A program in the container.
struct Child {
    link: InitLink,
    asked: Asked,
}

impl Followed for Child {
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        loop {
            match self.asked.next(Duration::ZERO).map_err(lost)? {
                None => return Ok(None),
                Some(FromInit::Ended { exit, .. }) => return Ok(Some(status_of(exit))),
                Some(_) => {}
            }
        }
    }

    fn signal(&mut self, signal: Signal) {
        // An error means that the container is gone, and the program with it.
        let _ = self.link.signal(self.asked.id(), signal as i32);
    }
}

fn lost(error: LinkError) -> io::Error {
    io::Error::other(error)
}

fn status_of(exit: Exit) -> ExitStatus {
    ExitStatus::from_raw(match exit {
        Exit::Code(code) => (code & 0xff) << 8,
        Exit::Signal(signal) => signal & 0x7f,
    })
}
