//! The loop: looks into the queues, picks a task, has it prepared.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use drivers::clearml::ClientError;
use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use protocols::ids::{QueueId, TaskId, WorkerId};
use protocols::order::Prefetched;
use protocols::task::TaskSpec;
use tokio::sync::watch;
use tracing::{debug, info};

use super::PrefetcherTools;
use super::work::{self, Needs};
use crate::daemon::containers;
use crate::kit::Backoff;

/// So many tasks, from the heads of the queues on, are looked after.
const AHEAD: usize = 4;
/// How long one long-poll lasts.
const LONG_POLL: Duration = Duration::from_secs(50);
/// Time between two looks where a task has just come, if the server is one that is asked often.
const SOON: Duration = Duration::from_secs(1);
/// Time between two looks where nothing is to be done.
const LATER: Duration = Duration::from_secs(5);
/// A queue of so many tasks is looked into a second later: an answer names them all.
const ENTRIES_PER_SECOND: usize = 1000;
/// Time until the next try where the server does not let us look.
const REFUSED: Duration = Duration::from_secs(300);

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Code and environment are there.
    Ready,
    /// They cannot be had; the task will say why, too.
    Failed(String),
}

/// What a look into the queues came to.
enum Look {
    /// This one next.
    Next(TaskId),
    /// Nothing to do until then.
    Pause(Duration),
    /// Nothing waits.
    Empty,
}

pub(super) struct Ahead {
    tools: PrefetcherTools,
    queues: Vec<QueueId>,
    /// Whether no task of ours is being prepared.
    is_quiet: watch::Receiver<bool>,
    is_wanted: watch::Receiver<bool>,
    /// What waited when it was looked last.
    seen: HashSet<TaskId>,
    /// Of what still waits.
    done: BTreeMap<TaskId, Done>,
    backoff: Backoff,
}

impl Ahead {
    pub(super) fn new(
        tools: PrefetcherTools,
        is_quiet: watch::Receiver<bool>,
        is_wanted: watch::Receiver<bool>,
    ) -> Self {
        let mut queues: Vec<QueueId> = Vec::new();
        for queue in tools.settings.workers.iter().flat_map(|worker| &worker.queues) {
            if !queues.contains(queue) {
                queues.push(queue.clone());
            }
        }
        let (seen, done) = (HashSet::new(), BTreeMap::new());
        Self { tools, queues, is_quiet, is_wanted, seen, done, backoff: Backoff::for_server() }
    }

    /// Works until it is not wanted any more; what is under way then is stopped first.
    pub(super) async fn run(mut self) {
        work::clear(&self.tools.settings).await;
        let mut is_wanted = self.is_wanted.clone();
        while *self.is_wanted.borrow() {
            let look = tokio::select! {
                look = self.look() => look,
                () = until_unwanted(&mut is_wanted) => return,
            };
            if let Look::Next(task) = look {
                self.prepare(&task).await;
                continue;
            }
            tokio::select! {
                () = self.wait(&look) => {}
                () = until_unwanted(&mut is_wanted) => return,
            }
        }
    }

    async fn wait(&mut self, look: &Look) {
        match look {
            Look::Empty if self.tools.long_poll.is_there() => {
                if let Err(error) = self.tools.server.wait_for_queues(&self.queues, LONG_POLL).await {
                    self.tools.long_poll.learn_from(&error);
                    self.backoff.wait().await;
                }
            }
            Look::Empty | Look::Next(_) => tokio::time::sleep(self.tools.settings.polling_interval).await,
            Look::Pause(time) => tokio::time::sleep(*time).await,
        }
    }

    /// The first task that is not done. One that was not there a moment ago is left to a worker that is free: that
    /// one takes it at once.
    async fn look(&mut self) -> Look {
        let waiting = match self.waiting().await {
            Ok(waiting) => waiting,
            Err(error) => return Look::Pause(self.refused(&error)),
        };
        self.backoff.reset();
        let before = std::mem::replace(&mut self.seen, waiting.iter().cloned().collect());
        self.done.retain(|task, _| self.seen.contains(task));
        self.tools.board.set_done(&self.done);
        let mut open = waiting.iter().take(AHEAD).filter(|task| !self.done.contains_key(*task)).peekable();
        let is_news = open.peek().is_some();
        match open.find(|task| before.contains(*task)) {
            Some(task) => Look::Next(task.clone()),
            None if waiting.is_empty() => Look::Empty,
            None => Look::Pause(self.pause(is_news, waiting.len())),
        }
    }

    fn pause(&self, is_news: bool, waiting: usize) -> Duration {
        let polling = self.tools.settings.polling_interval;
        let pause = match (is_news, self.tools.long_poll.is_there()) {
            (true, true) => SOON.min(polling),
            (_, _) => LATER.max(polling),
        };
        pause + Duration::from_secs((waiting / ENTRIES_PER_SECOND) as u64)
    }

    /// All tasks that wait, in the order of the queues.
    async fn waiting(&self) -> Result<Vec<TaskId>, ClientError> {
        let mut waiting = Vec::new();
        for queue in &self.queues {
            waiting.extend(self.tools.server.queue_entries(queue).await?);
        }
        Ok(waiting)
    }

    /// How long to leave a server alone that has not answered as it should.
    fn refused(&mut self, error: &ClientError) -> Duration {
        if error.api().is_none() || error.is_transient() {
            debug!(%error, "cannot look ahead now");
            return self.backoff.next_wait();
        }
        info!(%error, "the server does not let us look into the queues: nothing is prepared ahead");
        REFUSED
    }

    /// Has one task prepared, if it still waits. It is not done if it was stopped on the way.
    async fn prepare(&mut self, task: &TaskId) {
        let mut is_quiet = self.is_quiet.clone();
        let mut is_wanted = self.is_wanted.clone();
        tokio::select! {
            _ = is_quiet.wait_for(|is_quiet| *is_quiet) => {}
            () = until_unwanted(&mut is_wanted) => return,
        }
        let found = match self.tools.server.task(task).await {
            Ok(found) => found.filter(|found| found.status == TaskStatus::Queued),
            Err(error) => {
                debug!(%task, %error, "cannot look ahead now");
                return self.backoff.wait().await;
            }
        };
        let Some(found) = found else { return };
        let done = match self.needs(&found).await {
            Ok(needs) => {
                self.tools.board.set_now(Some(task));
                let stop = async {
                    tokio::select! {
                        _ = is_quiet.wait_for(|is_quiet| !is_quiet) => {}
                        () = until_unwanted(&mut is_wanted) => {}
                    }
                };
                let prefetched = work::prepare(&self.tools.settings, needs, stop).await;
                self.tools.board.set_now(None);
                prefetched
            }
            Err(why) => Prefetched::Failed(why),
        };
        match done {
            Prefetched::Ready => {
                info!(%task, "is prepared ahead of its turn");
                self.done.insert(task.clone(), Done::Ready);
            }
            Prefetched::Failed(why) => {
                info!(%task, why, "cannot be prepared ahead of its turn");
                self.done.insert(task.clone(), Done::Failed(why));
            }
            Prefetched::Stopped => debug!(%task, "its preparation gives way"),
        }
        self.tools.board.set_done(&self.done);
    }
}

impl Ahead {
    /// What a task needs. `Err` says why it can be had by nobody.
    async fn needs(&self, task: &Task) -> Result<Needs, String> {
        let settings = &self.tools.settings;
        let spec = TaskSpec::from_task(task).map_err(|error| error.to_string())?;
        let queue = task.execution.get("queue").and_then(|queue| queue.as_str()).unwrap_or_default();
        let worker = settings.workers.first().map_or_else(|| WorkerId::new(""), |worker| worker.id.clone());
        let container = containers::decide_for(settings, task, &worker, &QueueId::new(queue)).await;
        let container = container.transpose().map_err(|failure| failure.message)?;
        Ok(Needs { spec, container })
    }
}

/// Returns when nothing is wanted any more, also when nobody is there who could want it.
async fn until_unwanted(is_wanted: &mut watch::Receiver<bool>) {
    let _ = is_wanted.wait_for(|is_wanted| !is_wanted).await;
}
