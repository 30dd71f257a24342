//! Work that gives way to everybody else's.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::command::is_executable;

/// What a command is put behind so that it, and all that it starts, gets processors and disks only when nobody else
/// wants them. Of two programs that replace themselves by the next one: the process stays the same.
const WRAPPERS: [(&str, &[&str]); 2] = [("nice", &["-n", "19"]), ("ionice", &["-c", "3"])];

/// The command that runs `program` so, as far as this machine has the means: without `ionice` the kernel takes the
/// place among those who wait for a disk from the niceness. `path` is the search path for these.
pub fn giving_way(
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
    path: &OsStr,
) -> (PathBuf, Vec<OsString>) {
    let mut words: Vec<OsString> = Vec::new();
    for (name, options) in WRAPPERS {
        let candidates = std::env::split_paths(path).map(|folder| folder.join(name));
        if let Some(found) =
            candidates.into_iter().find(|candidate| candidate.is_absolute() && is_executable(candidate))
        {
            words.push(found.into());
            words.extend(options.iter().map(OsString::from));
        }
    }
    words.push(program.into());
    words.extend(arguments);
    let program = words.remove(0);
    (program.into(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_and_what_it_starts_is_nice() {
        let path = std::env::var_os("PATH").unwrap();
        let script = "sh -c 'cut -d\" \" -f19 /proc/self/stat'";
        let (program, arguments) = giving_way(Path::new("/bin/sh"), ["-c".into(), script.into()], &path);
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        let own: i32 = own.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", (own + 19).min(19)));
    }

    #[test]
    fn without_the_means_it_runs_all_the_same() {
        let (program, arguments) = giving_way(Path::new("/bin/echo"), ["a".into()], OsStr::new("/nowhere"));
        assert_eq!((program, arguments), ("/bin/echo".into(), vec!["a".into()]));
    }
}
