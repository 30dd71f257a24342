//! A view of the files of this machine in which one folder cannot be written, by root either.

use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use tracing::debug;

/// Does `work` so that every process that it starts sees `folder` read-only, and so does everything below such a process.
/// What these mount is seen by nobody else; what others mount is seen by them.
///
/// Root alone can have such a view, and root alone needs it: others are kept off by permissions. Where the kernel does
/// not allow it, as in most containers, `work` is done without. It is done on a thread of its own.
pub fn with_read_only<T: Send>(folder: &Path, work: impl FnOnce() -> T + Send) -> T {
    if !nix::unistd::geteuid().is_root() {
        return work();
    }
    std::thread::scope(|scope| {
        let apart = scope.spawn(|| {
            if let Err(error) = make_read_only(folder) {
                debug!(folder = %folder.display(), %error, "cannot be kept from being written by root");
            }
            work()
        });
        apart.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Gives the calling thread a view of its own, for ever.
fn make_read_only(folder: &Path) -> io::Result<()> {
    let none: Option<&Path> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, Path::new("/"), none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none)?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | kept(statvfs(folder)?.flags());
    mount(none, folder, none, flags, none)?;
    Ok(())
}

/// What the mount has already: it is lost where it is not said again, and the kernel may refuse to lose it.
fn kept(flags: FsFlags) -> MsFlags {
    [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ]
    .into_iter()
    .filter(|(is, _)| flags.contains(*is))
    .fold(MsFlags::empty(), |all, (_, keep)| all | keep)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Whether a program can write a file there.
    fn can_write(folder: &Path) -> bool {
        let mut write = Command::new("sh");
        write.args(["-c", "echo more >> file && touch new && rm new"]).current_dir(folder);
        write.output().unwrap().status.success()
    }

    /// Whether this process may have views of its own: root may, unless it is kept from it.
    fn may_have_views() -> bool {
        std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNS).is_ok()).join().unwrap()
    }

    #[test]
    fn what_is_started_cannot_write_and_everybody_else_can() {
        let place = tempfile::tempdir().unwrap();
        let (kept, other) = (place.path().join("kept"), place.path().join("other"));
        for folder in [&kept, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "content\n").unwrap();
        }
        let seen = with_read_only(&kept, || (can_write(&kept), can_write(&other)));
        assert_eq!(seen, (!may_have_views(), true));
        assert!(can_write(&kept), "the view is of the others alone");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(kept.to_str().unwrap()), "nothing is mounted here");
    }

    #[test]
    fn a_folder_that_is_not_there_keeps_nothing_from_being_done() {
        assert!(with_read_only(Path::new("/nonexistent"), || Command::new("true").status().unwrap().success()));
    }
}
