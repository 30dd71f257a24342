//! The end of every test with a daemon: is what it wrote down legal, and is everything accounted for?

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use protocols::gpu::{GpuLedger, LeaseId};
use protocols::ids::{GpuId, TaskId};
use protocols::journal::{JournalEntry, JournalRecord, Recovered};
use protocols::lifecycle::TaskState;
use protocols::order::{ExecutorRecord, RECORD_FILE, decode};

use super::Place;
use super::process::is_alive;
use super::wait::within;

/// Every entry of the journal in a state directory, oldest first. Reads beside a live daemon.
pub(crate) fn journal_of(state_dir: &Path) -> Vec<JournalEntry> {
    let path = state_dir.join("journal.db");
    let connection = rusqlite::Connection::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let mut statement =
        connection.prepare("SELECT sequence, at_ms, task, record FROM entry ORDER BY sequence").unwrap();
    let rows = statement
        .query_map([], |row| {
            let (sequence, record): (i64, Vec<u8>) = (row.get(0)?, row.get(3)?);
            Ok((sequence, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, record))
        })
        .unwrap();
    rows.map(|row| {
        let (sequence, at_ms, task, record) = row.unwrap();
        let record = JournalRecord::from_bytes(&record).unwrap();
        JournalEntry { sequence: sequence.cast_unsigned(), at_ms, task: TaskId::from(task), record }
    })
    .collect()
}

/// How many entries were ever appended to a journal of which no run has been forgotten yet.
pub(crate) fn appended(state_dir: &Path) -> u64 {
    let connection = rusqlite::Connection::open(state_dir.join("journal.db")).unwrap();
    let count = "SELECT seq - (SELECT min(sequence) FROM entry) + 1 FROM sqlite_sequence WHERE name = 'entry'";
    let count: Option<i64> = connection.query_row(count, [], |row| row.get(0)).unwrap();
    count.unwrap_or(0).cast_unsigned()
}

/// How long a daemon may take to write down what the server has acknowledged already.
const SETTLING: Duration = Duration::from_secs(30);

/// Audits the journal of a place's daemon; see [`check`].
#[track_caller]
pub(crate) fn audit(place: &Place) {
    audit_state(&place.path("state"));
}

/// Audits the journal in a state directory; see [`check`].
#[track_caller]
pub(crate) fn audit_state(state_dir: &Path) {
    within(SETTLING, "a journal that is in order", || check(state_dir));
}

/// Whether the journal in a state directory is in order.
///
/// Every history is legal; every pull has reached `Settled`, or has an executor that is alive; no card, at any point
/// of the journal, is leased beyond its whole; no intended pull is left undecided.
pub(crate) fn check(state_dir: &Path) -> Result<(), String> {
    let entries = journal_of(state_dir);
    let recovered = Recovered::fold(&entries).map_err(|error| format!("{error}\n{entries:#?}"))?;
    let living: Vec<ExecutorRecord> = std::fs::read_dir(state_dir.join("attempts"))
        .into_iter()
        .flatten()
        .filter_map(|entry| decode(&std::fs::read(entry.ok()?.path().join(RECORD_FILE)).ok()?).ok())
        .filter(|record: &ExecutorRecord| is_alive(record.executor.pid))
        .collect();
    for (task, run) in &recovered.runs {
        let settled = matches!(run.state, TaskState::Settled(_));
        if !settled && !living.iter().any(|record| record.task == *task) {
            return Err(format!("task {task} is {:?}, and nothing is alive that could bring it on", run.state));
        }
    }
    if !recovered.intents.is_empty() {
        return Err(format!("undecided pulls: {:?}", recovered.intents));
    }
    leases_stay_whole(&entries)
}

/// Replays every lease of the journal: from its pull to the entry that ends it.
fn leases_stay_whole(entries: &[JournalEntry]) -> Result<(), String> {
    let cards: Vec<GpuId> = entries
        .iter()
        .filter_map(|entry| match &entry.record {
            JournalRecord::Pulled { gpus, .. } => Some(gpus.iter().map(|card| card.id.clone())),
            JournalRecord::PullIntended { .. } | JournalRecord::PullAbandoned | JournalRecord::Event(_) => None,
        })
        .flatten()
        .collect();
    let mut ledger = GpuLedger::new(cards);
    let mut states: BTreeMap<TaskId, (LeaseId, TaskState)> = BTreeMap::new();
    for entry in entries {
        match &entry.record {
            JournalRecord::PullIntended { .. } | JournalRecord::PullAbandoned => {}
            JournalRecord::Pulled { gpus, share, .. } => {
                let lease = LeaseId(entry.sequence);
                let shares: Vec<_> = gpus.iter().map(|card| (card.id.clone(), *share)).collect();
                ledger.grant(lease, &shares).map_err(|error| format!("entry {}: {error}", entry.sequence))?;
                states.insert(entry.task.clone(), (lease, TaskState::INITIAL));
            }
            JournalRecord::Event(event) => {
                let (lease, state) = states.remove(&entry.task).unwrap();
                let held = state.holds_lease();
                let state = state.next(event.clone()).unwrap();
                if held && !state.holds_lease() {
                    ledger.release(lease).map_err(|error| format!("entry {}: {error}", entry.sequence))?;
                }
                states.insert(entry.task.clone(), (lease, state));
            }
        }
    }
    Ok(())
}
