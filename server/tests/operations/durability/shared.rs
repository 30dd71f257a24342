//! A queue that all clients fill and empty at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use crate::client::Client;

/// What is known of the queue; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedQueue {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    id: String,
    serial: u64,
    /// Entries whose addition was acknowledged and that nobody got.
    waiting: BTreeSet<String>,
    taken: BTreeSet<String>,
    /// Additions that were not answered.
    unanswered: BTreeSet<String>,
    /// Pops that were not answered.
    unanswered_pops: usize,
}

impl SharedQueue {
    /// Makes the queue.
    pub(crate) async fn new(client: &Client) -> Self {
        let made = client.call("queues.create", json!({"name": "shared by all"})).await;
        let this = Self::default();
        this.known.lock().unwrap().id = made["id"].as_str().unwrap().to_owned();
        this
    }

    /// Adds and takes in turn until an answer does not come.
    pub(crate) async fn work(&self, client: &Client, done: UnboundedSender<()>) {
        loop {
            let (queue, entry) = {
                let mut known = self.known.lock().unwrap();
                known.serial += 1;
                (known.id.clone(), format!("{:032x}", known.serial))
            };
            if client.try_call("queues.add_task", json!({"queue": queue, "task": entry})).await.is_err() {
                self.known.lock().unwrap().unanswered.insert(entry);
                return;
            }
            {
                let mut known = self.known.lock().unwrap();
                // Another client may have taken it before this one came to hear that it is there.
                if !known.taken.contains(&entry) {
                    known.waiting.insert(entry);
                }
            }
            let Ok(taken) = client.try_call("queues.get_next_task", json!({"queue": queue})).await else {
                self.known.lock().unwrap().unanswered_pops += 1;
                return;
            };
            if let Some(task) = taken["entry"]["task"].as_str() {
                self.known.lock().unwrap().take(task);
            }
            let _ = done.send(());
        }
    }

    /// Compares with what is there after a restart, and takes that for what is known from now on. Returns how many
    /// entries were taken by a pop whose answer never came.
    pub(crate) async fn verify(&self, client: &Client) -> usize {
        let id = self.known.lock().unwrap().id.clone();
        let found = client.call("queues.get_by_id", json!({"queue": id})).await;
        let entries = found["queue"]["entries"].as_array().cloned().unwrap_or_default();
        let there: BTreeSet<String> = entries.iter().map(|entry| entry["task"].as_str().unwrap().to_owned()).collect();
        assert_eq!(there.len(), entries.len(), "no entry is there twice");
        let mut known = self.known.lock().unwrap();
        for entry in &there {
            assert!(!known.taken.contains(entry), "{entry} was taken and is there again");
            let was_added = known.waiting.contains(entry) || known.unanswered.contains(entry);
            assert!(was_added, "nobody added {entry}");
        }
        // An entry that is gone and that nobody got was in an answer that was cut off.
        let gone: Vec<String> = known.waiting.difference(&there).cloned().collect();
        assert!(
            gone.len() <= known.unanswered_pops,
            "{} entries are lost, and only {} pops were not answered",
            gone.len(),
            known.unanswered_pops
        );
        known.taken.extend(gone.iter().cloned());
        known.waiting = there;
        known.unanswered.clear();
        known.unanswered_pops = 0;
        gone.len()
    }
}

impl Known {
    fn take(&mut self, task: &str) {
        assert!(self.taken.insert(task.to_owned()), "{task} was given to two clients");
        // It may be taken by one client before the other knows that it was added.
        self.waiting.remove(task);
    }
}
