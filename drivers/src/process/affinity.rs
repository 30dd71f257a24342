//! Which processors a process may use.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread, and what it starts from now on.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The processors that the calling thread may use.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(THIS_THREAD)?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Keeps the calling thread, and all that it starts from now on, to these processors, as far as it may use them
/// already. Where it may use none of them nothing changes. Gives those that it may use now.
pub fn keep_to_cpus(cpus: &[usize]) -> io::Result<Vec<usize>> {
    let allowed = allowed_cpus()?;
    let kept: Vec<usize> = allowed.iter().copied().filter(|cpu| cpus.contains(cpu)).collect();
    if kept.is_empty() || kept.len() == allowed.len() {
        return Ok(allowed);
    }
    let mut set = CpuSet::new();
    for cpu in &kept {
        set.set(*cpu)?;
    }
    sched_setaffinity(THIS_THREAD, &set)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_stays_so() {
        // A thread of its own: what is given up does not come back.
        let thread = std::thread::spawn(|| {
            let all = allowed_cpus().unwrap();
            let last = *all.last().unwrap();
            assert_eq!(keep_to_cpus(&[]).unwrap(), all);
            assert_eq!(keep_to_cpus(&[CpuSet::count() + 7]).unwrap(), all, "a processor that is not there");
            assert_eq!(keep_to_cpus(&[last, CpuSet::count() + 7]).unwrap(), [last]);
            assert_eq!(allowed_cpus().unwrap(), [last]);
            assert_eq!(keep_to_cpus(&all).unwrap(), [last]);
        });
        thread.join().unwrap();
    }
}
