//! How long a filter may keep a processor busy.
//!
//! Filters and patterns come from outside, and some are slow on purpose. A query runs on one thread from its beginning
//! to its end, so its budget is kept by thread: SQLite asks every few thousand steps, and the pattern function before it
//! reads a long text.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// Processor time of one query at most.
const LIMIT: Duration = Duration::from_millis(900);

/// Steps of the database between two looks at the clock: a fraction of a millisecond of plain ones.
const STEPS: i32 = 2000;

thread_local! {
    static BEGAN: Cell<Option<Began>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, Debug)]
struct Began {
    at: Instant,
    /// Processor time that the thread had used.
    used: Option<Duration>,
}

/// Lets queries on this connection be ended by their [`Budget`].
pub(crate) fn watch_time(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.progress_handler(STEPS, Some(is_spent))
}

/// The budget of the query that runs on this thread, until it is dropped.
#[derive(Debug)]
pub(super) struct Budget(());

impl Budget {
    /// Starts to count.
    pub(super) fn start() -> Self {
        BEGAN.set(Some(Began { at: Instant::now(), used: used_by_thread() }));
        Self(())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        BEGAN.set(None);
    }
}

/// Whether the query on this thread has used up its time; never, outside of one.
pub(super) fn is_spent() -> bool {
    let Some(began) = BEGAN.get() else { return false };
    let elapsed = began.at.elapsed();
    if elapsed < LIMIT {
        return false;
    }
    // A busy machine lets threads wait; waiting is not the fault of the filter.
    match (began.used, used_by_thread()) {
        (Some(before), Some(now)) => now.saturating_sub(before) >= LIMIT,
        _ => true,
    }
}

/// Processor time of this thread, where the system tells it.
fn used_by_thread() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_query_ends_and_the_next_one_has_a_budget_of_its_own() {
        let mut connection = Connection::open_in_memory().unwrap();
        watch_time(&mut connection).unwrap();
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
        let before = used_by_thread();
        let budget = Budget::start();
        let error = connection.query_row(endless, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        assert!(is_spent());
        if let (Some(before), Some(after)) = (before, used_by_thread()) {
            assert!(after - before < LIMIT * 2, "a look at the clock comes often enough");
        }
        drop(budget);
        assert!(!is_spent());
        let _budget = Budget::start();
        assert_eq!(connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0)), Ok(1));
    }
}
