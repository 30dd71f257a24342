//! Ending what a dead executor left behind.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

use procfs::process::Process;
use protocols::ids::ProcessId;
use protocols::order::MARK_VARIABLE;
use tracing::warn;

use super::identity::identity;
use super::signal::{Signal, signal};
use super::tree::{below, living, own_pid, pause};

/// How long a fence goes on before it reports what it cannot end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a [`fence`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FenceReport {
    /// How many processes were killed.
    pub killed: usize,
    /// What still lives: processes that the kernel cannot end now (state D), or may not be signalled.
    pub left: Vec<ProcessId>,
}

impl FenceReport {
    /// Whether nothing of the attempt lives any more.
    pub fn is_clear(&self) -> bool {
        self.left.is_empty()
    }
}

/// Kills every process of this user that carries `mark` in [`MARK_VARIABLE`], and everything below such a
/// process, again and again until none is left. Never this process itself.
///
/// Blocks, a few milliseconds as a rule, ten seconds at most.
pub fn fence(mark: &str) -> FenceReport {
    fence_within(mark, PATIENCE)
}

/// The mark of the attempt that a process belongs to; `None` for one that is none of ours, or of another user.
pub fn attempt_of(pid: u32) -> Option<String> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let mark = process.environ().ok()?.remove(OsStr::new(MARK_VARIABLE))?;
    mark.into_string().ok()
}

fn fence_within(mark: &str, patience: Duration) -> FenceReport {
    let deadline = Instant::now() + patience;
    let mut killed = HashSet::new();
    // A process whose parent was killed belongs to somebody else in the next round: it stays known.
    let mut known = HashSet::new();
    let mut was_clear = false;
    loop {
        let left = members(mark, &mut known);
        // In the middle of an `execve` a process shows no environment: once seen clear is not clear yet.
        if (left.is_empty() && was_clear) || Instant::now() >= deadline {
            return FenceReport { killed: killed.difference(&left.iter().copied().collect()).count(), left };
        }
        was_clear = left.is_empty();
        for process in &left {
            match signal(*process, Signal::KILL) {
                Ok(_) => {
                    killed.insert(*process);
                }
                Err(error) => warn!(%error, "process of a dead attempt not killed"),
            }
        }
        pause();
    }
}

/// The living processes of the attempt. `known` gathers all that were ever found.
fn members(mark: &str, known: &mut HashSet<ProcessId>) -> Vec<ProcessId> {
    let own = own_pid();
    let uid = nix::unistd::geteuid().as_raw();
    let mut marked = HashSet::new();
    let table = living(|process, stat| {
        let is_ours = || process.uid().is_ok_and(|owner| uid == 0 || owner == uid);
        if stat.pid != own && (known.contains(&identity(stat)) || (is_ours() && carries(process, mark))) {
            marked.insert(stat.pid);
        }
    });
    let mut members: Vec<ProcessId> = table.iter().filter(|stat| marked.contains(&stat.pid)).map(identity).collect();
    members.extend(below(&table, marked).into_iter().filter(|process| process.pid != own));
    known.extend(members.iter().copied());
    members
}

fn carries(process: &Process, mark: &str) -> bool {
    // The environment of another user's process, or of one that has just ended, cannot be read.
    process
        .environ()
        .is_ok_and(|pairs| pairs.get(OsStr::new(MARK_VARIABLE)).is_some_and(|value| value == OsStr::new(mark)))
}
