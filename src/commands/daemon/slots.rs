//! Which worker names are ours: no two daemons of a machine use the same towards one server.
//!
//! A name is held by the lock on a file, so that it is free again however its daemon ended. A daemon that starts anew
//! prefers the slots that it had before: tasks that still run were started in their names.

use std::fs::File;
use std::path::{Path, PathBuf};

use actors::daemon::WorkerSettings;
use protocols::clearml::queues::QueueSummary;
use protocols::ids::WorkerId;

use super::super::private_file;
use super::gpus::Share;
use super::names;
use super::settings::HIDDEN;
use crate::config::Server;
use crate::exit::{Exit, Problem};

/// In the state directory: the names of the last time.
const NAMES_FILE: &str = "workers.json";

/// More slots than a machine has workers.
const MAX_SLOTS: u32 = 4096;

/// Names that are held as long as this lives.
#[derive(Debug)]
pub(super) struct Slots {
    ids: Vec<WorkerId>,
    _locks: Vec<File>,
}

impl Slots {
    /// The workers with their names.
    pub(super) fn workers(&self, shares: Vec<Share>, queues: &[QueueSummary]) -> Vec<WorkerSettings> {
        self.ids
            .iter()
            .zip(shares)
            .map(|(id, share)| {
                let (environment, mut removed_environment) = share.environment();
                removed_environment.extend(HIDDEN.map(str::to_owned));
                WorkerSettings {
                    id: id.clone(),
                    queues: queues.iter().map(|queue| queue.id.clone()).collect(),
                    queue_names: queues.iter().map(|queue| queue.name.clone()).collect(),
                    gpus: share.cards(),
                    environment,
                    removed_environment,
                }
            })
            .collect()
    }
}

/// The names of the last time.
pub(super) fn before(state_dir: &Path) -> Vec<WorkerId> {
    let names = std::fs::read(state_dir.join(NAMES_FILE)).ok();
    names.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Takes a name for each share.
pub(super) fn take(
    state_dir: &Path,
    server: &Server,
    base: &str,
    worker_id: Option<&str>,
    shares: &[Share],
) -> anyhow::Result<Slots> {
    let holder = Holder::new(&server.hosts.api)?;
    let names_file = state_dir.join(NAMES_FILE);
    let before = before(state_dir);
    let mut slots = Slots { ids: Vec::new(), _locks: Vec::new() };
    for share in shares {
        let candidates: Vec<WorkerId> = match (worker_id, shares.len()) {
            // Used as it is; several workers cannot have it.
            (Some(id), 1) => vec![WorkerId::from(id)],
            (_, _) if names::is_numbered(share) => {
                let numbered: Vec<WorkerId> = (0..MAX_SLOTS).map(|slot| names::name(base, share, slot)).collect();
                let had = before.iter().filter(|id| numbered.contains(id)).cloned();
                had.chain(numbered.iter().cloned()).collect()
            }
            (_, _) => vec![names::name(base, share, 0)],
        };
        let (id, lock) = holder.first_free(&candidates)?;
        slots.ids.push(id);
        slots._locks.push(lock);
    }
    // Names are for a next start to go on with: one that cannot be written, on a full disk, keeps nobody from starting.
    if slots.ids != before
        && let Err(error) = private_file::write(&names_file, &serde_json::to_vec(&slots.ids)?)
    {
        tracing::warn!(error = &*error as &dyn std::error::Error, "the names of the workers are not remembered");
    }
    Ok(slots)
}

/// Locks names towards one server.
struct Holder {
    directory: PathBuf,
    prefix: String,
}

impl Holder {
    fn new(api_server: &str) -> anyhow::Result<Self> {
        Ok(Self { directory: lock_directory()?, prefix: file_name(api_server) })
    }

    fn first_free(&self, candidates: &[WorkerId]) -> anyhow::Result<(WorkerId, File)> {
        for id in candidates {
            let path = self.directory.join(format!("{}-{}.lock", self.prefix, file_name(id.as_str())));
            if let Some(lock) = private_file::lock(&path)? {
                return Ok((id.clone(), lock));
            }
        }
        let name = candidates.first().map(ToString::to_string).unwrap_or_default();
        Err(Problem::with(Exit::Unavailable, format!("another daemon on this machine serves the worker {name}")))
    }
}

/// Where the daemons of this user on this machine keep what they hold.
pub(super) fn lock_directory() -> anyhow::Result<PathBuf> {
    let user = nix::unistd::Uid::effective();
    private_file::directory(&std::env::temp_dir().join(format!("hostler-workers-{user}")))
}

/// A text as part of a file's name: different texts give different names.
pub(super) fn file_name(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b".,-".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("_{byte:02x}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, Hosts, Secret};

    /// A server of this test only.
    fn server(name: &str) -> Server {
        let api = format!("http://{name}-{}", std::process::id());
        Server {
            hosts: Hosts { api, web: None, files: None },
            credentials: Credentials::Token(Secret::new("t")),
            verify_certificate: true,
            certificates: None,
        }
    }

    fn ids(slots: &Slots) -> Vec<&str> {
        slots.ids.iter().map(WorkerId::as_str).collect()
    }

    #[test]
    fn daemons_of_a_machine_share_the_slots_and_keep_theirs() {
        let (server, first, second) = (server("slots"), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cpus = vec![Share::Cpu; 2];
        let of_first = take(first.path(), &server, "h", None, &cpus).unwrap();
        let of_second = take(second.path(), &server, "h", None, &cpus).unwrap();
        assert_eq!(ids(&of_first), ["h:cpu:0", "h:cpu:1"]);
        assert_eq!(ids(&of_second), ["h:cpu:2", "h:cpu:3"]);
        drop((of_first, of_second));
        let again = take(second.path(), &server, "h", None, &cpus).unwrap();
        assert_eq!(ids(&again), ["h:cpu:2", "h:cpu:3"], "tasks that still run know these names");
    }

    #[test]
    fn cards_are_served_once_and_another_server_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let gpus = [Share::Gpus { text: "0".to_owned(), visible: "0".to_owned(), cards: Vec::new() }];
        let held = take(directory.path(), &server("one"), "h", None, &gpus).unwrap();
        assert_eq!(ids(&held), ["h:gpu0"]);
        let error = take(directory.path(), &server("one"), "h", None, &gpus).expect_err("it is held").to_string();
        assert!(error.contains("h:gpu0"), "{error}");
        assert!(take(directory.path(), &server("two"), "h", None, &gpus).is_ok());
    }

    #[test]
    fn a_given_id_is_for_one_worker() {
        let directory = tempfile::tempdir().unwrap();
        let one = take(directory.path(), &server("id"), "h", Some("my:id"), &[Share::Cpu]).unwrap();
        assert_eq!(ids(&one), ["my:id"]);
        let two = take(directory.path(), &server("id"), "h", Some("my:id"), &[Share::Cpu, Share::Cpu]).unwrap();
        assert_eq!(ids(&two), ["h:cpu:0", "h:cpu:1"]);
    }

    #[test]
    fn file_names_are_safe() {
        assert_eq!(file_name("http://h:8008/../x"), "http_3a_2f_2fh_3a8008_2f.._2fx");
    }
}
