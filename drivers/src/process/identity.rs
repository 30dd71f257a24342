//! Who a process is, and whether it lives.

use procfs::process::{Process, Stat};
use protocols::ids::ProcessId;

/// This process.
pub fn this_process() -> ProcessId {
    let pid = i32::try_from(std::process::id()).expect("a pid is a positive i32 on Linux");
    process_id(pid).expect("this process is alive, and /proc is mounted")
}

/// The process that has this pid now; `None` where there is none that lives.
pub fn process_id(pid: i32) -> Option<ProcessId> {
    stat(pid).map(|stat| identity(&stat))
}

/// Whether that very process still lives. A zombie does not, nor does a later process with the same pid.
pub fn is_alive(process: ProcessId) -> bool {
    process_id(process.pid) == Some(process)
}

/// A child that nobody has reaped yet, dead or alive.
pub(crate) fn child_id(pid: i32) -> Option<ProcessId> {
    Process::new(pid).ok()?.stat().ok().as_ref().map(identity)
}

pub(super) fn identity(stat: &Stat) -> ProcessId {
    ProcessId { pid: stat.pid, start_time: stat.starttime }
}

/// The state of a living process.
fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).ok()?.stat().ok().filter(lives)
}

/// Whether a process that is in the table still runs something.
///
/// A process whose first thread has left shows up as a zombie while its other threads go on.
pub(super) fn lives(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X' | 'x') || stat.num_threads > 1
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_lives() {
        let process = this_process();
        assert_eq!(process.pid, i32::try_from(std::process::id()).unwrap());
        assert!(is_alive(process));
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_this_one() {
        let process = this_process();
        assert!(!is_alive(ProcessId { start_time: process.start_time + 1, ..process }));
    }

    #[test]
    fn a_zombie_is_dead() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let process = process_id(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(is_alive(process));
        drop(child.stdin.take());
        // Its standard output closes a moment before it becomes a zombie.
        std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_alive(process) {
            assert!(std::time::Instant::now() < deadline, "a zombie is taken for alive");
            std::thread::yield_now();
        }
        assert!(Process::new(process.pid).is_ok(), "it is still in the process table");
        child.wait().unwrap();
    }
}
