//! Pipes for the output of programs.

use std::fs::{File, Permissions};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;

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

/// Waits until there is something to read, the end included. False where the wait was interrupted.
pub fn wait_readable(reader: &PipeReader) -> bool {
    !look(reader, PollTimeout::NONE).is_empty()
}

/// Whether there are bytes to read now. The end is none.
pub fn has_bytes(reader: &PipeReader) -> bool {
    look(reader, PollTimeout::ZERO).contains(PollFlags::POLLIN)
}

fn look(reader: &PipeReader, timeout: PollTimeout) -> PollFlags {
    let mut looked = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    match poll(&mut looked, timeout) {
        Ok(_) => looked[0].revents().unwrap_or(PollFlags::empty()),
        Err(_) => PollFlags::empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_end_is_readable_and_has_no_bytes() {
        let (mut reader, writer) = for_output(1 << 16).unwrap();
        assert!(!has_bytes(&reader));
        let mut writer = File::from(writer);
        io::Write::write_all(&mut writer, b"ab").unwrap();
        drop(writer);
        assert!(has_bytes(&reader) && wait_readable(&reader));
        reader.read_exact(&mut [0; 2]).unwrap();
        assert!(!has_bytes(&reader) && wait_readable(&reader));
    }
}
