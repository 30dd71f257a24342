//! The ssh of the agent's user, for programs of a container that use it themselves: git, `pip install git+ssh://..`.
//!
//! Keys are copied into the container's folder in memory, where nobody but the agent's user and the container's comes
//! near them, and its `~/.ssh` leads there; where an ssh agent runs, its socket is mounted, and the keys stay where
//! they are. As far as file modes allow: a user of the image that is neither root nor the agent's own gets keys from
//! an agent that is root only.

use std::ffi::OsStr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use drivers::container::{OwnMount, give_private};
use protocols::container::InternalMounts;
use protocols::container::init::LINK_FOLDER;
use protocols::order::ContainerOrder;
use tracing::debug;

use super::running::Running;
use crate::executor::console::Console;

/// The socket of the ssh agent in a container.
const AGENT_SOCKET: &str = "/.hostler/ssh-agent";
/// The folder with the files, in the folder in memory.
const FOLDER: &str = "ssh";
/// No key is larger.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// What of `~/.ssh` is about those who come here.
const NOT_GIVEN: [&str; 4] = ["authorized_keys", "authorized_keys2", "environment", "rc"];

/// What there is of it on this machine.
pub(super) struct Ssh {
    agent: Option<PathBuf>,
    files: Vec<(String, Vec<u8>)>,
}

impl Ssh {
    /// Nothing, where the operator does not want it.
    pub(super) fn of(container: &ContainerOrder) -> Self {
        if container.without_ssh {
            return Self { agent: None, files: Vec::new() };
        }
        let is_socket = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
        let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from).filter(is_socket);
        let home = std::env::home_dir().unwrap_or_default();
        let files = read(&home.join(".ssh"), agent.is_none());
        Self { agent, files }
    }

    /// The socket of the agent.
    pub(super) fn mount(&self) -> Option<OwnMount> {
        let host = self.agent.clone()?;
        Some(OwnMount { host, container: AGENT_SOCKET.to_owned(), read_only: false })
    }

    /// Where programs look for it.
    pub(super) fn variable(&self) -> Vec<(String, String)> {
        let named = self.agent.as_ref().map(|_| ("SSH_AUTH_SOCK".to_owned(), AGENT_SOCKET.to_owned()));
        named.into_iter().collect()
    }

    /// Puts the files where programs of the container look for them. What cannot be done is no reason to end a task,
    /// which need not use ssh.
    pub(super) fn give(&self, running: &Running, container: &ContainerOrder, console: &Console) {
        if self.files.is_empty() {
            return;
        }
        let Some(place) = place(running, &container.mounts) else { return };
        let names: Vec<String> = self.files.iter().map(|(name, _)| format!("{FOLDER}/{name}")).collect();
        let put = running.folder().put_private(FOLDER, &self.files);
        match put.and_then(|()| give_private(running.folder(), &names, running.link())) {
            Ok(true) => {}
            Ok(false) => {
                let uid = running.hello().uid;
                return console.say(&format!("the ssh keys of this machine are not for uid {uid} of the image"));
            }
            Err(error) => return debug!(%error, "no ssh keys for the container"),
        }
        match running.link().link(place.as_os_str(), format!("{LINK_FOLDER}/{FOLDER}")) {
            Ok(None) => {}
            Ok(Some(error)) => debug!(error, path = %place.display(), "ssh keys are not linked to"),
            Err(error) => debug!(%error, "ssh keys are not linked to"),
        }
    }
}

/// Where the container's user looks for keys, unless the operator names a place.
fn place(running: &Running, mounts: &InternalMounts) -> Option<PathBuf> {
    let named = &mounts.ssh.container;
    if *named != InternalMounts::default().ssh.container {
        return Some(named.into());
    }
    let variables = &running.hello().environment;
    let home = variables.iter().find(|(name, _)| name.0 == "HOME").map(|(_, home)| home.as_path().to_owned());
    home.filter(|home| home.is_absolute() && home != Path::new("/")).map(|home| home.join(".ssh"))
}

/// The files of a `.ssh` folder. Without private keys what an agent does not have: hosts, settings, public keys.
fn read(folder: &Path, with_private: bool) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_public = |name: &str| name == "config" || name.starts_with("known_hosts") || name.ends_with(".pub");
    let file = |path: PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str)?.to_owned();
        let is_given = !NOT_GIVEN.contains(&name.as_str()) && (with_private || is_public(&name));
        let metadata = path.metadata().ok().filter(|_| is_given)?;
        let is_small = metadata.is_file() && metadata.len() <= MAX_FILE_BYTES;
        Some((name, std::fs::read(path).ok().filter(|_| is_small)?))
    };
    entries.flatten().filter_map(|entry| file(entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_the_folder_is_given() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["id_ed25519", "id_ed25519.pub", "known_hosts", "config", "authorized_keys"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("config.d")).unwrap();
        std::os::unix::net::UnixListener::bind(folder.path().join("control")).unwrap();
        let names = |with_private| {
            let mut names: Vec<String> = read(folder.path(), with_private).into_iter().map(|(name, _)| name).collect();
            names.sort();
            names
        };
        assert_eq!(names(true), ["config", "id_ed25519", "id_ed25519.pub", "known_hosts"]);
        assert_eq!(names(false), ["config", "id_ed25519.pub", "known_hosts"]);
        assert!(read(&folder.path().join("nowhere"), true).is_empty());
    }
}
