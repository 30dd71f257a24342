//! The journal: an intent log for recovery, not a debug log. Folding it gives back what the daemon knew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gpu::{GpuCard, GpuTrouble, Share};
use crate::ids::{QueueId, TaskId, WorkerId};
use crate::lifecycle::{IllegalTransition, StopReason, TaskEvent, TaskState};

/// Newest version of [`JournalRecord`]'s encoding. The second knows parts of cards, and intents with cards; a record
/// without these is written as in the first, so that an older program reads it. The third knows tasks that are stopped for
/// a GPU's sake, the fourth MPS shares.
pub const JOURNAL_VERSION: u16 = 4;

/// What is written down, before its effect (invariant J1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalRecord {
    /// The task is at the head of a queue and is about to be taken: the destructive call may or may not follow.
    PullIntended {
        /// In whose name.
        worker: WorkerId,
        /// From which queue.
        queue: QueueId,
        /// The cards leased for it, where they do not follow from the worker.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gpus: Vec<GpuCard>,
        /// How much of each of them.
        #[serde(default = "Share::whole", skip_serializing_if = "Share::is_whole")]
        share: Share,
    },
    /// The intended pull did not happen.
    PullAbandoned,
    /// The task was taken. The sequence number of this entry names the run.
    Pulled {
        /// In whose name.
        worker: WorkerId,
        /// From which queue.
        queue: QueueId,
        /// The cards leased for it.
        gpus: Vec<GpuCard>,
        /// How much of each of them.
        #[serde(default = "Share::whole", skip_serializing_if = "Share::is_whole")]
        share: Share,
    },
    /// Something happened to the run.
    Event(TaskEvent),
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// From 1, increasing.
    pub sequence: u64,
    /// When it was appended, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Whose.
    pub task: TaskId,
    /// What.
    pub record: JournalRecord,
}

/// Bytes of a record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer version.
    #[error("journal record has version {0}, this program reads up to {JOURNAL_VERSION}")]
    Version(u16),
    /// Not a record.
    #[error("journal record is damaged")]
    Damaged(#[source] rmp_serde::decode::Error),
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u16,
    r: T,
}

impl JournalRecord {
    /// The bytes on disk: named MessagePack with a version.
    pub fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(&Versioned { v: self.version(), r: self })
            .expect("a record holds nothing that MessagePack cannot")
    }

    /// The oldest version that understands it.
    fn version(&self) -> u16 {
        match self {
            Self::PullIntended { share, .. } | Self::Pulled { share, .. } if share.is_mps() => 4,
            Self::Event(TaskEvent::StopRequested(StopReason::Gpu(stop))) if stop.trouble == GpuTrouble::MpsLost => 4,
            Self::PullIntended { gpus, share, .. } if !gpus.is_empty() || !share.is_whole() => 2,
            Self::Pulled { share, .. } if !share.is_whole() => 2,
            Self::Event(TaskEvent::StopRequested(StopReason::Gpu(_))) => 3,
            Self::PullIntended { .. } | Self::PullAbandoned | Self::Pulled { .. } | Self::Event(_) => 1,
        }
    }

    /// Reads [`JournalRecord::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct VersionOnly {
            v: u16,
        }
        let version: VersionOnly = rmp_serde::from_slice(bytes).map_err(RecordError::Damaged)?;
        if version.v > JOURNAL_VERSION {
            return Err(RecordError::Version(version.v));
        }
        let record: Versioned<Self> = rmp_serde::from_slice(bytes).map_err(RecordError::Damaged)?;
        Ok(record.r)
    }
}

/// One run of a task: from a pull to its settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The sequence number of its `Pulled`.
    pub pull: u64,
    /// In whose name.
    pub worker: WorkerId,
    /// From which queue.
    pub queue: QueueId,
    /// The cards leased for it.
    pub gpus: Vec<GpuCard>,
    /// How much of each of them.
    pub share: Share,
    /// Where it is.
    pub state: TaskState,
    /// When it was pulled, in milliseconds since the epoch.
    pub pulled_at_ms: i64,
    /// The sequence number of its newest entry.
    pub last_entry: u64,
}

/// A pull that may or may not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// In whose name.
    pub worker: WorkerId,
    /// From which queue.
    pub queue: QueueId,
    /// The cards leased for it; none where they follow from the worker.
    pub gpus: Vec<GpuCard>,
    /// How much of each of them.
    pub share: Share,
}

/// What the journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest run of every task.
    pub runs: BTreeMap<TaskId, Run>,
    /// Pulls that were intended and neither happened nor were abandoned.
    pub intents: BTreeMap<TaskId, Intent>,
}

/// A journal that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// An event that its run cannot have.
    #[error("journal entry {sequence}: {source}")]
    Illegal {
        /// The entry.
        sequence: u64,
        /// Why.
        #[source]
        source: Box<IllegalTransition>,
    },
    /// An event of a task that was never pulled.
    #[error("journal entry {sequence} belongs to task {task}, which was never pulled")]
    NeverPulled {
        /// The entry.
        sequence: u64,
        /// The task.
        task: TaskId,
    },
    /// A pull of a task whose run is not over.
    #[error("journal entry {sequence} pulls task {task}, whose run is not over")]
    PulledTwice {
        /// The entry.
        sequence: u64,
        /// The task.
        task: TaskId,
    },
}

impl Recovered {
    /// Folds the journal, oldest entry first.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a JournalEntry>) -> Result<Self, FoldError> {
        let mut recovered = Self::default();
        for entry in entries {
            recovered.apply(entry)?;
        }
        Ok(recovered)
    }

    fn apply(&mut self, entry: &JournalEntry) -> Result<(), FoldError> {
        let task = entry.task.clone();
        match &entry.record {
            JournalRecord::PullIntended { worker, queue, gpus, share } => {
                let (worker, queue) = (worker.clone(), queue.clone());
                self.intents.insert(task, Intent { worker, queue, gpus: gpus.clone(), share: *share });
            }
            JournalRecord::PullAbandoned => {
                self.intents.remove(&task);
            }
            JournalRecord::Pulled { worker, queue, gpus, share } => {
                self.intents.remove(&task);
                let run = Run {
                    pull: entry.sequence,
                    worker: worker.clone(),
                    queue: queue.clone(),
                    gpus: gpus.clone(),
                    share: *share,
                    state: TaskState::INITIAL,
                    pulled_at_ms: entry.at_ms,
                    last_entry: entry.sequence,
                };
                if let Some(before) = self.runs.insert(task.clone(), run)
                    && !matches!(before.state, TaskState::Settled(_))
                {
                    return Err(FoldError::PulledTwice { sequence: entry.sequence, task });
                }
            }
            JournalRecord::Event(event) => {
                let Some(run) = self.runs.get_mut(&task) else {
                    return Err(FoldError::NeverPulled { sequence: entry.sequence, task });
                };
                run.last_entry = entry.sequence;
                run.state = run
                    .state
                    .clone()
                    .next(event.clone())
                    .map_err(|source| FoldError::Illegal { sequence: entry.sequence, source })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{GpuStop, GpuTrouble, MilliGpu};
    use crate::ids::AttemptId;
    use crate::lifecycle::{Exit, Outcome};

    fn entry(sequence: u64, record: JournalRecord) -> JournalEntry {
        JournalEntry { sequence, at_ms: 0, task: TaskId::from("t"), record }
    }

    fn pulled() -> JournalRecord {
        let (worker, queue) = (WorkerId::from("w"), QueueId::from("q"));
        JournalRecord::Pulled { worker, queue, gpus: vec![], share: Share::WHOLE }
    }

    #[test]
    fn the_bytes_of_records_are_frozen() {
        let bytes = JournalRecord::Event(TaskEvent::AttemptStarted(AttemptId(1))).to_bytes();
        assert_eq!(bytes, b"\x82\xa1v\x01\xa1r\x81\xa5event\x81\xafattempt_started\x01");
        let bytes = JournalRecord::PullAbandoned.to_bytes();
        assert_eq!(bytes, b"\x82\xa1v\x01\xa1r\xaepull_abandoned");
        let bytes = pulled().to_bytes();
        assert_eq!(bytes, b"\x82\xa1v\x01\xa1r\x81\xa6pulled\x83\xa6worker\xa1w\xa5queue\xa1q\xa4gpus\x90");
        assert_eq!(JournalRecord::from_bytes(&bytes).unwrap(), pulled());
    }

    #[test]
    fn parts_of_cards_are_the_second_version() {
        let (worker, queue) = (WorkerId::from("w"), QueueId::from("q"));
        let half = JournalRecord::Pulled {
            worker: worker.clone(),
            queue: queue.clone(),
            gpus: vec![],
            share: Share::slot(MilliGpu(500)),
        };
        let bytes = half.to_bytes();
        let expected: &[u8] =
            b"\x82\xa1v\x02\xa1r\x81\xa6pulled\x84\xa6worker\xa1w\xa5queue\xa1q\xa4gpus\x90\xa5share\xcd\x01\xf4";
        assert_eq!(bytes, expected);
        assert_eq!(JournalRecord::from_bytes(&bytes).unwrap(), half);
        let card = GpuCard { id: "GPU-1".into(), index: 1, name: "n".to_owned(), memory_bytes: 2 };
        let intended = JournalRecord::PullIntended { worker, queue, gpus: vec![card], share: Share::WHOLE };
        let bytes = intended.to_bytes();
        let expected: &[u8] = b"\x82\xa1v\x02\xa1r\x81\xadpull_intended\x83\xa6worker\xa1w\xa5queue\xa1q\xa4gpus\x91\
            \x84\xa2id\xa5GPU-1\xa5index\x01\xa4name\xa1n\xacmemory_bytes\x02";
        assert_eq!(bytes, expected);
        assert_eq!(JournalRecord::from_bytes(&bytes).unwrap(), intended);
    }

    #[test]
    fn a_stop_for_a_cards_sake_is_the_third_version() {
        let stop = GpuStop { index: 3, trouble: GpuTrouble::Xid(79) };
        let record = JournalRecord::Event(TaskEvent::StopRequested(StopReason::Gpu(stop)));
        let bytes = record.to_bytes();
        let expected: &[u8] = b"\x82\xa1v\x03\xa1r\x81\xa5event\x81\xaestop_requested\x81\xa3gpu\x82\xa5index\x03\
            \xa7trouble\x81\xa3xid\x4f";
        assert_eq!(bytes, expected);
        assert_eq!(JournalRecord::from_bytes(&bytes).unwrap(), record);
    }

    #[test]
    fn a_newer_version_is_named() {
        let error = JournalRecord::from_bytes(b"\x82\xa1v\x63\xa1r\xa1x").unwrap_err();
        assert!(matches!(error, RecordError::Version(99)), "{error}");
        assert!(matches!(JournalRecord::from_bytes(b"\xc1"), Err(RecordError::Damaged(_))));
    }

    #[test]
    fn a_task_may_be_pulled_again_once_it_is_settled() {
        let a = AttemptId(1);
        let event = |event| JournalRecord::Event(event);
        let entries = [
            entry(1, pulled()),
            entry(2, event(TaskEvent::AttemptStarted(a))),
            entry(3, event(TaskEvent::EnvironmentReady(a))),
            entry(4, event(TaskEvent::UserStarted(a))),
            entry(5, event(TaskEvent::Exited(a, Exit::Code(0)))),
            entry(6, event(TaskEvent::Settled)),
            entry(7, pulled()),
        ];
        let recovered = Recovered::fold(&entries[..6]).unwrap();
        let run = &recovered.runs[&TaskId::from("t")];
        assert_eq!((run.pull, &run.state), (1, &TaskState::Settled(Outcome::Completed)));
        let recovered = Recovered::fold(&entries).unwrap();
        let run = &recovered.runs[&TaskId::from("t")];
        assert_eq!((run.pull, &run.state), (7, &TaskState::INITIAL));
        let twice = [entries[0].clone(), entries[6].clone()];
        assert!(matches!(Recovered::fold(&twice), Err(FoldError::PulledTwice { .. })));
    }

    #[test]
    fn an_intent_stays_until_it_is_decided() {
        let (worker, queue) = (WorkerId::from("w"), QueueId::from("q"));
        let intended = JournalRecord::PullIntended { worker, queue, gpus: vec![], share: Share::WHOLE };
        // As the first version wrote it.
        assert_eq!(intended.to_bytes(), b"\x82\xa1v\x01\xa1r\x81\xadpull_intended\x82\xa6worker\xa1w\xa5queue\xa1q");
        let fold = |entries: &[JournalEntry]| Recovered::fold(entries).unwrap().intents.len();
        assert_eq!(fold(&[entry(1, intended.clone())]), 1);
        assert_eq!(fold(&[entry(1, intended.clone()), entry(2, JournalRecord::PullAbandoned)]), 0);
        assert_eq!(fold(&[entry(1, intended), entry(2, pulled())]), 0);
    }
}
