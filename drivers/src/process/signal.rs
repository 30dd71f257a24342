//! Signals and the end of a process, both safe against a pid that was given out again.

use std::os::fd::OwnedFd;
use std::time::Duration;

use protocols::ids::ProcessId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::identity::is_alive;

pub use rustix::process::Signal;

/// How often a process is looked at where the kernel has no pidfd (before Linux 5.3, and in some sandboxes).
const POLL_WITHOUT_PIDFD: Duration = Duration::from_millis(50);

/// A signal could not be sent, although the process lives.
#[derive(Debug, thiserror::Error)]
#[error("cannot signal process {pid}")]
pub struct SignalError {
    /// The process.
    pub pid: i32,
    /// What the kernel said.
    #[source]
    pub source: std::io::Error,
}

/// What a handle on a process led to.
enum Handle {
    /// It lives; the handle is bound to it and to no later one.
    Open(OwnedFd),
    /// It is dead.
    Gone,
    /// This kernel has no handles.
    Unsupported,
}

/// A pid that is not positive would name a group of processes, or all of them.
fn pid_of(process: ProcessId) -> Option<Pid> {
    (process.pid > 0).then(|| Pid::from_raw(process.pid)).flatten()
}

fn open(process: ProcessId) -> Handle {
    let Some(pid) = pid_of(process) else { return Handle::Gone };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        // The pid may have been given out again before the handle was opened, but not after.
        Ok(handle) if is_alive(process) => Handle::Open(handle),
        Ok(_) => Handle::Gone,
        Err(Errno::SRCH) => Handle::Gone,
        Err(_) if !is_alive(process) => Handle::Gone,
        Err(_) => Handle::Unsupported,
    }
}

/// Sends a signal to that very process. `Ok(false)` where it is dead already.
pub fn signal(process: ProcessId, signal: Signal) -> Result<bool, SignalError> {
    let sent = match open(process) {
        Handle::Gone => return Ok(false),
        Handle::Open(handle) => pidfd_send_signal(&handle, signal),
        Handle::Unsupported => match pid_of(process) {
            Some(pid) => kill_process(pid, signal),
            None => return Ok(false),
        },
    };
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(SignalError { pid: process.pid, source: errno.into() }),
    }
}

/// Waits for the end of a process, which need not be a child of this one. Returns at once where it is dead.
///
/// Takes no exit status away from anybody. Needs a tokio runtime.
pub async fn exited(process: ProcessId) {
    if let Handle::Open(handle) = open(process)
        && let Ok(handle) = watch(handle)
    {
        // Readable means: every thread has ended. An error leads to the poll below.
        let _ = handle.readable().await;
    }
    while is_alive(process) {
        tokio::time::sleep(POLL_WITHOUT_PIDFD).await;
    }
}

#[expect(deprecated, reason = "its successor is an unsafe fn; an OwnedFd upholds what that one asks for")]
fn watch(handle: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(handle, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::process::{process_id, this_process};

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = process_id(i32::try_from(child.id()).unwrap()).unwrap();
        let waiting = tokio::spawn(exited(process));
        assert!(signal(process, Signal::TERM).unwrap());
        waiting.await.unwrap();
        assert!(!is_alive(process));
        child.wait().unwrap();
        exited(process).await;
        assert!(!signal(process, Signal::TERM).unwrap());
    }

    #[test]
    fn a_pid_that_was_given_out_again_is_not_signalled() {
        let own = this_process();
        let earlier = ProcessId { start_time: own.start_time - 1, ..own };
        assert!(!signal(earlier, Signal::KILL).unwrap());
        assert!(!signal(ProcessId { pid: -1, start_time: 0 }, Signal::KILL).unwrap());
    }
}
