//! What the server wants stopped: one batched question for all live tasks, or a long-poll where the server can.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::clearml::{ClientError, TaskServer};
use protocols::clearml::extension::WatchedTask;
use protocols::ids::TaskId;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use super::child::Child;
use super::long_poll::LongPoll;
use super::task_manager::{GetWatched, StopOne, WatchedChanged};
use super::watched::stop_reason;
use crate::kit::{Backoff, Lifeline};

/// How long one long-poll lasts.
const LONG_POLL: Duration = Duration::from_secs(50);

pub(crate) struct AbortWatcher {
    watch: Watch,
    _lifeline: Lifeline<Child>,
}

#[derive(Clone)]
struct Watch {
    server: Arc<dyn TaskServer>,
    long_poll: LongPoll,
    polling_interval: Duration,
    tasks: Recipient<GetWatched>,
    stop: Recipient<StopOne>,
    changed: Arc<Notify>,
}

impl AbortWatcher {
    pub(crate) fn new(
        server: Arc<dyn TaskServer>,
        long_poll: LongPoll,
        polling_interval: Duration,
        tasks: Recipient<GetWatched>,
        stop: Recipient<StopOne>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        Self { watch: Watch { server, long_poll, polling_interval, tasks, stop, changed }, _lifeline: lifeline }
    }
}

impl Actor for AbortWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(self.watch.clone().run().into_actor(self));
    }
}

impl Handler<WatchedChanged> for AbortWatcher {
    type Result = ();

    fn handle(&mut self, _: WatchedChanged, _: &mut Self::Context) {
        self.watch.changed.notify_one();
    }
}

impl Watch {
    async fn run(self) {
        let mut backoff = Backoff::for_server();
        // Tasks whose status neither is `in_progress` nor stops a process (`completed`, say): a long-poll would
        // answer them at once for ever, so they are looked at again only after a while.
        let mut quiet: HashMap<TaskId, Instant> = HashMap::new();
        loop {
            let Ok(mut tasks) = self.tasks.send(GetWatched).await else { return };
            quiet.retain(|task, until| *until > Instant::now() && tasks.contains(task));
            tasks.retain(|task| !quiet.contains_key(task));
            tasks.sort();
            let wake = quiet.values().min().copied();
            if tasks.is_empty() {
                self.pause(wake).await;
                continue;
            }
            let seen = tokio::select! {
                seen = self.look(&tasks) => seen,
                () = self.pause(wake) => continue,
            };
            match seen {
                Ok(seen) => {
                    backoff.reset();
                    for task in seen {
                        match stop_reason(&task) {
                            Some(reason) => {
                                let told = self.stop.send(StopOne { task: task.id, reason }).await;
                                if told.is_err() {
                                    return;
                                }
                            }
                            None if self.long_poll.is_there() => {
                                quiet.insert(task.id, Instant::now() + self.polling_interval);
                            }
                            None => {}
                        }
                    }
                    if !self.long_poll.is_there() {
                        tokio::time::sleep(self.polling_interval).await;
                    }
                }
                Err(error) => {
                    self.long_poll.learn_from(&error);
                    debug!(%error, "cannot look for aborts now");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn look(&self, tasks: &[TaskId]) -> Result<Vec<WatchedTask>, ClientError> {
        if self.long_poll.is_there() {
            self.server.wait_for_tasks(tasks, LONG_POLL).await
        } else {
            self.server.task_statuses(tasks).await
        }
    }

    async fn pause(&self, until: Option<Instant>) {
        match until {
            Some(until) => {
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            None => self.changed.notified().await,
        }
    }
}
