//! What many jobs of one transaction write to the same row: noted by each of them, written once before the commit.
//!
//! Sixteen clients that enqueue into one queue touch that queue, its history and one project sixteen times in the same
//! transaction; only the last value of each ever reaches the disk.

use std::collections::BTreeMap;

use rusqlite::params;

use super::time_series::{self, Shift};
use super::{StoreResult, Tx};
use crate::time::Micros;

/// One note of one job.
#[derive(Clone, Debug)]
pub(super) enum Shared {
    /// The entries of a queue changed.
    Queue { id: String, shift: Shift, now: Micros },
    /// Something in a project changed.
    Project { id: String, now: Micros },
}

/// Writes the notes of a transaction. One about a queue or project that a later job deleted is void.
pub(super) fn write(tx: &Tx<'_>, notes: Vec<Shared>) -> StoreResult<()> {
    let mut queues: BTreeMap<String, Vec<(Shift, Micros)>> = BTreeMap::new();
    let mut projects: BTreeMap<String, Micros> = BTreeMap::new();
    for note in notes {
        match note {
            Shared::Queue { id, shift, now } => queues.entry(id).or_default().push((shift, now)),
            Shared::Project { id, now } => {
                projects.insert(id, now);
            }
        }
    }
    for (queue, shifts) in queues {
        let last = shifts.last().map(|(_, now)| *now);
        let touched =
            tx.prepare_cached("UPDATE queues SET last_update = ? WHERE id = ?")?.execute(params![last, queue])?;
        if touched > 0 {
            time_series::record_queue(tx, &queue, &shifts)?;
        }
    }
    for (project, now) in projects {
        tx.prepare_cached("UPDATE projects SET last_update = ? WHERE id = ?")?.execute(params![now, project])?;
    }
    Ok(())
}
