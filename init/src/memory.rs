//! How often the kernel has killed something of this container for want of memory.

/// The count of the container's own control group, second or first version; `None` where it is not to be seen.
pub(crate) fn oom_kills() -> Option<u64> {
    const FILES: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
    FILES.iter().find_map(|file| count_in(&std::fs::read_to_string(file).ok()?))
}

fn count_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        assert_eq!(count_in("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(count_in("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
        assert_eq!(count_in("oom_kill_disable 0\n"), None);
    }
}
