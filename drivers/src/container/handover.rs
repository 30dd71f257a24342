//! How a container goes from the process that has kept it to the one that has a task for it: its link, as an open
//! descriptor, and what is known of it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use protocols::container::frame::{FrameBuffer, encode};
use protocols::container::init::Hello;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::link::Greeting;
use super::run_folder::RunFolder;

/// Says that the container is somebody's.
const TAKEN: &[u8] = b"\n";
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// What is said of the container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Handed {
    pub(super) container: String,
    pub(super) folder: PathBuf,
    pub(super) hello: Hello,
}

impl Handed {
    pub(super) fn new(container: &str, folder: &RunFolder, greeting: &Greeting) -> Self {
        Self { container: container.to_owned(), folder: folder.path().to_owned(), hello: greeting.hello().clone() }
    }
}

/// Gives it to whoever has connected. An error means that it was not wanted, or not understood.
pub(super) fn give(
    listener: &UnixListener,
    handed: &Handed,
    link: BorrowedFd<'_>,
    patience: Duration,
) -> io::Result<()> {
    let (mut taker, _) = listener.accept()?;
    taker.set_read_timeout(Some(patience))?;
    let bytes = encode(handed).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [link];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(&taker, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    taker.write_all(&bytes[sent..])?;
    taker.read_exact(&mut [0; TAKEN.len()])
}

/// Asks the process that listens at `name` in a folder. It keeps the container until it hears [`accept`].
pub(super) fn receive(folder: &File, name: &str, patience: Duration) -> io::Result<(UnixStream, Handed, UnixStream)> {
    // Whatever the length of the folder's path: the kernel takes 107 bytes.
    let giver = UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    giver.set_read_timeout(Some(patience))?;
    let mut bytes = vec![0; PIECE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(&giver, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let link = control.drain().find_map(|message| {
        let RecvAncillaryMessage::ScmRights(mut descriptors) = message else { return None };
        descriptors.next()
    });
    let count = received.bytes;
    let mut buffer = FrameBuffer::default();
    buffer.push(&bytes[..count]);
    loop {
        if let Some(handed) = buffer.next_frame::<Handed>().map_err(io::Error::other)? {
            let link = link.ok_or_else(|| io::Error::other("the link is missing"))?;
            return Ok((giver, handed, UnixStream::from(link)));
        }
        match (&giver).read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer.push(&bytes[..count]),
        }
    }
}

/// Says that the container is ours now.
pub(super) fn accept(giver: &mut UnixStream) -> io::Result<()> {
    giver.write_all(TAKEN)
}
