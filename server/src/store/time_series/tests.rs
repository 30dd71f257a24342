//! What the history promises: migrated, trimmed in steps, never without how things are now.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Map, json};
use tempfile::TempDir;

use super::trim::trim;
use super::{Figures, QueueState, Report, Shift, history, record_queue, record_report, reporters, series_of};
use crate::signals::Signals;
use crate::store::queues::{self, NewQueue};
use crate::store::workers::{self, Property};
use crate::store::{Store, StoreResult};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

fn open(directory: &TempDir) -> Store {
    Store::open(&directory.path().join("test.db"), Signals::default()).unwrap()
}

async fn count(store: &Store, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read(move |connection| Ok(connection.query_row(&sql, [], |row| row.get(0))?)).await.unwrap()
}

fn states(connection: &Connection, queue: &str) -> StoreResult<Vec<QueueState>> {
    let series = series_of(connection, queue)?.expect("the queue has a history");
    history(connection, series, i64::MIN, i64::MAX)
}

#[tokio::test]
async fn a_second_has_one_state_and_a_clock_that_is_set_back_changes_no_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let found = store
        .write(|tx| {
            let shifts = [
                (Shift::Came(10 * SECOND), 10 * SECOND),
                (Shift::Came(10 * SECOND), 10 * SECOND + 5_000),
                (Shift::Came(20 * SECOND), 20 * SECOND),
                (Shift::Gone(10 * SECOND), 15 * SECOND),
            ];
            for shift in shifts {
                record_queue(tx, "one by one", &[shift])?;
            }
            record_queue(tx, "q", &shifts)?;
            assert_eq!(states(tx, "one by one")?, states(tx, "q")?);
            states(tx, "q")
        })
        .await
        .unwrap();
    let expected =
        [QueueState { at: 10_005, length: 2, added: 20_000 }, QueueState { at: 20_000, length: 2, added: 30_000 }];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn queues_of_an_older_database_have_a_history_from_their_last_change_on() {
    let directory = tempfile::tempdir().unwrap();
    let old = Connection::open(directory.path().join("test.db")).unwrap();
    for script in [
        include_str!("../schema/core.sql"),
        include_str!("../schema/queues.sql"),
        include_str!("../schema/workers.sql"),
        include_str!("../schema/tasks.sql"),
        include_str!("../schema/events.sql"),
        include_str!("../schema/projects.sql"),
        include_str!("../schema/models.sql"),
        "PRAGMA user_version = 1;
         INSERT INTO queues (id, name, company, user, created, last_update) VALUES
            ('full', 'full', '', '', 1000000, 30000000), ('empty', 'empty', '', '', 5000000, NULL);
         INSERT INTO queue_entries (queue, position, task, added) VALUES
            ('full', 1, 'a', 10000000), ('full', 2, 'b', 30000000);",
    ] {
        old.execute_batch(script).unwrap();
    }
    drop(old);
    let store = open(&directory);
    let found = store.read(|connection| Ok((states(connection, "full")?, states(connection, "empty")?))).await.unwrap();
    assert_eq!(found.0, [QueueState { at: 30_000, length: 2, added: 40_000 }]);
    assert_eq!(found.1, [QueueState { at: 5_000, length: 0, added: 0 }]);
    // And it goes on from there.
    let popped = store.write(|tx| queues::pop(tx, "full", None)).await.unwrap();
    assert_eq!(popped.map(|entry| entry.task).as_deref(), Some("a"));
    let after = store.read(|connection| states(connection, "full")).await.unwrap();
    assert_eq!((after[1].length, after[1].added), (1, 30_000));
}

#[tokio::test]
async fn what_is_too_old_goes_and_what_is_so_now_stays() {
    const DAY: i64 = 86_400 * SECOND;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let now = 100 * DAY;
    store
        .write(move |tx| {
            let queue = NewQueue { name: "kept".to_owned(), ..NewQueue::default() };
            let kept = queues::create(tx, queue)?;
            tx.execute("DELETE FROM queue_states", [])?;
            for second in 0..5_000 {
                record_queue(tx, &kept, &[(Shift::Came(second * SECOND), second * SECOND)])?;
                record_queue(tx, "deleted", &[(Shift::Empty, second * SECOND)])?;
                let stats = Map::from_iter([("cpu_usage".to_owned(), json!([1]))]);
                let report = Report { at: second * 1000, is_busy: false, figures: Figures::pack(&stats) };
                record_report(tx, "gone", &report)?;
                record_report(tx, "alive", &report)?;
            }
            record_report(tx, "alive", &Report { at: now / 1000, is_busy: true, figures: Figures::default() })?;
            record_queue(tx, "deleted lately", &[(Shift::Empty, now)])?;
            let property = |key: &str, expires| Property { key: key.to_owned(), value: Some(String::new()), expires };
            workers::set_properties(tx, "gone", &[property("k", None)], DAY)?;
            workers::set_properties(tx, "alive", &[property("k", None), property("over", Some(50 * DAY))], DAY)?;
            Ok(())
        })
        .await
        .unwrap();
    trim(&store, now, Duration::from_secs(30 * 86_400)).await.unwrap();
    let (states, reporters, properties) = store
        .read(move |connection| {
            let kept: String =
                connection.query_row("SELECT id FROM queues WHERE name = 'kept'", [], |row| row.get(0))?;
            let properties: Vec<String> = connection
                .prepare("SELECT worker || ' ' || key FROM worker_properties")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            Ok((states(connection, &kept)?, reporters(connection, &[])?, properties))
        })
        .await
        .unwrap();
    assert_eq!(states.iter().map(|state| state.length).collect::<Vec<_>>(), [5_000], "how full the queue is now");
    assert_eq!(reporters.iter().map(|reporter| &*reporter.worker).collect::<Vec<_>>(), ["alive"]);
    assert_eq!(properties, ["alive k"]);
    assert_eq!((count(&store, "queue_states").await, count(&store, "queue_series").await), (2, 2));
    assert_eq!(count(&store, "worker_reports").await, 1);
    // Nothing left to do: nothing happens.
    trim(&store, now, Duration::from_secs(30 * 86_400)).await.unwrap();
    assert_eq!(count(&store, "queue_states").await, 2);
}
