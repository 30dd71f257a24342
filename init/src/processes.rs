//! All the other processes of the container: collecting the dead, signalling the living.

use std::collections::{BTreeMap, BTreeSet};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, set_child_subreaper, wait};

use crate::exit::Exit;

/// A dead child that has been collected.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) exit: Exit,
}

/// Who "all the others" are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// This is PID 1: everybody that it sees is of the container, and ends with it.
    Everybody,
    /// The container shares its processes with others: only what this process has started counts.
    Descendants,
}

impl Others {
    /// Makes sure that whoever loses its parent becomes a child of this process.
    pub(crate) fn take_charge() -> Self {
        if rustix::process::getpid().is_init() {
            return Self::Everybody;
        }
        // Where the kernel does not know this, orphans leave and are ended by the engine.
        let _ = set_child_subreaper(Some(rustix::process::getpid()));
        Self::Descendants
    }

    /// Sends a signal to each of them. `known` are the groups of programs that were started, for a container in
    /// which nobody can be seen.
    pub(crate) fn signal(self, signal: Signal, known: impl Iterator<Item = i32>) {
        match self {
            // The kernel spares the caller.
            Self::Everybody => {
                let _ = kill(Pid::from_raw(-1), signal);
            }
            Self::Descendants => match descendants() {
                Some(all) => {
                    for pid in all {
                        let _ = kill(Pid::from_raw(pid), signal);
                    }
                }
                None => known.for_each(|group| signal_group(group, signal)),
            },
        }
    }

    /// How many of them live, where that can be told.
    pub(crate) fn count(self) -> Option<u32> {
        let count = match self {
            // Those that came in through the engine are nobody's children here.
            Self::Everybody => living()?.len().checked_sub(1)?,
            Self::Descendants => descendants()?.len(),
        };
        u32::try_from(count).ok()
    }
}

/// Sends a signal to a process group; an error means that it is gone.
pub(crate) fn signal_group(group: i32, signal: Signal) {
    if group > 1 {
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

/// Collects the dead. The second value says whether there are children left.
pub(crate) fn reap() -> (Vec<Reaped>, bool) {
    let mut reaped = Vec::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = exit_of(status) {
                    reaped.push(Reaped { pid: pid.as_raw_pid(), exit });
                }
            }
            Ok(None) => return (reaped, true),
            Err(Errno::INTR) => {}
            Err(_) => return (reaped, false),
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Parents of the living, by pid; `None` where there is no `/proc`.
fn living() -> Option<BTreeMap<i32, i32>> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat"));
        if let Some(parent) = stat.ok().as_deref().and_then(parent_in) {
            parents.insert(pid, parent);
        }
    }
    (!parents.is_empty()).then_some(parents)
}

/// The parent in a line of `/proc/PID/stat`; `None` for a zombie. The name, in brackets, may hold anything.
fn parent_in(stat: &str) -> Option<i32> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // The first thread of a living process may have left: field 20 is how many there are.
    let threads: u32 = fields.nth(15)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x") || threads > 1).then_some(parent)
}

fn descendants() -> Option<BTreeSet<i32>> {
    let parents = living()?;
    let own = rustix::process::getpid().as_raw_pid();
    let mut found = BTreeSet::new();
    let mut queue = vec![own];
    while let Some(parent) = queue.pop() {
        for (pid, _) in parents.iter().filter(|(pid, above)| **above == parent && **pid != own) {
            if found.insert(*pid) {
                queue.push(*pid);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_stands_behind_any_name() {
        let rest = "7 7 7 0 -1 4194304 94 0 0 0 0 0 0 0 20 0 1 0 123";
        assert_eq!(parent_in(&format!("12 (a) b) S {rest}")), Some(7));
        assert_eq!(parent_in(&format!("12 (sh) Z {rest}")), None);
        assert_eq!(parent_in(&format!("12 (sh) Z {}", rest.replace(" 1 0 123", " 3 0 123"))), Some(7));
        assert_eq!(parent_in("12 (sh"), None);
    }

    #[test]
    fn this_process_has_a_parent_that_lives() {
        let own = rustix::process::getpid().as_raw_pid();
        let parent = living().unwrap()[&own];
        assert_eq!(u32::try_from(parent).unwrap(), std::os::unix::process::parent_id());
    }
}
