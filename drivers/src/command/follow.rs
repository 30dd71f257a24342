//! Following a child program: its output as lines, its end, and its end before its time.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::{CommandError, Finished};

/// How many of the last output lines [`Finished::tail`] keeps.
const TAIL_LINES: usize = 200;
/// A line longer than this, in bytes, is cut into several.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// How often the stop flag is looked at while a child is silent, in milliseconds.
const STOP_CHECK_MS: u8 = 50;
/// Time between SIGTERM and SIGKILL for a child that is stopped.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long output is still read from processes that a finished child left behind.
const LEFTOVER_OUTPUT: Duration = Duration::from_secs(1);

/// A child program, wherever it runs.
pub(crate) trait Followed {
    /// How it ended, if it has.
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>>;

    /// Sends a signal to it and its process group.
    fn signal(&mut self, signal: Signal);
}

/// Reads what the child prints and hands it to `output` line by line, until it is dead and has nothing more to say.
/// Ends it once the task is stopped.
pub(crate) fn follow(
    program: String,
    child: &mut dyn Followed,
    reader: PipeReader,
    is_stopped: &dyn Fn() -> bool,
    output: &mut dyn FnMut(&str),
) -> Result<Finished, CommandError> {
    let mut lines = Lines::new(output);
    let followed = read_to_end(child, reader, &mut lines, is_stopped);
    lines.finish();
    match followed {
        Ok((End::Stopped, _)) => Err(CommandError::Stopped { program }),
        Ok((End::Exited, status)) => Ok(Finished { status, tail: lines.tail.into() }),
        Err(source) => {
            child.signal(Signal::SIGKILL);
            Err(CommandError::Run { program, source })
        }
    }
}

enum End {
    Exited,
    Stopped,
}

/// A process that the child left behind with our pipe (an ssh control master, say) does not keep us.
fn read_to_end(
    child: &mut dyn Followed,
    mut reader: PipeReader,
    lines: &mut Lines<'_>,
    is_stopped: &dyn Fn() -> bool,
) -> io::Result<(End, ExitStatus)> {
    let mut buffer = vec![0; 64 * 1024];
    let mut exited: Option<(ExitStatus, Instant)> = None;
    let mut stopping = Stopping::default();
    loop {
        if is_stopped() {
            stopping.advance(child);
        }
        let readable = wait_readable(&reader)?;
        if readable {
            match reader.read(&mut buffer)? {
                0 => break,
                count => lines.push(&buffer[..count]),
            }
        }
        if exited.is_none() && (!readable || stopping.has_begun()) {
            exited = child.try_wait()?.map(|status| (status, Instant::now()));
            // It may have said something between the two looks.
            continue;
        }
        let leftover_time_is_over = exited.is_some_and(|(_, at)| at.elapsed() > LEFTOVER_OUTPUT);
        if exited.is_some() && (!readable || leftover_time_is_over) {
            break;
        }
    }
    // A child that closed its output but lives on is still ours to stop.
    let mut status = exited.map(|(status, _)| status);
    let status = loop {
        match status {
            Some(status) => break status,
            None => status = child.try_wait()?,
        }
        if status.is_none() {
            if is_stopped() {
                stopping.advance(child);
            }
            pause(Duration::from_millis(2));
        }
    };
    Ok((if stopping.has_begun() { End::Stopped } else { End::Exited }, status))
}

#[expect(clippy::disallowed_methods, reason = "a child's exit cannot be waited for together with the stop flag")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn wait_readable(reader: &PipeReader) -> io::Result<bool> {
    let mut descriptors = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    match poll(&mut descriptors, PollTimeout::from(STOP_CHECK_MS)) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[derive(Default)]
struct Stopping {
    since: Option<Instant>,
    killed: bool,
}

impl Stopping {
    fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    fn advance(&mut self, child: &mut dyn Followed) {
        match self.since {
            None => {
                self.since = Some(Instant::now());
                child.signal(Signal::SIGTERM);
            }
            Some(since) if !self.killed && since.elapsed() > STOP_GRACE => {
                self.killed = true;
                child.signal(Signal::SIGKILL);
            }
            Some(_) => {}
        }
    }
}

/// Cuts bytes into lines at `\n` and at `\r`, which progress displays use.
struct Lines<'a> {
    partial: Vec<u8>,
    tail: VecDeque<String>,
    output: &'a mut dyn FnMut(&str),
}

impl<'a> Lines<'a> {
    fn new(output: &'a mut dyn FnMut(&str)) -> Self {
        Self { partial: Vec::new(), tail: VecDeque::new(), output }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") || self.partial.len() > MAX_LINE_BYTES {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        let text = String::from_utf8_lossy(&self.partial);
        let line = text.trim_end();
        if !line.is_empty() {
            (self.output)(line);
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(line.to_owned());
        }
        self.partial.clear();
    }
}
