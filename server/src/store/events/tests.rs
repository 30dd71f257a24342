//! Events in a real database.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::delete::purge_deleted;
use super::*;
use crate::config::EventLimits;
use crate::signals::Signals;
use crate::store::Store;

pub(super) const NO_LIMITS: EventLimits = EventLimits {
    log_lines: None,
    log_bytes: None,
    series: None,
    series_events: None,
    series_bytes: None,
    log_age: None,
    series_age: None,
};

pub(super) const ARRIVAL: Arrival<'static> = Arrival { worker: "w", now: 1_000_000, limits: &NO_LIMITS };

/// A store in a directory that goes away with it.
pub(super) struct TestStore {
    pub(super) store: Store,
    _directory: tempfile::TempDir,
}

/// A database in memory with the newest schema.
pub(super) fn connection() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    crate::store::migrations::run(&connection, std::path::Path::new(":memory:")).unwrap();
    connection
}

pub(super) fn open() -> TestStore {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("server.db"), Signals::default()).unwrap();
    TestStore { store, _directory: directory }
}

impl TestStore {
    pub(super) async fn add(&self, events: Vec<NewEvent>) {
        let added = self.store.write(move |tx| append(tx, events, ARRIVAL, |_| Ok(None))).await.unwrap();
        assert!(added.rejected.is_empty());
    }

    pub(super) async fn read<T: Send + 'static>(&self, query: impl FnOnce(&Connection) -> T + Send + 'static) -> T {
        self.store.read(move |connection| Ok(query(connection))).await.unwrap()
    }

    pub(super) async fn rows(&self, table: &'static str) -> i64 {
        self.read(move |connection| {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        })
        .await
    }
}

pub(super) fn event(timestamp: i64, body: Body) -> NewEvent {
    NewEvent {
        owner: "t".to_owned(),
        is_model: false,
        allow_locked: false,
        timestamp: Some(timestamp),
        worker: None,
        body,
        extra: None,
    }
}

pub(super) fn line(timestamp: i64, message: &str) -> NewEvent {
    event(timestamp, Body::Log { level: "INFO".to_owned(), message: message.to_owned() })
}

pub(super) fn of_series(variant: &str, iter: i64, payload: Payload) -> NewEvent {
    event(iter * 10, Body::Series { metric: "m".to_owned(), variant: variant.to_owned(), iter, payload })
}

pub(super) fn scalar(variant: &str, iter: i64, value: f64) -> NewEvent {
    of_series(variant, iter, Payload::Scalar { value, x_axis_label: None })
}

pub(super) fn image(iter: i64, key: &str, url: &str) -> NewEvent {
    of_series("image", iter, Payload::Image { key: key.to_owned(), url: url.to_owned() })
}

pub(super) fn messages(connection: &Connection, from: Option<i64>, earlier: bool, size: usize) -> Vec<String> {
    let owner = owner_of(connection, "t").unwrap().unwrap();
    let page = LogPage { from, earlier, size, filter: MetricFilter::default() };
    log_page(connection, owner, &page).unwrap().0.into_iter().map(|line| line.message).collect()
}

#[tokio::test]
async fn console_lines_keep_their_order_and_pages_lose_none() {
    let store = open();
    store.add(vec![line(20, "c"), line(10, "a"), line(20, "d"), line(10, "b"), line(20, "e"), line(30, "f")]).await;
    let read = |from, earlier, size| store.read(move |connection| messages(connection, from, earlier, size));
    assert_eq!(read(None, false, 100).await, ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(read(None, true, 100).await, ["f", "e", "d", "c", "b", "a"]);
    // The rest of the timestamp comes along, in both directions.
    assert_eq!(read(None, false, 3).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(read(Some(20), false, 3).await, ["f"]);
    assert_eq!(read(None, true, 2).await, ["f", "e", "d", "c"]);
    assert_eq!(read(Some(20), true, 2).await, ["b", "a"]);
    assert_eq!(read(Some(10), true, 2).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_second_report_of_an_iteration_overwrites_the_first() {
    let store = open();
    store.add(vec![scalar("v", 1, 1.0), scalar("v", 2, 2.0)]).await;
    store.add(vec![scalar("v", 2, 8.0)]).await;
    store.add(vec![image(1, "a", "u"), image(1, "a", "w"), image(1, "b", "x")]).await;
    store
        .add(vec![of_series("p", 1, Payload::Plot("{}".to_owned())), of_series("p", 1, Payload::Plot("[]".to_owned()))])
        .await;
    assert_eq!((store.rows("scalar_points").await, store.rows("image_events").await), (2, 2));
    let (metrics, curve, plots) = store
        .read(|connection| {
            let owner = owner_of(connection, "t").unwrap().unwrap();
            let series = series_of(connection, owner, &[Kind::Scalar], &MetricFilter::default()).unwrap();
            let curve = sampled(connection, &series[0], Axis::Iteration, 100).unwrap();
            let plots = series_of(connection, owner, &[Kind::Plot], &MetricFilter::default()).unwrap();
            let shown = Shown { owner: "t", is_model: false };
            let plots = last_events(connection, shown, &plots[0], 5).unwrap();
            (task_metrics(connection, &["t"]).unwrap().remove("t").unwrap(), curve, plots)
        })
        .await;
    assert_eq!(curve, Sampled { x: vec![1, 2], y: vec![1.0, 8.0] });
    assert_eq!(plots.len(), 1);
    assert_eq!(plots[0].1["plot_str"], "[]");
    let metric = "6f8f57715090da2632453988d9a1501b";
    let variant = "9e3669d19b675bd57058fd4664205d2a";
    assert_eq!(
        metrics.last_metrics[metric][variant],
        json!({
            "metric": "m", "variant": "v", "value": 8.0, "min_value": 1.0, "min_value_iteration": 1, "max_value": 8.0,
            "max_value_iteration": 2, "first_value": 1.0, "first_value_iteration": 1, "count": 3,
            "mean_value": 11.0 / 3.0,
        })
    );
    assert_eq!(metrics.unique_metrics, [json!("m/v")]);
    assert_eq!(
        metrics.metric_stats[metric]["event_stats_by_type"],
        json!({
            "training_stats_scalar": {"last_update": 20}, "training_debug_image": {"last_update": 10},
            "plot": {"last_update": 10},
        })
    );
}

#[tokio::test]
async fn all_events_are_merged_by_iteration_in_pages_of_any_size() {
    let store = open();
    let mut events: Vec<NewEvent> = (0..40).map(|iter| scalar("a", iter, 1.0)).collect();
    events.extend((10..30).step_by(2).map(|iter| scalar("b", iter, 2.0)));
    events.extend([image(12, "x", "1"), image(12, "y", "2"), image(12, "z", "3"), image(35, "x", "4")]);
    events.extend([line(5, "one"), line(5, "two"), line(1, "zero")]);
    let count = events.len();
    store.add(events).await;
    for descending in [false, true] {
        let whole = read_all(&store, descending, 1000).await;
        assert_eq!(whole.len(), count);
        let iterations: Vec<i64> = whole.iter().filter_map(|event| event["iter"].as_i64()).collect();
        let mut sorted = iterations.clone();
        sorted.sort();
        if descending {
            sorted.reverse();
        }
        assert_eq!(iterations, sorted);
        assert_eq!(
            whole.iter().rev().take(3).filter(|event| event["type"] == "log").count(),
            3,
            "console lines are last"
        );
        for size in [1, 2, 3, 7, 50] {
            assert_eq!(read_all(&store, descending, size).await, whole, "pages of {size}, descending: {descending}");
        }
    }
}

async fn read_all(store: &TestStore, descending: bool, size: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = Cursor::Start;
    loop {
        let (page, next) = store
            .read(move |connection| {
                let owner = owner_of(connection, "t").unwrap().unwrap();
                let series = series_of(connection, owner, &Kind::ALL, &MetricFilter::default()).unwrap();
                let shown = Shown { owner: "t", is_model: false };
                let query = MergeQuery { shown, owner, series: &series, with_log: true, descending, size };
                merged_page(connection, &query, &cursor).unwrap()
            })
            .await;
        if page.is_empty() {
            return all;
        }
        assert!(page.len() <= size);
        all.extend(page);
        cursor = next;
    }
}

#[tokio::test]
async fn images_whose_file_was_overwritten_are_not_shown() {
    let store = open();
    // A history of two files, used in turn.
    store.add((0..6).map(|iter| image(iter, "k", &format!("file-{}", iter % 2))).collect()).await;
    let shown = store
        .read(|connection| {
            let owner = owner_of(connection, "t").unwrap().unwrap();
            let series = series_of(connection, owner, &[Kind::Image], &MetricFilter::default()).unwrap();
            let latest = iterations_of(connection, &series, (i64::MIN, i64::MAX), true, 10).unwrap();
            let one = iterations_of(connection, &series, (i64::MIN, 4), true, 10).unwrap();
            let earliest = iterations_of(connection, &series, (0, i64::MAX), false, 1).unwrap();
            (latest, one, earliest)
        })
        .await;
    assert_eq!(shown, (vec![5, 4], vec![4], vec![4]));
}

#[tokio::test]
async fn deleted_events_are_invisible_at_once_and_gone_in_the_end() {
    let store = open();
    for batch in 0..3 {
        let events = (0..3000).map(|n| scalar(if n % 2 == 0 { "a" } else { "b" }, batch * 10_000 + n, 1.0)).collect();
        store.add(events).await;
        store.add((0..1000).map(|n| line(n, "x")).collect()).await;
    }
    store.add(vec![image(1, "k", "u"), of_series("p", 1, Payload::Plot("{}".to_owned()))]).await;
    let deleted = store.store.write(|tx| delete_for_tasks(tx, &["t".to_owned()])).await.unwrap();
    assert_eq!(deleted, 12_002);
    assert!(store.read(|connection| owner_of(connection, "t").unwrap().is_none()).await);
    assert_eq!(store.rows("scalar_points").await, 9000, "too many for one transaction");
    store.add(vec![scalar("new", 1, 1.0), line(1, "new")]).await;
    purge_deleted(&store.store).await.unwrap();
    for (table, rows) in [
        ("scalar_points", 1),
        ("console_lines", 1),
        ("image_events", 0),
        ("payload_events", 0),
        ("event_series", 1),
        ("event_owners", 1),
    ] {
        assert_eq!(store.rows(table).await, rows, "{table}");
    }
    // A few go at once.
    store.store.write(|tx| delete_owner(tx, "t")).await.unwrap();
    assert_eq!((store.rows("event_owners").await, store.rows("scalar_points").await), (0, 0));
}

#[tokio::test]
async fn reads_use_their_indexes() {
    let store = open();
    store.add(vec![line(1, "x"), scalar("v", 1, 1.0), image(1, "k", "u")]).await;
    for (sql, index) in [
        (
            "SELECT message FROM console_lines WHERE owner = 1 AND (timestamp, id) > (5, 1) ORDER BY timestamp, id LIMIT 9",
            "console_lines_order",
        ),
        ("SELECT value FROM scalar_points WHERE series = 1 AND iter > 5 ORDER BY iter LIMIT 9", "PRIMARY KEY"),
        (
            "SELECT url FROM image_events WHERE series = 1 AND (iter, image_key) < (5, 'a') \
             ORDER BY iter DESC, image_key DESC LIMIT 9",
            "sqlite_autoindex_image_events_1",
        ),
        (
            "SELECT (SELECT s.value FROM event_owners o JOIN event_series s ON s.owner = o.key AND s.kind = 1 \
             WHERE o.owner = 't' AND s.metric_hash = 'a' AND s.variant_hash = 'b')",
            "sqlite_autoindex_event_series_1",
        ),
    ] {
        let plan: Vec<String> = store
            .read(move |connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                let rows = statement.query_map([], |row| row.get(3)).unwrap();
                rows.map(Result::unwrap).collect()
            })
            .await;
        let plan = plan.join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN c"), "{sql}: {plan}");
    }
}
