//! A task that ends through no fault of its own goes back to its queue, so many times.

use protocols::clearml::events::LEVEL_INFO;
use protocols::clearml::status::TaskStatus;
use protocols::failure::FailureClass;
use protocols::lifecycle::{Outcome, StopReason};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::closing::status_message;
use super::lane::Lane;
use super::messages::LaneFact;

/// A runtime property of the task: the runs, as `HOST/PULL`, after which it was given back. On whatever machine it
/// runs next, it is known how often that was.
const REQUEUED: &str = "_hostler_requeued";

impl Lane {
    /// Gives the task back to its queue, where that is the policy for this outcome; `true` when its end is settled.
    pub(super) async fn requeue(&mut self, outcome: &Outcome) -> bool {
        let most = self.tools.gpu_requeues;
        let Outcome::Stopped(StopReason::Gpu(stop)) = outcome else { return false };
        if stop.trouble.class() != FailureClass::Infrastructure || most == 0 {
            return false;
        }
        let (server, id) = (&self.tools.server, &self.order.task);
        let Some(Some(task)) = self.insist("look at the task", || server.task(id)).await else { return false };
        if task.is_stopping() {
            return false;
        }
        let this_run = format!("{}/{}", drivers::host::hostname(), self.order.pull);
        let mut runs: Vec<String> =
            serde_json::from_value(task.runtime.get(REQUEUED).cloned().unwrap_or(Value::Null)).unwrap_or_default();
        let may_be_back = runs.contains(&this_run);
        match task.status {
            TaskStatus::InProgress if !may_be_back || task.status_message == status_message(&self.order.worker) => {}
            // An earlier daemon of this run gave it back and died, and it waits, or somebody else has it already.
            TaskStatus::Queued | TaskStatus::InProgress => {
                self.tell(LaneFact::Settled);
                return true;
            }
            TaskStatus::Created
            | TaskStatus::Stopped
            | TaskStatus::Closed
            | TaskStatus::Failed
            | TaskStatus::Completed
            | TaskStatus::Publishing
            | TaskStatus::Published
            | TaskStatus::Unknown => return false,
        }
        if !may_be_back {
            runs.push(this_run);
        }
        let count = runs.len();
        if count > most as usize {
            warn!(task = %id, count = count - 1, "was given back often enough");
            return false;
        }
        let queue = &self.order.queue;
        let line = format!("{stop}: the task goes back to queue {queue} ({count} of {most})\n");
        let add = serde_json::Map::from_iter([(REQUEUED.to_owned(), json!(runs))]);
        let (server, id) = (self.tools.server.clone(), self.order.task.clone());
        self.insist("edit runtime", || server.edit_runtime(&id, add.clone())).await;
        self.say(&line, LEVEL_INFO).await;
        let queue = self.order.queue_id.clone();
        if self.insist("give the task back", || server.enqueue(&id, &queue)).await.is_none() {
            return false;
        }
        info!(task = %id, why = %stop, count, "given back to its queue");
        self.tell(LaneFact::Settled);
        true
    }
}
