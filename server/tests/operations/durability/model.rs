//! What one client knows to be in the server: its own tasks, queues, models and files, which nobody else touches.

use std::collections::{BTreeMap, BTreeSet};

/// Queues of each client.
pub(crate) const QUEUES: usize = 2;

/// A task as its client left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) status: String,
    /// Two parameters that are always written together.
    pub(crate) parameters: Option<(u64, u64)>,
    /// Console lines, sorted.
    pub(crate) lines: BTreeSet<String>,
    /// Iterations with a point.
    pub(crate) points: BTreeSet<i64>,
}

/// Everything that a client owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// By name.
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Names of the tasks that wait, the next one first.
    pub(crate) queues: [Vec<String>; QUEUES],
    /// Names with addresses.
    pub(crate) models: BTreeMap<String, String>,
    /// Paths with the seed and the length of what is in the file.
    pub(crate) files: BTreeMap<String, (u64, usize)>,
}

/// One request that changes something.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create {
        task: String,
    },
    /// Into a queue, and out of the other one if it waits there.
    Enqueue {
        task: String,
        queue: usize,
    },
    Dequeue {
        task: String,
    },
    Pop {
        queue: usize,
    },
    Edit {
        task: String,
        number: u64,
    },
    Report {
        task: String,
        batch: u64,
        lines: usize,
    },
    SetStatus {
        task: String,
        endpoint: &'static str,
        status: &'static str,
    },
    CreateModel {
        name: String,
        uri: String,
    },
    Upload {
        path: String,
        seed: u64,
        length: usize,
    },
}

/// The lines of one batch.
pub(crate) fn batch_lines(batch: u64, lines: usize) -> impl Iterator<Item = String> {
    (0..lines).map(move |line| format!("batch {batch} line {line} of {lines}"))
}

impl Model {
    /// What is there when the operation is done.
    pub(crate) fn after(mut self, operation: &Operation) -> Self {
        match operation {
            Operation::Create { task } => {
                self.tasks.insert(task.clone(), Task { status: "created".to_owned(), ..Task::default() });
            }
            Operation::Enqueue { task, queue } => {
                self.leave_queues(task);
                self.queues[*queue].push(task.clone());
                self.task(task).status = "queued".to_owned();
            }
            Operation::Dequeue { task } => {
                self.leave_queues(task);
                self.task(task).status = "created".to_owned();
            }
            // The task stays `queued` until whoever took it says that it has started.
            Operation::Pop { queue } => {
                if !self.queues[*queue].is_empty() {
                    self.queues[*queue].remove(0);
                }
            }
            Operation::Edit { task, number } => self.task(task).parameters = Some((*number, *number)),
            Operation::Report { task, batch, lines } => {
                let task = self.task(task);
                task.lines.extend(batch_lines(*batch, *lines));
                task.points.extend((0..*lines).map(|line| point(*batch, line)));
            }
            Operation::SetStatus { task, endpoint, status } => {
                let task = self.task(task);
                task.status = (*status).to_owned();
                if *endpoint == "tasks.reset" {
                    task.lines.clear();
                    task.points.clear();
                }
            }
            Operation::CreateModel { name, uri } => {
                self.models.insert(name.clone(), uri.clone());
            }
            Operation::Upload { path, seed, length } => {
                self.files.insert(path.clone(), (*seed, *length));
            }
        }
        self
    }

    /// Names of the tasks with this status that wait in no queue, or in one.
    pub(crate) fn tasks_with(&self, status: &str, waits: bool) -> Vec<String> {
        let named = self.tasks.iter().filter(|(name, task)| task.status == status && self.waits(name) == waits);
        named.map(|(name, _)| name.clone()).collect()
    }

    fn waits(&self, task: &str) -> bool {
        self.queues.iter().flatten().any(|other| other == task)
    }

    fn leave_queues(&mut self, task: &str) {
        self.queues.iter_mut().for_each(|queue| queue.retain(|other| other != task));
    }

    fn task(&mut self, name: &str) -> &mut Task {
        self.tasks.get_mut(name).unwrap()
    }
}

/// The iteration of one point of a batch.
pub(crate) fn point(batch: u64, line: usize) -> i64 {
    (batch * 100) as i64 + line as i64
}
