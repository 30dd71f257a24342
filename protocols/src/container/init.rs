//! The executor on the host and PID 1 of its container: what they say to each other over a mounted unix socket.
//!
//! The executor listens, the init connects as its first act and says [`FromInit::Hello`]. From then on the executor
//! asks and the init answers; every answer carries the number of what was asked. How it travels is said in `frame.rs`; the
//! descriptors that a program is to have come with the first byte of its [`ToInit::Run`]. Both programs are of one
//! build, so that versions never mix.
//!
//! The init compiles this file in (`init/src/main.rs`): it uses nothing of this crate but [`Exit`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::exit::Exit;

/// The version spoken here.
pub const LINK_VERSION: u16 = 1;
/// Where the init is mounted in a container.
pub const INIT_PATH: &str = "/.hostler/init";
/// As its only argument: it prints its environment, each variable ended by a NUL, and nothing else.
pub const TELLS_ENVIRONMENT: &str = "--environment";
/// Where the folder with the socket is mounted in a container.
pub const LINK_FOLDER: &str = "/.hostler/link";
/// Name of the socket in that folder.
pub const SOCKET_NAME: &str = "socket";
/// The first argument of an init that, with all that it starts, gets processors only when nobody else wants them.
pub const GIVES_WAY: &str = "--gives-way";
/// What the init returns when there is no executor for it, before any program of the task ran.
pub const NO_EXECUTOR_CODE: u8 = 125;

/// Number of a request; every answer to it carries the same.
pub type RequestId = u64;

/// Downwards: what the executor wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToInit {
    /// Start a program. Its descriptors come along: standard input where the program has one, then output, then
    /// error output. Answered by `Started` and later `Ended`, or by `NotStarted`.
    Run {
        /// Number of the request, and of the program from now on.
        id: RequestId,
        /// What to start.
        program: Program,
    },
    /// Send a signal to a program's process group; nothing happens when it has ended. Not answered.
    Signal {
        /// The program.
        id: RequestId,
        /// The signal's number.
        signal: i32,
    },
    /// End everything: SIGTERM, grace, SIGKILL. A second one may shorten the grace and never lengthens it. The
    /// init ends when nothing else is left.
    Stop {
        /// Time between the two signals, in milliseconds.
        grace_ms: u64,
    },
    /// Give what lies below these paths, and the paths themselves, to a user. Follows no symbolic link, enters no
    /// other mount. Answered by `Owned`.
    Own {
        /// Number of the request.
        id: RequestId,
        /// What to give.
        paths: Vec<SystemText>,
        /// To whom.
        uid: u32,
        /// And to which group.
        gid: u32,
        /// Not now but when the main program and all others have ended, before that is reported.
        at_end: bool,
    },
    /// Look at what the image has. Starts no program. Answered by `Probed`.
    Probe {
        /// Number of the request.
        id: RequestId,
        /// Where Python interpreters are searched first: a `PATH`.
        path: SystemText,
    },
    /// Every executable file of this name in the folders of `path`, in its order. Answered by `Found`.
    Find {
        /// Number of the request.
        id: RequestId,
        /// A name without a slash, or an absolute path, which is then the only candidate.
        name: SystemText,
        /// The folders, as in `PATH`; relative ones do not count.
        path: SystemText,
    },
    /// Make a symbolic link, where nothing is yet. Answered by `Linked`.
    Link {
        /// Number of the request.
        id: RequestId,
        /// Where.
        path: SystemText,
        /// What it leads to.
        target: SystemText,
    },
}

/// Upwards: what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromInit {
    /// The first frame.
    Hello(Hello),
    /// The program runs.
    Started {
        /// The program.
        id: RequestId,
        /// Its pid as the container sees it.
        pid: i32,
    },
    /// The program cannot be started.
    NotStarted {
        /// The program.
        id: RequestId,
        /// Why, in words that name the thing.
        error: String,
        /// Whether it is the program itself that is not there.
        is_missing: bool,
    },
    /// The main program has ended and left others behind, which are being ended now.
    Leftovers {
        /// The main program.
        id: RequestId,
        /// How many there are, where that can be told.
        count: Option<u32>,
    },
    /// The program has ended. For the main program: nothing else is alive in the container, and the init itself
    /// ends the same way.
    Ended {
        /// The program.
        id: RequestId,
        /// How.
        exit: Exit,
        /// How many processes of the container the kernel killed for want of memory while this one ran; 0 also
        /// where the container does not show it.
        oom_kills: u64,
        /// The signal by which somebody outside told the container to end (`docker stop`, the end of its engine), and
        /// which was passed on to the main program; `None` where nobody did.
        #[serde(default)]
        told: Option<i32>,
    },
    /// Answer to `Own`.
    Owned {
        /// The request.
        id: RequestId,
        /// How many files and folders changed hands.
        changed: u64,
        /// The first one that could not be given, and why.
        error: Option<String>,
    },
    /// Answer to `Probe`.
    Probed {
        /// The request.
        id: RequestId,
        /// What there is.
        probe: Box<Probe>,
    },
    /// Answer to `Find`.
    Found {
        /// The request.
        id: RequestId,
        /// Absolute paths.
        paths: Vec<SystemText>,
    },
    /// Answer to `Link`.
    Linked {
        /// The request.
        id: RequestId,
        /// Why it was not made.
        error: Option<String>,
    },
}

impl FromInit {
    /// Which request this answers; `None` for the greeting.
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::Hello(_) => None,
            Self::Started { id, .. }
            | Self::NotStarted { id, .. }
            | Self::Leftovers { id, .. }
            | Self::Ended { id, .. }
            | Self::Owned { id, .. }
            | Self::Probed { id, .. }
            | Self::Found { id, .. }
            | Self::Linked { id, .. } => Some(*id),
        }
    }

    /// Whether nothing more is said about its request.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Hello(_) | Self::Started { .. } | Self::Leftovers { .. } => false,
            Self::NotStarted { .. }
            | Self::Ended { .. }
            | Self::Owned { .. }
            | Self::Probed { .. }
            | Self::Found { .. }
            | Self::Linked { .. } => true,
        }
    }
}

/// Who the init is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`LINK_VERSION`] of the init.
    pub version: u16,
    /// Its pid; something other than 1 where the container shares its processes with others.
    pub pid: i32,
    /// The user that it runs as.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Name of the container.
    pub host_name: String,
    /// Its working directory: the image's, or the one that was asked for.
    pub directory: SystemText,
    /// What the engine gave it: the image's variables, those asked for, `HOME`, `HOSTNAME`. May hold secrets.
    pub environment: Vec<(SystemText, SystemText)>,
}

impl fmt::Debug for Hello {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hello")
            .field("version", &self.version)
            .field("pid", &self.pid)
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .field("host_name", &self.host_name)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// A program to start.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// A path, or a name that is looked up on the `PATH` of `environment`.
    pub program: SystemText,
    /// Its arguments.
    pub arguments: Vec<SystemText>,
    /// Where it starts; where the init runs, if absent.
    pub directory: Option<SystemText>,
    /// All of its environment. May hold secrets.
    pub environment: Vec<(SystemText, SystemText)>,
    /// The user that it runs as; the init's own where absent.
    pub user: Option<User>,
    /// What it may not give away of files that it makes.
    pub umask: Option<u32>,
    /// How much sooner than others the kernel kills it for want of memory, -1000 to 1000.
    pub oom_score: Option<i32>,
    /// The task itself: when it ends, everything else in the container is ended too. There is one.
    pub is_main: bool,
    /// Whether a descriptor for its standard input comes along; it reads nothing otherwise.
    pub has_input: bool,
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&SystemText> = self.environment.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("Program")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("directory", &self.directory)
            .field("environment", &names)
            .field("user", &self.user)
            .field("is_main", &self.is_main)
            .finish_non_exhaustive()
    }
}

/// A user of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Further groups; none but these.
    pub groups: Vec<u32>,
}

/// What an image has, found by looking at its files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The shells that there are, of `/bin/sh` and `bash`.
    pub shells: Vec<SystemText>,
    /// Everything that is called `python3`, `python` or `python3.N`, in the order of a search: the `PATH` given,
    /// then the usual places. No path twice; symbolic links as they are.
    pub pythons: Vec<SystemText>,
    /// Everything that is called `micromamba`, `mamba` or `conda`, in the order of a search as before. No path twice.
    pub condas: Vec<SystemText>,
    /// The C library that programs of the image are linked with; `None` where there is none.
    pub libc: Option<Libc>,
    /// The entry of `/etc/passwd` for the init's own user.
    pub user: Option<PasswdEntry>,
    /// Names of the package managers that there are, of `apt-get`, `apk`, `dnf`, `yum`, `zypper`, `pacman`.
    pub package_managers: Vec<String>,
    /// `ID` of `/etc/os-release`.
    pub system: Option<String>,
    /// `VERSION_ID` of `/etc/os-release`.
    pub system_version: Option<String>,
    /// Whether nothing can be written to the root of the file system.
    pub is_read_only: bool,
    /// Whether there is a usable `/proc`.
    pub has_proc: bool,
}

/// A C library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libc {
    /// Whose.
    pub flavour: LibcFlavour,
    /// Such as `2.36`; `None` where the files do not say.
    pub version: Option<String>,
}

/// Whose C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibcFlavour {
    /// GNU's.
    Glibc,
    /// musl, as in Alpine.
    Musl,
}

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswdEntry {
    /// The user's name.
    pub name: String,
    /// The home directory.
    pub home: SystemText,
}

/// Text of the operating system (a path, an argument, a variable), which need not be UTF-8.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemText(pub OsString);

impl SystemText {
    /// As a path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// As a path of one's own.
    pub fn into_path(self) -> PathBuf {
        self.0.into()
    }
}

impl fmt::Debug for SystemText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl AsRef<OsStr> for SystemText {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl<T: Into<OsString>> From<T> for SystemText {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Serialize for SystemText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

impl<'de> Deserialize<'de> for SystemText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = SystemText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<SystemText, E> {
                Ok(SystemText(OsString::from_vec(bytes.to_vec())))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<SystemText, E> {
                Ok(SystemText(OsString::from_vec(bytes)))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FrameBuffer, FrameError, MAX_FRAME_BYTES, encode};
    use super::*;

    #[test]
    fn the_bytes_on_the_wire_are_these() {
        assert_eq!(encode(&ToInit::Stop { grace_ms: 7 }).unwrap(), b"\0\0\0\x11\x81\xa4stop\x81\xa8grace_ms\x07");
        let find = ToInit::Find { id: 1, name: "sh".into(), path: OsString::from_vec(vec![b'/', 0xff]).into() };
        assert_eq!(
            encode(&find).unwrap(),
            b"\0\0\0\x1d\x81\xa4find\x83\xa2id\x01\xa4name\xc4\x02sh\xa4path\xc4\x02/\xff"
        );
        assert_eq!(
            encode(&FromInit::Ended { id: 2, exit: Exit::Signal(9), oom_kills: 1, told: None }).unwrap(),
            b"\0\0\0\x2b\x81\xa5ended\x84\xa2id\x02\xa4exit\x81\xa6signal\x09\xa9oom_kills\x01\xa4told\xc0"
        );
    }

    #[test]
    fn frames_come_whole_from_any_pieces() {
        let program = Program {
            program: "python3".into(),
            environment: vec![("A".into(), OsString::from_vec(vec![0xff, 0xfe]).into())],
            user: Some(User { uid: 1, gid: 2, groups: vec![3] }),
            ..Program::default()
        };
        let frames = [
            ToInit::Run { id: 1, program },
            ToInit::Signal { id: 1, signal: 2 },
            ToInit::Own { id: 3, paths: vec!["/x".into()], uid: 4, gid: 5, at_end: true },
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| encode(frame).unwrap()).collect();
        for size in [1, 3, 7, bytes.len()] {
            let mut buffer = FrameBuffer::default();
            let mut arrived = Vec::new();
            for piece in bytes.chunks(size) {
                buffer.push(piece);
                while let Some(frame) = buffer.next_frame::<ToInit>().unwrap() {
                    arrived.push(frame);
                }
            }
            assert_eq!(arrived, frames);
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let mut buffer = FrameBuffer::default();
        buffer.push(b"GET / HTTP/1.1");
        assert!(matches!(buffer.next_frame::<ToInit>(), Err(FrameError::TooLarge { .. })));
        let mut buffer = FrameBuffer::default();
        buffer.push(b"\0\0\0\x02hi");
        assert!(matches!(buffer.next_frame::<ToInit>(), Err(FrameError::Decode(_))));
        let large = ToInit::Find { id: 1, name: "x".repeat(MAX_FRAME_BYTES).into(), path: "".into() };
        assert!(matches!(encode(&large), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn no_value_of_a_variable_is_shown() {
        let environment = vec![("TOKEN".into(), "hunter2".into())];
        let program = Program { environment: environment.clone(), ..Program::default() };
        let hello =
            Hello { version: 1, pid: 1, uid: 0, gid: 0, host_name: String::new(), directory: "/".into(), environment };
        let text = format!("{program:?} {hello:?}");
        assert!(text.contains("TOKEN") && !text.contains("hunter2"), "{text}");
    }
}
