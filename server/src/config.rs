//! What the server is started with, and why it may not start.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use thiserror::Error;

use crate::store::OpenError;

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
    /// Queues that are made at the start if they do not exist; the first is the default queue if there is none.
    pub queues: Vec<String>,
    /// Whether the first user gets another pair of credentials although it has one: for a client file that was lost,
    /// with the only copy of the secret in it. The earlier pairs stay valid.
    pub issue_credentials: bool,
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
            queues: vec![DEFAULT_QUEUE.to_owned()],
            issue_credentials: false,
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
    /// Another server works in the data directory.
    #[error("the data directory {directory} is in use by another server", directory = directory.display())]
    InUse {
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
