//! What goes when there is too much, and what stays.

use std::time::Duration;

use rusqlite::Connection;

use super::housekeeper::{pack_left_over, sweep};
use super::tests::{ARRIVAL, NO_LIMITS, connection, image, line, messages, of_series, open, scalar};
use super::*;
use crate::config::EventLimits;

fn add(
    connection: &Connection,
    events: Vec<NewEvent>,
    limits: &EventLimits,
) -> std::collections::BTreeMap<String, u64> {
    append(connection, events, Arrival { limits, ..ARRIVAL }, |_| Ok(None)).unwrap().rejected
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_log_that_is_too_long_keeps_its_newest_lines() {
    let connection = connection();
    let limits = EventLimits { log_lines: Some(5), ..NO_LIMITS };
    for n in 0..40_i64 {
        assert!(add(&connection, vec![line(n, &format!("a{n}")), line(n, &format!("b{n}"))], &limits).is_empty());
        assert!(number(&connection, "SELECT log_lines FROM event_owners") <= 5);
    }
    assert_eq!(messages(&connection, None, false, 100), ["b37", "a38", "b38", "a39", "b39"]);
    assert_eq!(number(&connection, "SELECT trimmed_lines FROM event_owners"), 75);
    assert_eq!(number(&connection, "SELECT sum(length(message)) = log_bytes FROM console_lines, event_owners"), 1);
}

#[test]
fn a_log_that_is_too_large_keeps_at_least_its_last_line() {
    let connection = connection();
    let limits = EventLimits { log_bytes: Some(10), ..NO_LIMITS };
    add(&connection, vec![line(1, "1234"), line(2, "1234"), line(3, "12"), line(4, "äöü")], &limits);
    assert_eq!(messages(&connection, None, false, 100), ["12", "äöü"]);
    add(&connection, vec![line(5, "longer than the limit")], &limits);
    assert_eq!(messages(&connection, None, false, 100), ["longer than the limit"]);
}

#[test]
fn new_series_beyond_the_limit_are_refused_and_known_ones_go_on() {
    let connection = connection();
    let limits = EventLimits { series: Some(2), ..NO_LIMITS };
    let rejected = add(
        &connection,
        vec![scalar("a", 1, 1.0), scalar("b", 1, 1.0), scalar("c", 1, 1.0), scalar("c", 2, 1.0)],
        &limits,
    );
    let reason = "Too many metrics: a task can have 2 metrics and variants".to_owned();
    assert_eq!(rejected, [(reason, 2)].into());
    assert!(add(&connection, vec![scalar("a", 2, 1.0), line(1, "x")], &limits).is_empty());
    assert_eq!(number(&connection, "SELECT count(*) FROM event_series"), 2);
}

#[test]
fn plots_and_images_keep_their_latest_iterations() {
    let connection = connection();
    let plot = |iter: i64, bytes: usize| of_series("p", iter, Payload::Plot("x".repeat(bytes)));
    let limits = EventLimits { series_bytes: Some(100), series_events: Some(4), ..NO_LIMITS };
    for iter in 0..9 {
        add(&connection, vec![plot(iter, 40), image(iter, "k", "u")], &limits);
    }
    assert_eq!(number(&connection, "SELECT min(iter) FROM payload_events"), 7, "two of 40 bytes");
    assert_eq!(number(&connection, "SELECT bytes FROM event_series WHERE kind = 4"), 80);
    assert_eq!(number(&connection, "SELECT min_iter FROM event_series WHERE kind = 4"), 7);
    assert_eq!(number(&connection, "SELECT count(*) FROM image_events"), 4);
    // An overwritten plot counts once.
    add(&connection, vec![plot(8, 10)], &limits);
    assert_eq!(number(&connection, "SELECT bytes FROM event_series WHERE kind = 4"), 50);
    add(&connection, vec![plot(9, 500)], &limits);
    assert_eq!(number(&connection, "SELECT count(*) FROM payload_events"), 1, "the last one stays whatever its size");
}

#[tokio::test]
async fn what_is_old_goes_and_its_summary_stays() {
    let store = open();
    let mut events: Vec<NewEvent> = (0..40).map(|iter| scalar("old", iter, 2.0)).collect();
    events.push(scalar("old", model::SINGLE_VALUE_ITER, 3.0));
    events.extend([scalar("live", 1, 1.0), scalar("live", 100, 1.0), line(100, "old"), line(900, "new")]);
    events.push(of_series("p", 3, Payload::Plot("{}".to_owned())));
    store.add(events).await;
    let ages = EventLimits {
        log_age: Some(Duration::from_millis(500)),
        series_age: Some(Duration::from_millis(500)),
        ..NO_LIMITS
    };
    sweep(&store.store, ages, 1000).await.unwrap();
    assert_eq!(store.read(|connection| messages(connection, None, false, 9)).await, ["new"]);
    assert_eq!((store.rows("scalar_points").await, store.rows("payload_events").await), (2, 0));
    assert_eq!(store.rows("scalar_packs").await, 0);
    let metrics = store.read(|connection| task_metrics(connection, &["t"]).unwrap().remove("t").unwrap()).await;
    assert_eq!(metrics.unique_metrics.len(), 2, "the last values of what is gone are still shown");
    // A limit that was lowered is kept too.
    let lower = EventLimits { series_events: Some(1), ..NO_LIMITS };
    sweep(&store.store, lower, 1000).await.unwrap();
    assert_eq!(store.rows("scalar_points").await, 1);
}

#[tokio::test]
async fn what_is_published_does_not_go_for_its_age() {
    let store = open();
    store.add(vec![line(1, "kept"), scalar("kept", 1, 1.0)]).await;
    store
        .store
        .write(|tx| {
            tx.execute(
                "INSERT INTO tasks (id, name, type, status, user, company, created, last_update, last_change) \
                 VALUES ('t', 'name', 'training', 'published', 'u', 'c', 0, 0, 0)",
                [],
            )?;
            Ok(())
        })
        .await
        .unwrap();
    let ages = EventLimits { log_age: Some(Duration::ZERO), series_age: Some(Duration::ZERO), ..NO_LIMITS };
    sweep(&store.store, ages, 1_000_000).await.unwrap();
    assert_eq!((store.rows("scalar_points").await, store.rows("console_lines").await), (1, 1));
}

#[tokio::test]
async fn curves_of_an_earlier_version_are_packed_at_the_start() {
    let store = open();
    store.add((0..1000).map(|iter| scalar("v", iter, 1.0)).collect()).await;
    store.store.write(|tx| packs::discard(tx, 1)).await.unwrap();
    assert_eq!(store.rows("scalar_packs").await, 0);
    pack_left_over(&store.store).await.unwrap();
    assert!(store.rows("scalar_packs").await > 100);
    let problem = store.read(|connection| {
        let owner = owner_of(connection, "t").unwrap().unwrap();
        packs::difference(
            connection,
            &series_of(connection, owner, &[Kind::Scalar], &MetricFilter::default()).unwrap()[0],
        )
        .unwrap()
    });
    assert_eq!(problem.await, None);
}
