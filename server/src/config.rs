//! What the server is started with, and why it may not start.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::store::OpenError;
use crate::tls::TlsFiles;

/// Name of the queue that is made when none is asked for.
const DEFAULT_QUEUE: &str = "default";

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Directory of everything that the server keeps; made if it is missing.
    pub data_dir: PathBuf,
    /// Address to listen on.
    pub listen: IpAddr,
    /// Port of the API; 0 takes a free one.
    pub api_port: u16,
    /// Port that a browser is pointed at; 0 takes a free one.
    pub web_port: u16,
    /// Port of uploads and downloads; 0 takes a free one.
    pub files_port: u16,
    /// Certificate and key; plain HTTP without them.
    pub tls: Option<TlsFiles>,
    /// Name, or address, by which clients know this machine; without it the address that is listened on, or the name
    /// that the certificate is for.
    pub public_name: Option<String>,
    /// Queues that are made at the start if they do not exist; the first is the default queue if there is none.
    pub queues: Vec<String>,
    /// Whether the first user gets another pair of credentials although it has one: for a client file that was lost,
    /// with the only copy of the secret in it. The earlier pairs stay valid.
    pub issue_credentials: bool,
    /// How much a task may keep of what it reports.
    pub event_limits: EventLimits,
    /// Bytes of one uploaded file at most.
    pub max_upload: Option<u64>,
    /// A task in progress of which nobody heard for so long is stopped; zero lets it be.
    pub task_silence: Duration,
    /// How often it is looked for such tasks.
    pub task_silence_check: Duration,
    /// How long statistics of queues and workers are kept.
    pub statistics_retention: Duration,
    /// Bytes that events and uploads leave free on the disk; by default 1 GiB, or a twentieth of a disk below 20 GiB.
    pub min_free_space: Option<u64>,
    /// How long requests in flight may take when the server is told to stop.
    pub stop_grace: Duration,
}

/// How much a task or model may keep of what it reports. `None` is no limit.
///
/// What is too much goes, the oldest first; nothing that is reported is refused, but new series beyond `series`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Console lines of a task.
    pub log_lines: Option<u64>,
    /// Bytes of the console lines of a task.
    pub log_bytes: Option<u64>,
    /// Series (a metric and variant of one kind) of a task.
    pub series: Option<u64>,
    /// Events of a series: points of a curve, plots or images of one name.
    pub series_events: Option<u64>,
    /// Bytes of the plots or vectors of a series.
    pub series_bytes: Option<u64>,
    /// Age at which console lines go.
    pub log_age: Option<Duration>,
    /// Age at which the events of a series go that has got no other since.
    pub series_age: Option<Duration>,
}

impl Default for EventLimits {
    /// Far beyond what a task that works as intended reports; nothing goes for its age.
    fn default() -> Self {
        Self {
            log_lines: None,
            log_bytes: Some(4 << 30),
            series: Some(20_000),
            series_events: Some(10_000_000),
            series_bytes: Some(4 << 30),
            log_age: None,
            series_age: None,
        }
    }
}

impl ServerConfig {
    /// The ports and the queue that a ClearML client expects, on loopback.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            api_port: 8008,
            web_port: 8080,
            files_port: 8081,
            tls: None,
            public_name: None,
            queues: vec![DEFAULT_QUEUE.to_owned()],
            issue_credentials: false,
            event_limits: EventLimits::default(),
            max_upload: None,
            task_silence: Duration::from_secs(7200),
            task_silence_check: Duration::from_secs(900),
            statistics_retention: Duration::from_secs(30 * 24 * 3600),
            min_free_space: None,
            stop_grace: Duration::from_secs(10),
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// A port cannot be had.
    #[error("cannot listen on {listen} port {port} ({purpose}): {}", explain_bind(source))]
    Bind {
        /// What the port is for: `api`, `web` or `files`.
        purpose: &'static str,
        /// The address.
        listen: IpAddr,
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data directory cannot be made or written.
    #[error("cannot write in the data directory {directory}: {source}", directory = directory.display())]
    DataDir {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A certificate or its key cannot be used.
    #[error("cannot use the TLS file {path}: {reason}", path = path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another server works in the data directory.
    #[error("the data directory {directory} is in use by another server", directory = directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// No server has worked in the data directory yet.
    #[error("no server has been started in {directory} yet", directory = directory.display())]
    NoServer {
        /// The directory.
        directory: PathBuf,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The signing key of the tokens cannot be read or made.
    #[error("cannot use the key file {path}: {source}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The first rows (users, queues) cannot be written or read.
    #[error("cannot prepare the database: {reason}")]
    Prepare {
        /// What the store said.
        reason: String,
    },
}

fn explain_bind(source: &io::Error) -> String {
    if source.kind() == io::ErrorKind::AddrInUse {
        return "the port is in use by another program".to_owned();
    }
    source.to_string()
}
