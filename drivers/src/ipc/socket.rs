//! Listening and dialling.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use protocols::ipc::{DaemonFrame, ExecutorFrame};
use tokio::net::{UnixListener, UnixStream};

use super::frames::{FrameReader, FrameWriter, frames};

/// The longest path that fits into `sockaddr_un` with its closing NUL, in bytes.
const MAX_PATH_BYTES: usize = 107;

/// Why a socket, or a connection over it, does not work.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The kernel takes no socket path of this length.
    #[error("the socket path {} is {length} bytes long, and the limit is {MAX_PATH_BYTES}; choose a shorter state directory", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// There is something at the path, and it is not a socket.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another process listens there.
    #[error("another process listens on {}", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The socket's folder cannot be made, or not be closed to other users.
    #[error("cannot prepare the folder of the socket {}", path.display())]
    Folder {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The socket cannot be opened.
    #[error("cannot listen on {}", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {}", path.display())]
    Dial {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The listening socket is broken.
    #[error("cannot accept a connection")]
    Accept {
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The caller belongs to another user.
    #[error("a connection from uid {uid} was refused")]
    ForeignPeer {
        /// The caller's user.
        uid: u32,
    },
    /// The connection broke while a frame was awaited, or the frame is larger than is allowed.
    #[error("cannot receive a frame")]
    Receive {
        /// What the kernel or the codec said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke while a frame was sent, or the frame is larger than is allowed.
    #[error("cannot send a frame")]
    Send {
        /// What the kernel or the codec said.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not a frame that is known here.
    #[error("cannot understand a frame")]
    Decode {
        /// What is wrong with them.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// A value that MessagePack cannot hold.
    #[error("cannot encode a frame")]
    Encode {
        /// What is wrong with it.
        #[source]
        source: rmp_serde::encode::Error,
    },
}

impl IpcError {
    /// Whether trying again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dial { .. } | Self::Accept { .. } | Self::Receive { .. } | Self::Send { .. } => true,
            Self::PathTooLong { .. }
            | Self::NotASocket { .. }
            | Self::InUse { .. }
            | Self::Folder { .. }
            | Self::Bind { .. }
            | Self::ForeignPeer { .. }
            | Self::Decode { .. }
            | Self::Encode { .. } => false,
        }
    }
}

/// Listens at `path`, in a folder that only this user can enter (it is made, or closed, as needed).
///
/// A socket that a dead process left behind is replaced; one that still answers is [`IpcError::InUse`]. Needs a
/// tokio runtime.
pub fn bind(path: &Path) -> Result<UnixListener, IpcError> {
    check_length(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    close_folder(folder).map_err(|source| IpcError::Folder { path: path.to_owned(), source })?;
    remove_stale(path)?;
    let listener = UnixListener::bind(path).map_err(|source| IpcError::Bind { path: path.to_owned(), source })?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
        .map_err(|source| IpcError::Bind { path: path.to_owned(), source })?;
    Ok(listener)
}

/// Takes the next connection. A caller of another user is turned away with [`IpcError::ForeignPeer`]; the
/// listener can be used on after it.
pub async fn accept(
    listener: &UnixListener,
) -> Result<(FrameReader<ExecutorFrame>, FrameWriter<DaemonFrame>), IpcError> {
    let (stream, _) = listener.accept().await.map_err(|source| IpcError::Accept { source })?;
    let peer = stream.peer_cred().map_err(|source| IpcError::Accept { source })?;
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        return Err(IpcError::ForeignPeer { uid: peer.uid() });
    }
    Ok(frames(stream))
}

/// Connects to the daemon that listens at `path`.
pub async fn dial(path: &Path) -> Result<(FrameReader<DaemonFrame>, FrameWriter<ExecutorFrame>), IpcError> {
    check_length(path)?;
    let stream = UnixStream::connect(path).await.map_err(|source| IpcError::Dial { path: path.to_owned(), source })?;
    Ok(frames(stream))
}

fn check_length(path: &Path) -> Result<(), IpcError> {
    let length = path.as_os_str().len();
    if length > MAX_PATH_BYTES {
        return Err(IpcError::PathTooLong { path: path.to_owned(), length });
    }
    Ok(())
}

fn close_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700))
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), IpcError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(IpcError::Bind { path: path.to_owned(), source }),
    };
    if !metadata.file_type().is_socket() {
        return Err(IpcError::NotASocket { path: path.to_owned() });
    }
    // A full backlog also means that somebody is there; only a refusal says that nobody is.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Ok(_) | Err(_) => return Err(IpcError::InUse { path: path.to_owned() }),
    }
    std::fs::remove_file(path).map_err(|source| IpcError::Bind { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use protocols::ids::{AttemptId, ProcessId};
    use protocols::ipc::{ExecutorFact, PROTOCOL_VERSION};
    use protocols::lifecycle::{Exit, StopReason};
    use protocols::order::Ended;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn hello() -> ExecutorFrame {
        ExecutorFrame::Hello {
            protocol: PROTOCOL_VERSION,
            task: "t".into(),
            pull: 4,
            attempt: AttemptId::FIRST,
            token: "secret".into(),
            process: ProcessId { pid: 7, start_time: 8 },
        }
    }

    #[tokio::test]
    async fn frames_arrive_whole_and_in_order_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/daemon.sock");
        let listener = bind(&path).unwrap();
        let upwards = [
            hello(),
            ExecutorFrame::Fact { number: 1, fact: ExecutorFact::Ended(Ended::Exited(Exit::Signal(9))) },
            ExecutorFrame::Console { length: 1 << 40, at_ms: -1 },
        ];
        let downwards = DaemonFrame::Stop { reason: StopReason::UserAbort, grace_ms: 10_000 };
        let (accepted, dialled) = tokio::join!(accept(&listener), dial(&path));
        let (mut from_executor, mut to_executor) = accepted.unwrap();
        let (mut from_daemon, mut to_daemon) = dialled.unwrap();
        for frame in &upwards {
            to_daemon.send(frame).await.unwrap();
        }
        to_executor.send(&downwards).await.unwrap();
        for frame in upwards {
            assert_eq!(from_executor.next().await.unwrap(), Some(frame));
        }
        assert_eq!(from_daemon.next().await.unwrap(), Some(downwards));
        drop((from_daemon, to_daemon));
        assert_eq!(from_executor.next().await.unwrap(), None);
    }

    /// The layout on the wire is frozen: a daemon and an executor of different versions meet over it.
    #[tokio::test]
    async fn the_bytes_on_the_wire_are_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = bind(&path).unwrap();
        let (accepted, raw) = tokio::join!(accept(&listener), UnixStream::connect(&path));
        let (mut reader, mut writer) = accepted.unwrap();
        let mut raw = raw.unwrap();
        writer.send(&DaemonFrame::Welcome { acknowledged: 3 }).await.unwrap();
        let expected = b"\x00\x00\x00\x18\x81\xa7welcome\x81\xacacknowledged\x03";
        let mut bytes = vec![0; expected.len()];
        raw.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, expected);
        raw.write_all(b"\x00\x00\x00\x19\x81\xa7console\x82\xa6length\x05\xa5at_ms\x07").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(ExecutorFrame::Console { length: 5, at_ms: 7 }));
    }

    #[tokio::test]
    async fn a_stranger_that_speaks_something_else_is_an_error_and_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = bind(&path).unwrap();
        for (bytes, too_large) in [(&b"\x00\x00\x00\x02hi"[..], false), (&b"GET / HTTP/1.1\r\n\r\n"[..], true)] {
            let (accepted, raw) = tokio::join!(accept(&listener), UnixStream::connect(&path));
            raw.unwrap().write_all(bytes).await.unwrap();
            let error = accepted.unwrap().0.next().await.unwrap_err();
            assert_eq!(matches!(error, IpcError::Receive { .. }), too_large, "{error}");
            assert_eq!(matches!(error, IpcError::Decode { .. }), !too_large, "{error}");
        }
    }

    #[tokio::test]
    async fn the_folder_is_closed_and_a_stale_socket_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/s");
        drop(bind(&path).unwrap());
        assert!(path.exists(), "a dropped listener leaves its file behind");
        let second = bind(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        assert!(matches!(bind(&path), Err(IpcError::InUse { .. })));
        drop(second);
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert!(matches!(bind(&file), Err(IpcError::NotASocket { .. })));
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
        let long = folder.path().join("x".repeat(200));
        assert!(matches!(bind(&long), Err(IpcError::PathTooLong { .. })));
        assert!(matches!(dial(&long).await, Err(IpcError::PathTooLong { .. })));
        let error = dial(&folder.path().join("nobody")).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
}
