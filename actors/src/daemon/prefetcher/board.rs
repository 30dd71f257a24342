//! What `hostler status` shows of it. Invariant B1: nobody decides from it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use protocols::control::PrefetchStatus;
use protocols::ids::TaskId;

use super::ahead::Done;

/// Only the prefetcher's loop writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefetchBoard(Arc<RwLock<PrefetchStatus>>);

impl PrefetchBoard {
    /// What is there to show, if anything.
    pub(crate) fn shown(&self) -> Option<PrefetchStatus> {
        let status = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        (status != PrefetchStatus::default()).then_some(status)
    }

    pub(super) fn set_now(&self, task: Option<&TaskId>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).now = task.cloned();
    }

    pub(super) fn set_done(&self, done: &BTreeMap<TaskId, Done>) {
        let mut status = self.0.write().unwrap_or_else(PoisonError::into_inner);
        status.ready.clear();
        status.failed.clear();
        for (task, done) in done {
            match done {
                Done::Ready => status.ready.push(task.clone()),
                Done::Failed(why) => {
                    status.failed.insert(task.clone(), why.clone());
                }
            }
        }
    }
}
