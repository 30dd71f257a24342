//! What the programs of a task print into: a pipe, whose other end is copied into the console file.
//!
//! Not the file itself: `echo oops > /dev/stderr` opens once more what is there, and would truncate it.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use drivers::pipe;
use tracing::warn;

use super::console::Console;

/// What a program may be ahead, in bytes.
const CAPACITY: usize = 1 << 20;
/// Bytes that are copied at once.
const CHUNK: usize = 1 << 16;
/// Pause before a full disk is tried again; whoever prints waits meanwhile.
const FULL_PAUSE: Duration = Duration::from_millis(200);
/// How long what was printed by programs that have ended may take to reach the file.
const SETTLING: Duration = Duration::from_secs(5);
/// Pause between two looks at that.
const LOOK: Duration = Duration::from_millis(1);

/// The copying of one pipe. It ends with the last process that has the pipe.
#[derive(Debug)]
pub(super) struct Copying {
    reader: Arc<PipeReader>,
    /// Held from before bytes leave the pipe until they are in the file.
    busy: Arc<Mutex<()>>,
}

/// A pipe for a program that is about to be started.
pub(super) fn open(console: &Console) -> io::Result<(OwnedFd, Copying)> {
    let (reader, writer) = pipe::for_output(CAPACITY)?;
    let (reader, busy) = (Arc::new(reader), Arc::default());
    let copying = Copying { reader: Arc::clone(&reader), busy: Arc::clone(&busy) };
    let console = console.another()?;
    std::thread::Builder::new().name("console".to_owned()).spawn(move || copy(&reader, &busy, &console))?;
    Ok((writer, copying))
}

impl Copying {
    /// Waits until what was printed before is in the file, unless that takes too long, as on a disk that is full.
    pub(super) fn settle(&self) {
        let deadline = Instant::now() + SETTLING;
        while !self.is_settled() && Instant::now() < deadline {
            pause(LOOK);
        }
    }

    fn is_settled(&self) -> bool {
        match self.busy.try_lock() {
            Ok(_held) => !pipe::has_bytes(&self.reader),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        }
    }
}

fn copy(reader: &PipeReader, busy: &Mutex<()>, console: &Console) {
    let mut buffer = vec![0; CHUNK];
    loop {
        if !pipe::wait_readable(reader) {
            continue;
        }
        let Ok(_held) = busy.lock() else { return };
        match (&*reader).read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => keep(&buffer[..count], console),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                warn!(%error, "what the task prints cannot be read any more");
                return;
            }
        }
    }
}

/// Waits while there is no room on the disk. What cannot be written for another reason is lost.
fn keep(mut bytes: &[u8], console: &Console) {
    use io::ErrorKind::{Interrupted, QuotaExceeded, StorageFull};
    while !bytes.is_empty() {
        match console.append(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == Interrupted => {}
            Err(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => pause(FULL_PAUSE),
            Err(error) => {
                warn!(%error, "what the task printed is not written");
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "on threads made for blocking")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn printed(script: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console");
        let console = Console::open(&path).unwrap();
        console.line("before");
        let (writer, copying) = open(&console).unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).stdout(Stdio::from(writer.try_clone().unwrap())).stderr(Stdio::from(writer));
        let mut child = shell.spawn().unwrap();
        drop(shell);
        child.wait().unwrap();
        copying.settle();
        assert!(copying.is_settled(), "it was not waited for in vain");
        console.line("after");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn nothing_is_lost_by_who_opens_it_again() {
        let script = "echo 1; echo 2 > /dev/stderr; echo 3 > /dev/stdout; echo 4 >> /dev/stderr; echo 5";
        assert_eq!(printed(script), "before\n1\n2\n3\n4\n5\nafter\n");
    }

    #[test]
    fn what_was_printed_comes_before_what_is_said_next() {
        let printed = printed("sleep 5 & seq 200000");
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!((lines.len(), lines[1], lines[200_000], lines[200_001]), (200_002, "1", "200000", "after"));
    }
}
