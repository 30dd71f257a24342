//! Collecting dead children, those that came back to this process as their subreaper among them.

use protocols::lifecycle::Exit;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

/// A child that has been collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// The pid that it had; it may be given out again from now on.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
}

/// Collects every child of this process that has ended, without waiting.
///
/// It takes the exit status of *every* child, also of those that somebody else waits for: only for a process
/// that starts no other children while it uses this.
pub fn reap_children() -> Vec<Reaped> {
    let mut reaped = Vec::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = exit_of(status) {
                    reaped.push(Reaped { pid: pid.as_raw_pid(), exit });
                }
            }
            Err(Errno::INTR) => {}
            // None has ended, or there is none at all.
            Ok(None) | Err(_) => return reaped,
        }
    }
}

/// `None` for a child that was only stopped, or goes on.
fn exit_of(status: WaitStatus) -> Option<Exit> {
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
}
