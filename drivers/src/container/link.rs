//! The executor's end of the link: a socket in a mounted folder, and what is said over it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, getsockopt, sendmsg, sockopt};
use protocols::container::frame::{FrameBuffer, FrameError, encode};
use protocols::container::init::{
    FromInit, Hello, LINK_VERSION, Probe, Program, RequestId, SOCKET_NAME, SystemText, ToInit,
};
use tracing::debug;

/// How often it is looked whether anybody still waits for the container.
const GIVE_UP_CHECK_MS: u8 = 20;
/// How long the init may take to take in a frame. It reads at once, unless the container is frozen.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer may take that needs no program to run.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long giving files away may take: there may be millions, on a network file system.
const OWN_TIMEOUT: Duration = Duration::from_secs(3600);

/// Why there is no link, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket cannot be opened.
    #[error("cannot listen in {}", folder.display())]
    Bind {
        /// The folder.
        folder: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The init did not come in time.
    #[error("the init of the container did not connect within {} s", waited.as_secs())]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// Nobody waits for the container any more.
    #[error("the wait for the init of the container was given up")]
    GivenUp,
    /// The connection cannot be taken.
    #[error("cannot take the connection of the container's init")]
    Accept {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Something else than our init.
    #[error("what connected is not the init of this version: {why}")]
    Stranger {
        /// What it did.
        why: String,
    },
    /// The container is gone, or its init.
    #[error("the container is gone")]
    Closed,
    /// A request that cannot be sent.
    #[error("cannot send a request to the container's init")]
    Request {
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// The init says nothing.
    #[error("the container's init did not answer within {} s", waited.as_secs())]
    Silent {
        /// How long was waited.
        waited: Duration,
    },
}

/// The socket that an init is awaited on. It goes away with this value.
#[derive(Debug)]
pub struct InitSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl InitSocket {
    /// Listens in `folder`, which is to be mounted into the container; it is made where it is missing.
    ///
    /// The image's user may be anybody, so that everybody may connect who gets there: what protects the socket is a
    /// folder above this one that others cannot enter.
    pub fn bind(folder: &Path) -> Result<Self, LinkError> {
        bind(folder).map_err(|source| LinkError::Bind { folder: folder.to_owned(), source })
    }

    /// Waits for the init, at most for `patience`, and only as long as `is_given_up` says no. The socket is removed.
    pub fn accept(self, patience: Duration, is_given_up: &dyn Fn() -> bool) -> Result<InitLink, LinkError> {
        self.greet(patience, is_given_up)?.open()
    }

    /// As [`InitSocket::accept`], for somebody who will not ask the init for anything.
    pub(super) fn greet(self, patience: Duration, is_given_up: &dyn Fn() -> bool) -> Result<Greeting, LinkError> {
        let deadline = Instant::now() + patience;
        let wait = |descriptor: BorrowedFd<'_>| loop {
            if readable(descriptor).map_err(|source| LinkError::Accept { source })? {
                return Ok(());
            }
            if is_given_up() {
                return Err(LinkError::GivenUp);
            }
            if Instant::now() >= deadline {
                return Err(LinkError::TimedOut { waited: patience });
            }
        };
        wait(self.listener.as_fd())?;
        let (stream, _) = self.listener.accept().map_err(|source| LinkError::Accept { source })?;
        Greeting::receive(stream, wait)
    }
}

impl Drop for InitSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind(folder: &Path) -> io::Result<InitSocket> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
    let path = folder.join(SOCKET_NAME);
    if path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
        std::fs::remove_file(&path)?;
    }
    // Whatever the length of the folder's path: the kernel takes 107 bytes.
    let open = File::open(folder)?;
    let short = format!("/proc/self/fd/{}/{SOCKET_NAME}", open.as_raw_fd());
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666))?;
    Ok(InitSocket { listener, path })
}

pub(super) fn readable(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = [PollFd::new(descriptor, PollFlags::POLLIN)];
    match poll(&mut polled, PollTimeout::from(GIVE_UP_CHECK_MS)) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The descriptors that a program gets; they may be closed here as soon as it has been asked for.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors<'a> {
    /// Standard input; it reads nothing where absent.
    pub input: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub output: BorrowedFd<'a>,
    /// Error output.
    pub errors: BorrowedFd<'a>,
}

/// What became of files that were to be given away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// How many changed hands.
    pub changed: u64,
    /// The first one that could not be given, and why.
    pub error: Option<String>,
}

/// The link to the init of a container. Clones share it; when the last one goes before the main program was started,
/// the container ends.
#[derive(Clone, Debug)]
pub struct InitLink(Arc<Link>);

#[derive(Debug)]
struct Link {
    hello: Hello,
    stream: Mutex<UnixStream>,
    next_id: AtomicU64,
    asked: Arc<Mutex<Waiting>>,
}

/// Who waits for answers; `None` once there will be none.
type Waiting = Option<HashMap<RequestId, Sender<FromInit>>>;

/// A request that was sent, and its answers.
#[derive(Debug)]
pub struct Asked {
    id: RequestId,
    answers: Receiver<FromInit>,
}

impl Asked {
    /// Its number; that of the program where one was to be run.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The next answer; `None` where there is none within `patience`. [`LinkError::Closed`] after the last one.
    pub fn next(&self, patience: Duration) -> Result<Option<FromInit>, LinkError> {
        match self.answers.recv_timeout(patience) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(LinkError::Closed),
        }
    }

    /// The next answer, however long it takes.
    pub fn wait(&self) -> Result<FromInit, LinkError> {
        self.answers.recv().map_err(|_| LinkError::Closed)
    }

    fn one(&self, patience: Duration) -> Result<FromInit, LinkError> {
        self.next(patience)?.ok_or(LinkError::Silent { waited: patience })
    }
}

/// An init that has said who it is, and was asked for nothing.
#[derive(Debug)]
pub(super) struct Greeting {
    stream: UnixStream,
    hello: Hello,
    buffer: FrameBuffer,
}

impl Greeting {
    fn receive(
        mut stream: UnixStream,
        wait: impl Fn(BorrowedFd<'_>) -> Result<(), LinkError>,
    ) -> Result<Self, LinkError> {
        let failed = |source| LinkError::Accept { source };
        let mut buffer = FrameBuffer::default();
        loop {
            wait(stream.as_fd())?;
            if !receive(&mut stream, &mut buffer).map_err(failed)? {
                return Err(LinkError::Closed);
            }
            let stranger = |why: String| LinkError::Stranger { why };
            match buffer.next_frame::<FromInit>().map_err(|error| stranger(error.to_string()))? {
                Some(FromInit::Hello(hello)) if hello.version == LINK_VERSION => {
                    return Ok(Self { stream, hello, buffer });
                }
                Some(FromInit::Hello(hello)) => return Err(stranger(format!("it speaks version {}", hello.version))),
                Some(other) => return Err(stranger(format!("it said {other:?}"))),
                None => {}
            }
        }
    }

    /// Who it is.
    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The connection.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn open(self) -> Result<InitLink, LinkError> {
        let Self { stream, hello, buffer } = self;
        let failed = |source| LinkError::Accept { source };
        let asked = Arc::new(Mutex::new(Some(HashMap::new())));
        let reader = stream.try_clone().map_err(failed)?;
        stream.set_write_timeout(Some(SEND_TIMEOUT)).map_err(failed)?;
        let waiting = Arc::clone(&asked);
        std::thread::Builder::new()
            .name("container-link".to_owned())
            .spawn(move || deliver(reader, buffer, &waiting))
            .map_err(failed)?;
        Ok(InitLink(Arc::new(Link { hello, stream: Mutex::new(stream), next_id: AtomicU64::new(1), asked })))
    }
}

impl InitLink {
    /// The link of an init that somebody else has greeted, and asked for nothing.
    pub(super) fn resume(stream: UnixStream, hello: Hello) -> Result<Self, LinkError> {
        Greeting { stream, hello, buffer: FrameBuffer::default() }.open()
    }

    /// Who the init is.
    pub fn hello(&self) -> &Hello {
        &self.0.hello
    }

    /// Who it is on this machine, by user and group: what the kernel noted when it connected. In a user namespace it has
    /// other numbers, which are those of its hello.
    pub fn host_user(&self) -> io::Result<(u32, u32)> {
        let stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = getsockopt(&*stream, sockopt::PeerCredentials)?;
        Ok((peer.uid(), peer.gid()))
    }

    /// Whether the container is gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.0.asked).is_none()
    }

    /// Closes the connection, as the end of this process would: a container whose main program was not started ends;
    /// another one goes on and can be asked nothing any more.
    pub fn close(&self) {
        self.0.close();
    }

    /// Starts a program. Its answers are `Started` and `Ended`, or `NotStarted`; the main program's may have
    /// `Leftovers` in between. [`Program::has_input`] is set from the descriptors.
    pub fn run(&self, mut program: Program, descriptors: Descriptors<'_>) -> Result<Asked, LinkError> {
        program.has_input = descriptors.input.is_some();
        let all = descriptors.input.into_iter().chain([descriptors.output, descriptors.errors]);
        let raw: Vec<RawFd> = all.map(|descriptor| descriptor.as_raw_fd()).collect();
        self.ask(&raw, |id| ToInit::Run { id, program })
    }

    /// Sends a signal to a program and its process group.
    pub fn signal(&self, id: RequestId, signal: i32) -> Result<(), LinkError> {
        self.send(&ToInit::Signal { id, signal }, &[])
    }

    /// Ends everything in the container, and the container: SIGTERM, grace, SIGKILL.
    pub fn stop(&self, grace: Duration) -> Result<(), LinkError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.send(&ToInit::Stop { grace_ms }, &[])
    }

    /// Looks at what the image has; interpreters are searched on `path` first.
    pub fn probe(&self, path: impl Into<SystemText>) -> Result<Probe, LinkError> {
        let path = path.into();
        let answer = self.ask(&[], |id| ToInit::Probe { id, path })?.one(LOOK_TIMEOUT)?;
        let FromInit::Probed { probe, .. } = answer else { return Err(unexpected(&answer)) };
        Ok(*probe)
    }

    /// Every executable file of this name on `path`; an absolute name is its own only candidate.
    pub fn find(&self, name: impl Into<SystemText>, path: impl Into<SystemText>) -> Result<Vec<PathBuf>, LinkError> {
        let (name, path) = (name.into(), path.into());
        let answer = self.ask(&[], |id| ToInit::Find { id, name, path })?.one(LOOK_TIMEOUT)?;
        let FromInit::Found { paths, .. } = answer else { return Err(unexpected(&answer)) };
        Ok(paths.into_iter().map(SystemText::into_path).collect())
    }

    /// Makes a symbolic link in the container, where nothing is yet; `Some` says why it was not made.
    pub fn link(
        &self,
        path: impl Into<SystemText>,
        target: impl Into<SystemText>,
    ) -> Result<Option<String>, LinkError> {
        let (path, target) = (path.into(), target.into());
        let answer = self.ask(&[], |id| ToInit::Link { id, path, target })?.one(LOOK_TIMEOUT)?;
        let FromInit::Linked { error, .. } = answer else { return Err(unexpected(&answer)) };
        Ok(error)
    }

    /// Gives these paths, and all below them, to a user of the host, now.
    pub fn own(&self, paths: &[PathBuf], uid: u32, gid: u32) -> Result<Ownership, LinkError> {
        let answer = self.ask_own(paths, (uid, gid), false)?.one(OWN_TIMEOUT)?;
        let FromInit::Owned { changed, error, .. } = answer else { return Err(unexpected(&answer)) };
        Ok(Ownership { changed, error })
    }

    /// As [`Self::own`], when everything has ended and before that is reported. The answer is `Owned`.
    pub fn own_at_end(&self, paths: &[PathBuf], uid: u32, gid: u32) -> Result<Asked, LinkError> {
        self.ask_own(paths, (uid, gid), true)
    }

    fn ask_own(&self, paths: &[PathBuf], (uid, gid): (u32, u32), at_end: bool) -> Result<Asked, LinkError> {
        let paths = paths.iter().map(SystemText::from).collect();
        self.ask(&[], |id| ToInit::Own { id, paths, uid, gid, at_end })
    }

    fn ask(&self, descriptors: &[RawFd], request: impl FnOnce(RequestId) -> ToInit) -> Result<Asked, LinkError> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answers) = channel();
        lock(&self.0.asked).as_mut().ok_or(LinkError::Closed)?.insert(id, answer);
        self.send(&request(id), descriptors)?;
        Ok(Asked { id, answers })
    }

    /// One frame after the other, each whole; the descriptors with the first byte of theirs.
    fn send(&self, frame: &ToInit, descriptors: &[RawFd]) -> Result<(), LinkError> {
        let bytes = encode(frame).map_err(|source| LinkError::Request { source })?;
        let mut stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner);
        send_all(&mut stream, &bytes, descriptors).map_err(|error| {
            debug!(%error, "request to a container's init not sent");
            // Half a frame, perhaps: nothing that is said after it would be understood.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            LinkError::Closed
        })
    }
}

impl Link {
    /// The thread that reads has a handle of its own: only a shutdown ends it.
    fn close(&self) {
        let _ = self.stream.lock().unwrap_or_else(PoisonError::into_inner).shutdown(std::net::Shutdown::Both);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

fn send_all(stream: &mut UnixStream, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    let sent = loop {
        let pieces = [IoSlice::new(bytes)];
        match sendmsg::<()>(stream.as_raw_fd(), &pieces, control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    stream.write_all(&bytes[sent..])
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unexpected(answer: &FromInit) -> LinkError {
    LinkError::Stranger { why: format!("it answered {answer:?}") }
}

/// Reads once. False where the peer is gone.
fn receive(stream: &mut UnixStream, buffer: &mut FrameBuffer) -> io::Result<bool> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(count) => {
                buffer.push(&bytes[..count]);
                return Ok(count > 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It ended with requests unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Hands each answer to who asked, until the init is gone; then nobody waits any more.
fn deliver(mut stream: UnixStream, mut buffer: FrameBuffer, waiting: &Mutex<Waiting>) {
    loop {
        match buffer.next_frame::<FromInit>() {
            Ok(Some(answer)) => hand_over(answer, waiting),
            Ok(None) => match receive(&mut stream, &mut buffer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    debug!(%error, "link to a container's init broken");
                    break;
                }
            },
            Err(error) => {
                debug!(%error, "a container's init is not understood");
                break;
            }
        }
    }
    *lock(waiting) = None;
}

fn hand_over(answer: FromInit, waiting: &Mutex<Waiting>) {
    let Some(id) = answer.request() else { return };
    let is_last = answer.is_last();
    if let Some(waiting) = lock(waiting).as_mut() {
        // Whoever asked may have left.
        if let Some(asked) = waiting.get(&id) {
            let _ = asked.send(answer);
        }
        if is_last {
            waiting.remove(&id);
        }
    }
}
