//! Why a task waits: what `hostler status --explain` is answered.

use serde::{Deserialize, Serialize};

use crate::control::DaemonMode;
use crate::failure::Phase;
use crate::gpu::{DemandSource, GpuCard, Share};
use crate::ids::{GpuId, QueueId, TaskId, WorkerId};

/// A task, or the next task of a queue, and what keeps it from running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The queue that it waits in, or came from.
    pub queue: Option<QueueState>,
    /// The task; absent where a queue was asked about that has none.
    pub task: Option<TaskName>,
    /// How much it wants of the cards that are divided among tasks.
    pub demand: Option<String>,
    /// Who says so.
    pub demand_of: Option<DemandSource>,
    /// Where it is.
    pub standing: Standing,
    /// The tasks of other queues that are judged before it and wait too, the first first.
    pub in_front: Vec<InFront>,
    /// Cards that are not given out for now.
    pub out_of_use: Vec<OutOfUse>,
    /// Whether the server answered the last call; without it nothing is taken.
    pub server_reachable: bool,
}

/// A queue as the daemon serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// Its id.
    pub id: QueueId,
    /// Its name.
    pub name: String,
    /// How much its tasks get of cards that are divided among tasks.
    pub demand: Option<String>,
    /// How many tasks wait in it.
    pub waiting: usize,
    /// How many of its tasks run here.
    pub running: usize,
}

/// A task for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskName {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: String,
}

/// Where a task is, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Nothing waits in the queue.
    Empty,
    /// It runs.
    Runs {
        /// In whose name.
        worker: WorkerId,
        /// With which cards.
        gpus: Vec<GpuCard>,
        /// How much of each.
        share: Share,
        /// What it does.
        phase: Phase,
    },
    /// Its last run has ended, and the server has not acknowledged that yet.
    Settles,
    /// Others of its queue are before it.
    InQueue {
        /// How many.
        before: usize,
        /// The next of the queue.
        next: TaskName,
    },
    /// Nothing keeps it: it is taken at the next look into the queues.
    Next,
    /// It waits for cards; what is free of them goes to nobody behind it.
    WaitsForCards {
        /// The cards.
        cards: Vec<AwaitedCard>,
    },
    /// It waits for a MIG instance that is made for it.
    WaitsForInstance {
        /// The index of the card that is kept for it until enough of what runs there has ended; absent where there is
        /// room.
        gpu: Option<u32>,
        /// Why it could not be made the last time.
        failed: Option<String>,
    },
    /// Nothing is kept for it yet: so many others may pass first.
    LetsPass {
        /// How many have.
        passed: u32,
        /// How many may.
        patience: u32,
    },
    /// Every card is held by those in front of it.
    Behind,
    /// The machine has enough cards, but some are not given out for now.
    Lacks {
        /// How many are.
        usable: usize,
    },
    /// The machine has not so many cards: another one that serves the queue may.
    Never {
        /// How many it gives out of the kind that is wanted.
        cards: usize,
    },
    /// What the task says of GPUs makes no sense: it fails when it is its turn.
    Refused {
        /// Why.
        why: String,
    },
    /// Every worker of the queue is busy.
    WaitsForWorker {
        /// The workers, and what they do.
        workers: Vec<BusyWorker>,
    },
    /// As many services run as may.
    WaitsForService {
        /// How many may.
        limit: u32,
        /// The services.
        workers: Vec<BusyWorker>,
    },
    /// The daemon is on its way out and takes nothing.
    NotTaken {
        /// What it does.
        mode: DaemonMode,
    },
}

/// A card that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedCard {
    /// It.
    #[serde(flatten)]
    pub card: GpuCard,
    /// Who has it, or parts of it. Nobody: it is kept for the task that waits.
    pub held_by: Vec<Holding>,
}

/// A task that has a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The task.
    #[serde(flatten)]
    pub task: TaskName,
    /// How much of the card.
    pub share: Share,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: i64,
}

/// A worker and its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusyWorker {
    /// The worker.
    pub worker: WorkerId,
    /// Its task; absent in the moment between two.
    pub task: Option<TaskName>,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: Option<i64>,
}

/// A task that goes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFront {
    /// The task.
    pub task: TaskId,
    /// Its queue.
    pub queue: String,
    /// How much it wants.
    pub demand: String,
    /// The indexes of the cards that are kept for it.
    pub gpus: Vec<u32>,
}

/// A card that is not given out for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutOfUse {
    /// The card, or instance.
    pub gpu: GpuId,
    /// Its index.
    pub index: u32,
    /// Why.
    pub why: String,
}
