//! States of the queues: one row for each second in which a queue changed.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::store::{StoreResult, Tx};
use crate::time::Micros;

/// How full a queue is from one moment on, until its next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueState {
    /// Since when, in milliseconds since the epoch.
    pub(crate) at: i64,
    /// Entries that wait.
    pub(crate) length: i64,
    /// Sum of the times at which they were added, in milliseconds since the epoch; wraps around.
    pub(crate) added: i64,
}

/// What a change does to a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shift {
    /// An entry came, which was added at this time.
    Came(Micros),
    /// An entry that was added at this time is gone.
    Gone(Micros),
    /// Nothing waits any more, or yet.
    Empty,
}

impl QueueState {
    fn second(&self) -> i64 {
        self.at.div_euclid(1000)
    }

    /// Seconds that the entries have waited at a moment of this state, on average; 0 if there are none.
    pub(crate) fn average_wait(&self, at: i64) -> f64 {
        if self.length <= 0 {
            return 0.0;
        }
        let waited = self.length.wrapping_mul(at).wrapping_sub(self.added);
        (waited as f64 / self.length as f64 / 1000.0).max(0.0)
    }

    fn shifted(self, shift: Shift) -> Self {
        match shift {
            Shift::Came(added) => {
                Self { length: self.length + 1, added: self.added.wrapping_add(added / 1000), ..self }
            }
            Shift::Gone(added) => {
                Self { length: self.length - 1, added: self.added.wrapping_sub(added / 1000), ..self }
            }
            Shift::Empty => Self { length: 0, added: 0, ..self },
        }
    }
}

fn state(row: &Row<'_>) -> rusqlite::Result<QueueState> {
    Ok(QueueState { at: row.get("at")?, length: row.get("length")?, added: row.get("added")? })
}

/// Notes changes of a queue and when they happened, the first one first, in the transaction of the changes.
pub(crate) fn record_queue(tx: &Tx<'_>, queue: &str, shifts: &[(Shift, Micros)]) -> StoreResult<()> {
    let series = match series_of(tx, queue)? {
        Some(series) => series,
        None => tx.prepare_cached("INSERT INTO queue_series (queue) VALUES (?)")?.insert([queue])?,
    };
    let mut last = last_before(tx, series, i64::MAX)?;
    let mut shifts = shifts.iter().peekable();
    while let Some((shift, now)) = shifts.next() {
        let at = now / 1000;
        let before = last.unwrap_or(QueueState { at, length: 0, added: 0 });
        // A clock that was set back does not turn the history around.
        let state = QueueState { at: at.max(before.at), ..before.shifted(*shift) };
        last = Some(state);
        // A second has one row: it is written when what comes next belongs to another.
        if shifts.peek().is_none_or(|(_, later)| (later / 1000).max(state.at).div_euclid(1000) != state.second()) {
            write_state(tx, series, state)?;
        }
    }
    Ok(())
}

fn write_state(tx: &Tx<'_>, series: i64, state: QueueState) -> StoreResult<()> {
    tx.prepare_cached(
        "INSERT INTO queue_states (series, second, at, length, added) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET at = excluded.at, length = excluded.length, added = excluded.added",
    )?
    .execute(params![series, state.second(), state.at, state.length, state.added])?;
    Ok(())
}

/// The number under which the states of a queue are kept.
pub(crate) fn series_of(connection: &Connection, queue: &str) -> StoreResult<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT key FROM queue_series WHERE queue = ?")?;
    Ok(statement.query_row([queue], |row| row.get(0)).optional()?)
}

/// Those numbers for every queue that people see.
pub(crate) fn visible_series(connection: &Connection) -> StoreResult<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT s.key FROM queue_series s JOIN queues q ON q.id = s.queue
         WHERE NOT EXISTS (SELECT 1 FROM json_each(q.system_tags) WHERE value = 'k8s-glue')",
    )?;
    let series = statement.query_map([], |row| row.get(0))?;
    Ok(series.collect::<Result<_, _>>()?)
}

/// The states from `from` to `to` (milliseconds since the epoch), oldest first, and before them the one that held at
/// `from`.
pub(crate) fn history(connection: &Connection, series: i64, from: i64, to: i64) -> StoreResult<Vec<QueueState>> {
    let mut states = Vec::from_iter(last_before(connection, series, from)?);
    let mut statement = connection.prepare_cached(
        "SELECT at, length, added FROM queue_states WHERE series = ? AND second BETWEEN ? AND ? ORDER BY second",
    )?;
    let later = statement.query_map([series, from.div_euclid(1000), to.div_euclid(1000)], state)?;
    for state in later {
        let state = state?;
        if state.at >= from && state.at <= to {
            states.push(state);
        }
    }
    Ok(states)
}

fn last_before(connection: &Connection, series: i64, before: i64) -> StoreResult<Option<QueueState>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, length, added FROM queue_states WHERE series = ? AND second <= ? AND at < ?
         ORDER BY second DESC LIMIT 1",
    )?;
    Ok(statement.query_row([series, before.div_euclid(1000), before], state).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_grow_between_changes() {
        let state = QueueState { at: 10_000, length: 0, added: 0 };
        assert_eq!(state.average_wait(20_000), 0.0);
        let state = state.shifted(Shift::Came(10_000_000)).shifted(Shift::Came(14_000_000));
        assert_eq!((state.length, state.average_wait(14_000), state.average_wait(20_000)), (2, 2.0, 8.0));
        let state = state.shifted(Shift::Gone(10_000_000));
        assert_eq!((state.length, state.average_wait(20_000)), (1, 6.0));
        assert_eq!(state.average_wait(1_000), 0.0, "a clock that was set back");
        assert_eq!(state.shifted(Shift::Empty).length, 0);
    }
}
