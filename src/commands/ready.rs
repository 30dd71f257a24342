//! What services say, as one JSON line on standard output, when they are ready.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A server that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "ready")]
pub(super) struct ServerReady {
    pub(super) api_server: String,
    pub(super) web_server: String,
    pub(super) files_server: String,
    /// Where clients find these and their credentials.
    pub(super) config_file: PathBuf,
    pub(super) pid: u32,
}

/// A server and its daemon that both answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "ready")]
pub(super) struct UpReady<'a> {
    pub(super) api_server: &'a str,
    pub(super) web_server: &'a str,
    pub(super) files_server: &'a str,
    pub(super) config_file: &'a PathBuf,
    pub(super) data_dir: &'a PathBuf,
    pub(super) state_dir: &'a PathBuf,
    pub(super) queues: &'a [String],
    pub(super) pid: u32,
    pub(super) server_pid: u32,
    pub(super) daemon_pid: u32,
}
