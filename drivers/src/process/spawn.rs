//! Starting executors.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::memfd::MFdFlags;
use protocols::ids::ProcessId;
use protocols::order::MARK_VARIABLE;
use tokio::process::Command;
use tracing::debug;

use super::identity::child_id;

/// Why an executor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its log file cannot be opened.
    #[error("cannot open the executor's log {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// It was started, and cannot be looked at: there is no usable `/proc`.
    #[error("{} was started, but /proc does not show it", program.display())]
    Unseen {
        /// The program.
        program: PathBuf,
    },
}

/// Starts an executor: `input` on its standard input, in memory and in no file; standard output and error appended to `log_file` (mode 0600), the
/// environment inherited, with [`MARK_VARIABLE`] set to `mark` so that [`fence`](super::fence()) finds it too.
///
/// It goes on when this process ends; while this process lives it is reaped in the background, so that no zombie
/// stays. Needs a tokio runtime. Blocks for as long as fork and exec take.
pub fn spawn_executor<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    mark: &str,
    input: &[u8],
    log_file: &Path,
) -> Result<ProcessId, SpawnError> {
    let log_error = |source| SpawnError::Log { path: log_file.to_owned(), source };
    let start_error = |source| SpawnError::Start { program: program.to_owned(), source };
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log_file).map_err(log_error)?;
    let errors = log.try_clone().map_err(log_error)?;
    let mut child = Command::new(program)
        .args(args)
        .env(MARK_VARIABLE, mark)
        .stdin(in_memory(input).map_err(start_error)?)
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(start_error)?;
    // Its identity is read before anybody can reap it: until then the pid cannot be given out again.
    let process = child.id().and_then(|pid| child_id(i32::try_from(pid).ok()?));
    tokio::spawn(async move {
        match child.wait().await {
            Ok(status) => debug!(pid = process.map(|process| process.pid), %status, "executor ended"),
            Err(error) => debug!(pid = process.map(|process| process.pid), %error, "executor cannot be awaited"),
        }
    });
    process.ok_or_else(|| SpawnError::Unseen { program: program.to_owned() })
}

/// What the kernel shows for the input of an executor.
const IN_MEMORY: &str = "hostler-input";

/// A file that has no name and lies on no disk, ready to be read from its beginning.
fn in_memory(bytes: &[u8]) -> std::io::Result<Stdio> {
    let mut file: File = nix::sys::memfd::memfd_create(IN_MEMORY, MFdFlags::MFD_CLOEXEC)?.into();
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Takes what [`spawn_executor`] put on this process's standard input, and leaves nothing there for others to read.
/// Empty where standard input is something else, as in a terminal.
pub fn take_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let is_ours = std::fs::read_link("/proc/self/fd/0").is_ok_and(|name| name.to_string_lossy().contains(IN_MEMORY));
    if is_ours {
        let mut file: File = std::io::stdin().as_fd().try_clone_to_owned()?.into();
        file.read_to_end(&mut bytes)?;
        file.set_len(0)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use procfs::process::Process;

    use super::*;
    use crate::process::exited;

    #[tokio::test]
    async fn an_executor_is_logged_and_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("executor.log");
        let script = "echo out; echo $HOSTLER_ATTEMPT >&2; cat";
        let process = spawn_executor(Path::new("/bin/sh"), ["-c", script], "t.1.1", b"in\n", &log).unwrap();
        exited(process).await;
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nt.1.1\nin\n");
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while Process::new(process.pid).is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "a zombie stayed");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = spawn_executor::<&str>(&missing, [], "m", b"", &folder.path().join("log")).unwrap_err();
        assert!(matches!(&error, SpawnError::Start { program, .. } if *program == missing), "{error}");
    }
}
