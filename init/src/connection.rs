//! The connection to the executor: frames and descriptors in, frames out, neither ever waited for.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};

use crate::frame::{FrameBuffer, encode};
use crate::vocabulary::{FromInit, ToInit};

/// No request comes with more descriptors, and the kernel passes no more with one message.
const MAX_DESCRIPTORS: usize = 253;
/// How long the last frames may take to get into the kernel.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The connection. Once it is closed, in whatever way, it stays so, and what is said goes nowhere.
pub(crate) struct Connection {
    stream: Option<UnixStream>,
    arrived: FrameBuffer,
    descriptors: VecDeque<OwnedFd>,
    to_send: VecDeque<u8>,
}

impl Connection {
    pub(crate) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: Some(stream),
            arrived: FrameBuffer::default(),
            descriptors: VecDeque::new(),
            to_send: VecDeque::new(),
        })
    }

    /// What to poll, and whether also for writing; `None` once the connection is closed.
    pub(crate) fn polled(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.stream.as_ref().map(|stream| (stream.as_fd(), !self.to_send.is_empty()))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Says something, as soon as the kernel takes it.
    pub(crate) fn say(&mut self, frame: &FromInit) {
        match encode(frame) {
            Ok(bytes) => self.to_send.extend(bytes),
            // A frame that is too large is one that the executor waits for: it must not wait for ever.
            Err(_) => self.stream = None,
        }
        self.flush();
    }

    /// The descriptors of the request that has just been read.
    pub(crate) fn take_descriptors(&mut self, count: usize) -> Option<Vec<OwnedFd>> {
        (self.descriptors.len() >= count).then(|| self.descriptors.drain(..count).collect())
    }

    /// The next request that has arrived whole.
    pub(crate) fn next_request(&mut self) -> Option<ToInit> {
        match self.arrived.next_frame() {
            Ok(frame) => frame,
            Err(_) => {
                self.stream = None;
                None
            }
        }
    }

    /// Reads what has arrived.
    pub(crate) fn receive(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(stream) = &self.stream {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut pieces = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg(stream, &mut pieces, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            match received {
                Ok(message) if message.bytes == 0 => self.stream = None,
                Ok(message) => self.arrived.push(&buffer[..message.bytes]),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.stream = None,
            }
        }
    }

    /// Gives the kernel as much as it takes.
    pub(crate) fn flush(&mut self) {
        while let Some(stream) = &self.stream
            && !self.to_send.is_empty()
        {
            match send(stream, self.to_send.as_slices().0, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.to_send.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.stream = None,
            }
        }
    }

    /// Waits, though not for ever, until the kernel has everything. It delivers after the end of this process, too.
    pub(crate) fn finish(mut self) {
        let Some(stream) = &self.stream else { return };
        // An executor that reads nothing does not keep the container.
        let can_wait = stream.set_nonblocking(false).is_ok() && stream.set_write_timeout(Some(LAST_WORDS)).is_ok();
        if can_wait {
            self.flush();
        }
    }
}
