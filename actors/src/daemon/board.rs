//! The read model: what `status` shows. Invariant B1: nobody decides from it.

use std::sync::Arc;

use dashmap::DashMap;
use protocols::control::TaskSnapshot;
use protocols::ids::TaskId;

/// Snapshots of the live tasks. `TaskManager` owns the set of entries, each `TaskRunner` writes its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<DashMap<TaskId, TaskSnapshot>>);

impl Board {
    /// Shows a task, or shows it anew.
    pub(crate) fn put(&self, snapshot: TaskSnapshot) {
        self.0.insert(snapshot.task.clone(), snapshot);
    }

    /// Changes what is shown of a task, if it is shown at all.
    pub(crate) fn update(&self, task: &TaskId, change: impl FnOnce(&mut TaskSnapshot)) {
        if let Some(mut snapshot) = self.0.get_mut(task) {
            change(&mut snapshot);
        }
    }

    /// Takes a task off.
    pub(crate) fn remove(&self, task: &TaskId) {
        self.0.remove(task);
    }

    /// Everything shown, oldest pull first.
    pub(crate) fn snapshots(&self) -> Vec<TaskSnapshot> {
        let mut snapshots: Vec<_> = self.0.iter().map(|entry| entry.value().clone()).collect();
        snapshots.sort_by(|a, b| (a.pulled_at_ms, &a.task).cmp(&(b.pulled_at_ms, &b.task)));
        snapshots
    }
}
