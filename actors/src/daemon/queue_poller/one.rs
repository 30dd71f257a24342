//! One task instead of queues: taken wherever it is, once.
//!
//! Written down as every pull is. Out of a queue a task is taken by its removal, which only one of two who try hears to
//! have worked; a task that stands in none is taken by its status, with a message that has the worker's name in it. A
//! server without our extensions changes a status for everybody who asks: there it is looked, a moment later, whose message
//! it is.

use std::time::Duration;

use actix::prelude::*;
use drivers::clearml::ClientError;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::gpu::Share;
use protocols::ids::{QueueId, WorkerId};
use protocols::journal::JournalRecord;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::pull::{append, pulled, was_taken};
use super::tools::{PollerTools, Reservation};
use crate::daemon::gpu::partitioner::ReserveLease;
use crate::daemon::reporter::status_message;
use crate::daemon::settings::OneTask;
use crate::daemon::task_manager::FindRunner;
use crate::kit::{Backoff, tell};

/// A task that is queued and stands in no queue was taken out of one: who did that may be about to start it.
const JUST_TAKEN: Duration = Duration::from_secs(2);

/// Why the one task is not run.
#[derive(Message, Clone, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) struct NothingToRun(pub(crate) String);

/// How the task is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// Out of this queue.
    From(QueueId),
    /// By its status, which is this one.
    In(TaskStatus),
}

/// What a look at the task said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Free(Claim),
    Refused(String),
    /// It may be somebody's in a moment.
    Unsure,
}

pub(super) struct One {
    tools: PollerTools,
    only: OneTask,
    pulling: watch::Receiver<bool>,
    backoff: Backoff,
    was_unsure: bool,
    warned: bool,
}

impl One {
    pub(super) fn new(tools: PollerTools, only: OneTask, pulling: watch::Receiver<bool>) -> Self {
        Self { tools, only, pulling, backoff: Backoff::for_server(), was_unsure: false, warned: false }
    }

    /// Takes the task, or says why not. Never stops between an intent and its decision.
    pub(super) async fn run(mut self) {
        let find = FindRunner { task: self.only.task.clone() };
        if matches!(self.tools.find.send(find).await, Ok(Some(_))) {
            debug!(task = %self.only.task, "is an earlier process's, and goes on");
            return;
        }
        let mut pulling = self.pulling.clone();
        while *self.pulling.borrow() {
            let look = tokio::select! {
                look = self.look() => look,
                _ = pulling.changed() => continue,
            };
            match look {
                Look::Free(claim) => {
                    if self.take(claim).await {
                        return;
                    }
                }
                Look::Refused(why) => return tell(&self.tools.nothing, NothingToRun(why)),
                Look::Unsure => {}
            }
        }
    }

    async fn look(&mut self) -> Look {
        loop {
            match self.try_to_look().await {
                Ok(Look::Unsure) if !std::mem::replace(&mut self.was_unsure, true) => {
                    tokio::time::sleep(JUST_TAKEN).await;
                }
                Ok(Look::Unsure) => return Look::Free(Claim::In(TaskStatus::Queued)),
                Ok(look) => return look,
                Err(error) if error.is_transient() => {
                    if !std::mem::replace(&mut self.warned, true) {
                        warn!(%error, "cannot look at the task; will try again");
                    }
                    self.backoff.wait().await;
                }
                Err(error) => return Look::Refused(error.to_string()),
            }
        }
    }

    async fn try_to_look(&self) -> Result<Look, ClientError> {
        let id = &self.only.task;
        let Some(task) = self.tools.server.task(id).await? else {
            return Ok(Look::Refused(format!("there is no task {id}")));
        };
        let queue = task.execution.get("queue").and_then(|queue| queue.as_str()).filter(|queue| !queue.is_empty());
        let stands_in = match queue.map(QueueId::from).filter(|_| task.status == TaskStatus::Queued) {
            Some(queue) => self.tools.server.queue_entries(&queue).await?.contains(id).then_some(queue),
            None => None,
        };
        Ok(judge(&task, stands_in, self.only.must_be_queued))
    }

    /// Takes it, if it still is where it was. `false` to look again.
    async fn take(&mut self, claim: Claim) -> bool {
        let (task, tools) = (self.only.task.clone(), &self.tools);
        let workers = tools.settings.workers.iter().map(|worker| worker.id.clone()).collect();
        let Ok(Some(lease)) = tools.reserve.send(ReserveLease { workers }).await else { return false };
        let worker = lease.worker.clone();
        let reservation = Reservation::new(lease, tools.release.clone());
        let queue = match &claim {
            Claim::From(queue) => queue.clone(),
            Claim::In(_) => QueueId::from(""),
        };
        let intent = JournalRecord::PullIntended {
            worker: worker.clone(),
            queue: queue.clone(),
            gpus: Vec::new(),
            share: Share::WHOLE,
        };
        // Invariant J1, as for every pull.
        if append(tools, &task, intent).await.is_none() {
            return true; // No journal, no daemon.
        }
        let is_ours = match self.try_to_take(&claim, &worker).await {
            Ok(is_ours) => is_ours,
            Err(error) if error.api().is_some() && !error.is_undecided() => {
                append(tools, &task, JournalRecord::PullAbandoned).await;
                tell(&tools.nothing, NothingToRun(format!("the server does not let the task be taken: {error}")));
                return true;
            }
            Err(error) => {
                debug!(%task, %error, "does not know whether the task was taken");
                was_taken(tools, &task, matches!(claim, Claim::In(_)).then_some(&worker)).await
            }
        };
        if !is_ours {
            append(tools, &task, JournalRecord::PullAbandoned).await;
            self.backoff.wait().await;
            return false;
        }
        if let Some(lease) = reservation.claim() {
            pulled(tools, task, queue, lease).await;
        }
        true
    }

    async fn try_to_take(&self, claim: &Claim, worker: &WorkerId) -> Result<bool, ClientError> {
        let (server, task) = (&self.tools.server, &self.only.task);
        match claim {
            Claim::From(queue) => server.leave_queue(queue, task).await,
            Claim::In(status) => {
                let message = status_message(worker);
                match server.started(task, "starting execution soon", &message, &[*status]).await {
                    Ok(()) if self.tools.long_poll.is_there() => Ok(true),
                    Ok(()) => self.is_still_ours(worker).await,
                    Err(error) if error.is_status_refused() => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }
    /// Whether nobody else has begun the task at the same moment, where the server lets several do so: the last one who
    /// wrote has it. Who saw it free before this worker wrote has written by then, and who sees it now leaves it alone.
    async fn is_still_ours(&self, worker: &WorkerId) -> Result<bool, ClientError> {
        tokio::time::sleep(JUST_TAKEN).await;
        let task = self.tools.server.task(&self.only.task).await?;
        Ok(task.is_some_and(|task| !is_of_another(&task.status_message, worker)))
    }
}

/// Whether a message says that another worker than this one has changed the task's status.
fn is_of_another(message: &str, worker: &WorkerId) -> bool {
    message.starts_with(&status_message(&WorkerId::from(""))) && message != status_message(worker)
}

/// Whether a task may be run here, and how it is taken. As the stock agent, which runs what has ended once more; but not
/// what runs already, and not what cannot be changed any more.
fn judge(task: &Task, stands_in: Option<QueueId>, must_be_queued: bool) -> Look {
    let (id, status) = (&task.id, task.status);
    let refused = |why: String| Look::Refused(format!("the task {id} is {status}{why}"));
    match status {
        TaskStatus::Queued => stands_in.map_or(Look::Unsure, |queue| Look::Free(Claim::From(queue))),
        TaskStatus::InProgress => {
            let worker = match task.last_worker.as_str() {
                "" => String::new(),
                worker => format!(", seen last at the worker {worker}"),
            };
            refused(format!("{worker}: stop it first (hostler task abort {id}), or run a copy (--clone)"))
        }
        TaskStatus::Created | TaskStatus::Stopped | TaskStatus::Failed | TaskStatus::Completed if must_be_queued => {
            refused(" and in no queue, as --require-queue wants it".to_owned())
        }
        TaskStatus::Created | TaskStatus::Stopped | TaskStatus::Failed | TaskStatus::Completed => {
            Look::Free(Claim::In(status))
        }
        TaskStatus::Publishing | TaskStatus::Published | TaskStatus::Closed | TaskStatus::Unknown => {
            refused(" and cannot be run: run a copy (--clone)".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: TaskStatus, stands_in: Option<&str>, must_be_queued: bool, expected: &Look) {
        let task = Task { id: "t".to_owned(), status, ..Task::default() };
        assert_eq!(judge(&task, stands_in.map(QueueId::from), must_be_queued), *expected);
    }

    fn free(claim: Claim) -> Look {
        Look::Free(claim)
    }

    #[test]
    fn what_waits_has_not_run_or_has_ended_is_taken() {
        use TaskStatus::{Completed, Created, Failed, Queued, Stopped};
        for must_be_queued in [false, true] {
            check(Queued, Some("q"), must_be_queued, &free(Claim::From("q".into())));
            check(Queued, None, must_be_queued, &Look::Unsure);
        }
        for status in [Created, Stopped, Failed, Completed] {
            check(status, None, false, &free(Claim::In(status)));
        }
    }

    #[test]
    fn what_runs_or_is_put_away_is_refused_with_a_way_out() {
        use TaskStatus::{Closed, Created, InProgress, Published, Publishing, Unknown};
        let refused = |status, must_be_queued, words: &str| {
            let task = Task { id: "t".to_owned(), status, last_worker: "w:1".to_owned(), ..Task::default() };
            let Look::Refused(why) = judge(&task, None, must_be_queued) else { panic!("{status} is taken") };
            assert!(why.contains(status.as_str()) && why.contains(words), "{why}");
        };
        refused(InProgress, false, "at the worker w:1");
        refused(InProgress, true, "--clone");
        refused(Created, true, "--require-queue");
        for status in [Publishing, Published, Closed, Unknown] {
            refused(status, false, "--clone");
        }
    }
}
