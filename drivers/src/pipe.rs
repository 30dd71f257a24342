//! Pipes for the output of programs.

use std::fs::{File, Permissions};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that holds `capacity` bytes, or fewer where this user may not have so many. Programs of other users, too, may
/// open its end for writing once more, as `/dev/stdout`.
pub fn for_output(capacity: usize) -> io::Result<(PipeReader, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(i32::try_from(capacity).unwrap_or(i32::MAX)));
    let writer = File::from(OwnedFd::from(writer));
    writer.set_permissions(Permissions::from_mode(0o666))?;
    Ok((reader, writer.into()))
}

/// Whether there is something to read, the end included, after this time at most; without a time, however long it takes.
pub fn is_readable(reader: &PipeReader, within: Option<Duration>) -> bool {
    let timeout = within.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    let mut looked = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    poll(&mut looked, timeout).is_ok_and(|count| count > 0)
}
