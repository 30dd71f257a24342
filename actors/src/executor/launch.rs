//! What is about to be started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use drivers::process::with_read_only;
use drivers::python::store::Lease;
use protocols::order::EnvironmentReport;

use super::container::Running;

/// The user's process, ready to be started.
#[derive(Clone)]
pub(super) struct Launch {
    /// The interpreter, as an absolute path or a name on the `PATH` of `environment`.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// Where it starts.
    pub(super) directory: PathBuf,
    /// All of its environment; may hold secrets.
    pub(super) environment: BTreeMap<OsString, OsString>,
    /// A process of ours that works beside it, and ends with it.
    pub(super) helper: Option<u32>,
    /// A folder that it may read only, though it be root: the environment that it shares with other tasks.
    pub(super) read_only: Option<PathBuf>,
    /// The container that it is started in; all paths are the container's then.
    pub(super) container: Option<Arc<Running>>,
}

impl Launch {
    /// Starts the process: a process group of its own, no standard input, one place for both outputs.
    ///
    /// The child is to be collected with [`drivers::process::reap_children`]. Blocks for fork and exec.
    pub(super) fn start(&self, output: &OwnedFd) -> io::Result<Child> {
        match &self.read_only {
            Some(folder) => with_read_only(folder, || self.start_here(output)),
            None => self.start_here(output),
        }
    }

    fn start_here(&self, output: &OwnedFd) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .process_group(0)
            .spawn()
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Launch")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("directory", &self.directory)
            .field("environment", &self.environment.keys())
            .finish()
    }
}

/// The result of a preparation.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What to start.
    pub(super) launch: Launch,
    /// What was found out on the way.
    pub(super) report: EnvironmentReport,
    /// Keeps the environment where it is; the user's process has it too.
    pub(super) lease: Option<Lease>,
}
