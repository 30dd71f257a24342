//! One pull: intent, pop, fact; and deciding the intents that were left open.

use protocols::clearml::status::TaskStatus;
use protocols::gpu::{Lease, Share};
use protocols::ids::{QueueId, TaskId, WorkerId};
use protocols::journal::{Intent, JournalRecord, Recovered, Run};
use protocols::lifecycle::TaskState;
use tracing::{debug, error, info, warn};

use super::tools::{PollerTools, Reservation};
use crate::daemon::gpu::partitioner::RestoreLease;
use crate::daemon::journal::{Append, LoadJournal};
use crate::daemon::reporter::status_message;
use crate::daemon::task_manager::StartRun;
use crate::kit::Backoff;

/// A pull that is about to happen.
pub(super) struct Pull {
    pub(super) task: TaskId,
    pub(super) queue: QueueId,
    pub(super) reservation: Reservation,
}

/// Takes the task that was seen at the head of the queue, if it is still there.
pub(super) async fn pull(tools: &PollerTools, pull: Pull) {
    let Pull { task, queue, reservation } = pull;
    let Some(lease) = reservation.lease() else { return };
    // Which cards a pinned worker has is in the configuration.
    let gpus = if tools.settings.dynamic.is_some() { lease.gpus.clone() } else { Vec::new() };
    let (slot, share) = (lease.worker.clone(), lease.share);
    let worker = tools.settings.name_for(&slot, &task);
    let intent = JournalRecord::PullIntended { worker, queue: queue.clone(), gpus, share };
    // Invariant J1: the intent is durable before the destructive call.
    if append(tools, &task, intent).await.is_none() {
        return;
    }
    let popped = match tools.server.pop(&queue, Some(&task)).await {
        Ok(popped) => popped,
        Err(failure) if failure.api().is_some() && !failure.is_undecided() => {
            warn!(%task, %queue, %failure, "cannot take the task");
            None
        }
        Err(failure) => {
            debug!(%task, %failure, "does not know whether the task was taken");
            was_taken(tools, &task, None).await.then(|| task.clone())
        }
    };
    let Some(popped) = popped else {
        append(tools, &task, JournalRecord::PullAbandoned).await;
        return;
    };
    if popped != task {
        // A server older than the conditional pop gave its new head: that one is ours now.
        append(tools, &task, JournalRecord::PullAbandoned).await;
        if share == Share::NOTHING {
            // Taken to be refused, but another was given: it goes back to its queue, to be judged by itself.
            if let Err(error) = tools.server.enqueue(&popped, &queue).await {
                warn!(task = %popped, %queue, %error, "cannot give back a task that was taken by mistake");
            }
            return;
        }
    }
    if let Some(lease) = reservation.claim() {
        let lease = Lease { worker: tools.settings.name_for(&slot, &popped), ..lease };
        pulled(tools, popped, queue, lease).await;
    }
}

/// Writes the pull down as a fact and hands the task over.
pub(super) async fn pulled(tools: &PollerTools, task: TaskId, queue: QueueId, lease: Lease) {
    let (worker, gpus, share) = (lease.worker.clone(), lease.gpus.clone(), lease.share);
    let record = JournalRecord::Pulled { worker, queue: queue.clone(), gpus, share };
    let Some(sequence) = append(tools, &task, record).await else { return };
    let run = Run {
        pull: sequence,
        worker: lease.worker.clone(),
        queue,
        gpus: lease.gpus.clone(),
        share: lease.share,
        state: TaskState::INITIAL,
        pulled_at_ms: tools.clock.now_ms(),
        last_entry: sequence,
    };
    if tools.start.send(StartRun { task: task.clone(), run, lease }).await.is_err() {
        // The task manager is gone, and the daemon with it; the next one finds the pull in the journal.
        error!(%task, "nobody is there to run the task that was pulled");
    }
}

pub(super) async fn append(tools: &PollerTools, task: &TaskId, record: JournalRecord) -> Option<u64> {
    tools.journal.send(Append { task: task.clone(), record }).await.ok()?.ok()
}

/// Decides every intent that the journal has open: taken or not?
pub(super) async fn decide_intents(tools: PollerTools) {
    let Ok(Ok(entries)) = tools.load_journal.send(LoadJournal).await else { return };
    let recovered = match Recovered::fold(&entries) {
        Ok(recovered) => recovered,
        Err(contradiction) => {
            error!(%contradiction, "the journal contradicts itself");
            return;
        }
    };
    for (task, intent) in recovered.intents {
        decide(&tools, task, intent).await;
    }
}

async fn decide(tools: &PollerTools, task: TaskId, intent: Intent) {
    let Intent { worker, queue, mut gpus, share } = intent;
    // A task that stood in no queue was taken by its status.
    if !was_taken(tools, &task, queue.as_str().is_empty().then_some(&worker)).await {
        debug!(%task, "an intended pull did not happen");
        append(tools, &task, JournalRecord::PullAbandoned).await;
        return;
    }
    info!(%task, %queue, "was taken by an earlier daemon that could not write it down");
    // Which cards a pinned worker has is in the configuration; a task that was taken to be refused has none.
    let pinned = if tools.settings.dynamic.is_some() { &[] } else { tools.settings.workers.as_slice() };
    if let Some(pinned) = pinned.iter().find(|settings| settings.id == worker && gpus.is_empty()) {
        gpus.clone_from(&pinned.gpus);
    }
    if let Ok(lease) = tools.restore.send(RestoreLease { worker, gpus, share }).await {
        pulled(tools, task, queue, lease).await;
    }
}

/// Whether a task that we were about to take was taken: it is `queued`, and stands in none of the queues; or, where it
/// stood in none, it is `in_progress` in the name of this worker. Asks until the server answers.
pub(super) async fn was_taken(tools: &PollerTools, task: &TaskId, by: Option<&WorkerId>) -> bool {
    let mut backoff = Backoff::for_server();
    loop {
        match look(tools, task, by).await {
            Ok(taken) => return taken,
            Err(failure) if failure.api().is_some() && !failure.is_transient() => {
                warn!(%task, %failure, "cannot find out whether the task was taken");
                return false;
            }
            Err(failure) => {
                debug!(%task, %failure, "cannot find out yet whether the task was taken");
                backoff.wait().await;
            }
        }
    }
}

async fn look(
    tools: &PollerTools,
    task: &TaskId,
    by: Option<&WorkerId>,
) -> Result<bool, drivers::clearml::ClientError> {
    let Some(found) = tools.server.task(task).await? else { return Ok(false) };
    if let Some(worker) = by {
        return Ok(found.status == TaskStatus::InProgress && found.status_message == status_message(worker));
    }
    if found.status != TaskStatus::Queued {
        return Ok(false);
    }
    // `execution.queue` is where it stands, or stood: a task moved to another queue is not ours.
    let Some(queue) = found.execution.get("queue").and_then(|queue| queue.as_str()) else { return Ok(true) };
    let entries = tools.server.queue_entries(&QueueId::from(queue)).await?;
    Ok(!entries.contains(task))
}
