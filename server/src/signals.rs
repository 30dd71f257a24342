//! Wakes callers that wait for a change of the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Something in the store that callers wait for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Change {
    /// An entry was added to the queue of this id, or the queue is gone.
    Queue(String),
    /// Status or status message of the task of this id changed, or the task is gone.
    Task(String),
    /// A user, its credentials, its password, or an ended session.
    Accounts,
}

/// Who waits for what. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    waiters: Arc<Mutex<HashMap<Change, Vec<Arc<Notify>>>>>,
    accounts: Arc<AtomicU64>,
    stopping: CancellationToken,
}

impl Signals {
    /// Starts to wait for `changes`. From now on none of them is missed: one that happens between this call
    /// and [`Waiter::woken`] makes the latter return at once.
    pub(crate) fn wait_for(&self, changes: Vec<Change>) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut waiters = self.lock();
        for change in &changes {
            waiters.entry(change.clone()).or_default().push(Arc::clone(&notify));
        }
        drop(waiters);
        Waiter { signals: self.clone(), changes, notify }
    }

    /// Wakes everybody who waits for `change`. Call it after the change is durable.
    pub(crate) fn raise(&self, change: &Change) {
        if *change == Change::Accounts {
            self.accounts.fetch_add(1, Ordering::Release);
        }
        for notify in self.lock().get(change).into_iter().flatten() {
            // One permit is kept for a waiter that is not yet waiting.
            notify.notify_one();
        }
    }

    /// How many commits have changed what callers are checked against.
    pub(crate) fn accounts(&self) -> u64 {
        self.accounts.load(Ordering::Acquire)
    }

    /// Releases everybody, now and later: the server stops.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Change, Vec<Arc<Notify>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller that waits; dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Waiter {
    signals: Signals,
    changes: Vec<Change>,
    notify: Arc<Notify>,
}

impl Waiter {
    /// Returns true after a change, false when the server stops.
    pub(crate) async fn woken(&self) -> bool {
        tokio::select! {
            () = self.notify.notified() => true,
            () = self.signals.stopping.cancelled() => false,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.signals.lock();
        for change in &self.changes {
            if let Some(notifies) = waiters.get_mut(change) {
                notifies.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
                if notifies.is_empty() {
                    waiters.remove(change);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_between_check_and_wait_is_not_lost() {
        let signals = Signals::default();
        let waiter = signals.wait_for(vec![Change::Queue("q".to_owned())]);
        signals.raise(&Change::Queue("q".to_owned()));
        assert!(waiter.woken().await);
        drop(waiter);
        assert!(signals.lock().is_empty(), "a waiter leaves nothing behind");
    }

    #[tokio::test]
    async fn stopping_releases_every_waiter() {
        let signals = Signals::default();
        let waiter = signals.wait_for(vec![Change::Task("t".to_owned())]);
        signals.stop();
        assert!(!waiter.woken().await);
    }
}
