//! Stops tasks whose worker is gone: in progress, and not heard of for too long.

use std::time::Duration;

use protocols::clearml::error::ApiError;
use tokio::time::{Instant, MissedTickBehavior};

use crate::auth::Identity;
use crate::store::{Store, tasks};
use crate::time;

/// Tasks that one transaction stops at most.
const TASKS_PER_STEP: usize = 100;

/// The user in whose name it acts, as clients know it.
const ACTOR: &str = "__apiserver__";

/// Looks every `interval` for tasks that were not heard of for `silence`, for ever. To be spawned once; it may be
/// dropped at any time. The first look is one interval after the start: while the server was away nobody could be
/// heard, and clients need some time to come back.
pub(crate) async fn watchdog(store: Store, silence: Duration, interval: Duration) {
    if silence.is_zero() || interval.is_zero() {
        return std::future::pending().await;
    }
    let mut timer = tokio::time::interval_at(Instant::now() + interval, interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        match stop_silent(&store, silence).await {
            Ok(0) => {}
            Ok(stopped) => tracing::warn!(stopped, ?silence, "tasks that nobody heard of for so long were stopped"),
            Err(error) => tracing::warn!(%error, "silent tasks could not be stopped; tried again later"),
        }
    }
}

async fn stop_silent(store: &Store, silence: Duration) -> Result<usize, ApiError> {
    let before = time::now().saturating_sub(i64::try_from(silence.as_micros()).unwrap_or(i64::MAX));
    let mut stopped = 0;
    // Nearly always there is none: the writer is not asked for that.
    while store.read(move |connection| tasks::has_silent(connection, before)).await? {
        let by = Identity::of_user(ACTOR, ACTOR, "system");
        stopped += store.write(move |tx| tasks::stop_silent(tx, before, TASKS_PER_STEP, &by)).await?;
    }
    Ok(stopped)
}
