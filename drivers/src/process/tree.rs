//! The processes below this one.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use procfs::process::{Process, Stat};
use protocols::ids::ProcessId;
use tracing::warn;

use super::identity::{identity, lives};
use super::reap::{Reaped, reap_children};
use super::signal::{Signal, signal};

/// Pause between two looks at processes that have been killed and not yet gone.
const KILL_INTERVAL: Duration = Duration::from_millis(2);

/// Makes this process the leader of a session of its own: no terminal, no signal of the old session reaches it.
///
/// An error where it leads a process group already; it is then out of its parent's group anyway.
pub fn become_session_leader() -> std::io::Result<()> {
    nix::unistd::setsid().map(drop).map_err(Into::into)
}

/// Makes orphaned descendants of this process its children, so that none of them gets out of sight by forking
/// twice or by changing its session.
pub fn become_subreaper() -> std::io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(Into::into)
}

/// The living processes below `pid`, parents before their children.
pub fn descendants(pid: i32) -> Vec<ProcessId> {
    let table = living(|_, _| {});
    below(&table, HashSet::from([pid]))
}

/// Kills every process below this one, again and again until none is left, and collects the dead.
///
/// Gives up after `patience`: a process that the kernel cannot end (state D) is returned in the second list.
/// Blocks. As [`reap_children`], only for a process that starts no other children meanwhile.
pub fn kill_descendants(patience: Duration) -> (Vec<Reaped>, Vec<ProcessId>) {
    let deadline = Instant::now() + patience;
    let mut reaped = reap_children();
    loop {
        let left = descendants(own_pid());
        if left.is_empty() || Instant::now() >= deadline {
            reaped.extend(reap_children());
            return (reaped, left);
        }
        for process in left {
            if let Err(error) = signal(process, Signal::KILL) {
                warn!(%error, "process not killed");
            }
        }
        pause();
        reaped.extend(reap_children());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a blocking loop on a thread made for blocking; no event tells the end of all"
)]
pub(super) fn pause() {
    std::thread::sleep(KILL_INTERVAL);
}

pub(super) fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a pid is a positive i32 on Linux")
}

/// The living processes of this machine; each is shown to `look` while it is open.
pub(super) fn living(mut look: impl FnMut(&Process, &Stat)) -> Vec<Stat> {
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    all.filter_map(|process| {
        // A process may end at any time while it is looked at.
        let process = process.ok()?;
        let stat = process.stat().ok().filter(lives)?;
        look(&process, &stat);
        Some(stat)
    })
    .collect()
}

/// The processes of `table` that have one of `roots` as an ancestor, nearest first; the roots are not among them.
pub(super) fn below(table: &[Stat], roots: HashSet<i32>) -> Vec<ProcessId> {
    let mut children: HashMap<i32, Vec<&Stat>> = HashMap::new();
    for stat in table {
        children.entry(stat.ppid).or_default().push(stat);
    }
    let mut seen = roots.clone();
    let mut queue: Vec<i32> = roots.into_iter().collect();
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(&parent) = queue.get(next) {
        next += 1;
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child.pid) {
                queue.push(child.pid);
                found.push(identity(child));
            }
        }
    }
    found
}
