//! The promises of the store: isolation of jobs that share a commit, durability, damage.

use std::sync::Arc;

use protocols::clearml::error::ApiError;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{OpenError, Store, StoreResult};
use crate::signals::{Change, Signals};

fn open(directory: &TempDir) -> Store {
    Store::open(&directory.path().join("test.db"), Signals::default()).unwrap()
}

fn put(connection: &Connection, key: &str) -> StoreResult<()> {
    connection.execute("INSERT INTO settings (key, value) VALUES (?, '')", [key])?;
    Ok(())
}

async fn count(store: &Store) -> i64 {
    store.read(|c| Ok(c.query_row("SELECT count(*) FROM settings", [], |row| row.get(0))?)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_that_share_a_commit_fail_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut jobs = JoinSet::new();
    for number in 0..200_u32 {
        let store = store.clone();
        jobs.spawn(async move {
            let outcome = store
                .write(move |tx| {
                    put(tx, &format!("key {number}"))?;
                    match number % 4 {
                        0 => Err(ApiError::bad_request("refused after the write", &[]).into()),
                        1 => panic!("a job that panics after its write"),
                        _ => Ok(number),
                    }
                })
                .await;
            match number % 4 {
                0 => assert!(outcome.unwrap_err().is(400, 0)),
                1 => assert!(outcome.unwrap_err().is(500, 1)),
                _ => assert_eq!(outcome.unwrap(), number),
            }
        });
    }
    jobs.join_all().await;
    assert_eq!(count(&store).await, 100);
}

#[tokio::test]
async fn an_answered_write_is_seen_by_every_later_read_and_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for number in 1..=20 {
        store.write(move |tx| put(tx, &number.to_string())).await.unwrap();
        assert_eq!(count(&store).await, number);
    }
    store.close().await;
    let late = store.write(|tx| put(tx, "late")).await.unwrap_err();
    assert!(late.is(500, 102), "{late}");
    drop(store);
    assert_eq!(count(&open(&directory)).await, 20);
}

#[tokio::test]
async fn readers_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let error = open(&directory).read(|connection| put(connection, "x")).await.unwrap_err();
    assert!(error.is(500, 102), "{error}");
}

#[tokio::test]
async fn items_of_a_batch_fail_alone_and_announce_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let signals = Signals::default();
    let store = Store::open(&directory.path().join("test.db"), signals.clone()).unwrap();
    let heard = signals.wait_for(vec![Change::Task("good".to_owned())]);
    let unheard = signals.wait_for(vec![Change::Task("bad".to_owned())]);
    let item = |tx: &super::Tx<'_>, name: &'static str, fails: bool| {
        tx.attempt(|| {
            put(tx, name)?;
            tx.changed(Change::Task(name.to_owned()));
            if fails { Err(ApiError::bad_request("", &[]).into()) } else { Ok(()) }
        })
    };
    store
        .write(move |tx| {
            assert!(item(tx, "bad", true)?.is_err());
            assert!(item(tx, "good", false)?.is_ok());
            Ok(())
        })
        .await
        .unwrap();
    assert!(heard.woken().await);
    tokio::select! {
        biased;
        _ = unheard.woken() => panic!("what was taken back must not be announced"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_full_database_refuses_writes_and_goes_on_reading() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    store.write(|tx| put(tx, "before")).await.unwrap();
    // A page limit is to SQLite what a full disk is.
    store.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 1)?)).await.unwrap();
    let large = Arc::new("x".repeat(4 << 20));
    let error = store
        .write(move |tx| {
            tx.execute("INSERT INTO settings (key, value) VALUES ('large', ?)", [large.as_str()])?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.is(500, 4), "{error}");
    assert_eq!(count(&store).await, 1, "reads go on");
    store.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 1_000_000)?)).await.unwrap();
    store.write(|tx| put(tx, "after")).await.unwrap();
    assert_eq!(count(&store).await, 2, "and writes, once there is room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_are_honest_when_a_full_disk_takes_a_shared_commit_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    store.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 200)?)).await.unwrap();
    let mut jobs = JoinSet::new();
    for number in 0..100_u32 {
        let store = store.clone();
        jobs.spawn(async move {
            let size = if number % 10 == 0 { 4 << 20 } else { 1 };
            let text = "x".repeat(size);
            let outcome = store
                .write(move |tx| {
                    tx.execute("INSERT INTO settings (key, value) VALUES (?, ?)", (number.to_string(), text))?;
                    Ok(())
                })
                .await;
            i64::from(outcome.is_ok())
        });
    }
    let good: i64 = jobs.join_all().await.into_iter().sum();
    assert_eq!(count(&store).await, good, "what was answered as done is there, and nothing else");
    assert!(good <= 90, "the large ones cannot have been stored");
}

#[test]
fn a_migration_is_done_once_and_a_damaged_schema_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    for _ in 0..2 {
        let connection = super::open::writable(&path).unwrap();
        super::migrations::run(&connection, &path).unwrap();
    }
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 0).unwrap();
    let error = super::migrations::run(&connection, &path).unwrap_err();
    assert!(matches!(error, OpenError::Migrate { version: 1, .. }), "{error}");
    assert!(connection.is_autocommit(), "the failed step is rolled back");
}

#[tokio::test]
async fn trouble_is_told_until_a_write_goes_well_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    assert_eq!(store.trouble().await, None);
    // Taken back by SQLite as a whole, as on a full disk: the commit fails, whatever else was in it.
    let error = store.write(|tx| Ok(tx.execute_batch("ROLLBACK")?)).await.unwrap_err();
    assert!(error.is(500, 1) || error.is(500, 102), "{error}");
    assert!(store.pulse().trouble().is_some());
    assert_eq!(store.pulse().failed(), 1);
    assert_eq!(store.trouble().await, None, "nobody wrote since: it is tried");
    assert_eq!(store.pulse().trouble(), None);
}
