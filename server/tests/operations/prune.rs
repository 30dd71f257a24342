//! Cleaning up.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde_json::json;
use server::maintenance::{self, PruneOptions};

use crate::fixture::Fixture;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes everything under a path look as if nobody had written it for a week.
fn age(path: &Path) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| age(&entry.unwrap().path()));
    } else {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - 7 * DAY).unwrap();
    }
}

async fn events_of(fixture: &Fixture, task: &str) -> i64 {
    let request = json!({"task": task, "event_type": "log", "batch_size": 1});
    fixture.client.call("events.get_task_events", request).await["total"].as_i64().unwrap()
}

#[tokio::test]
async fn old_events_go_and_everything_else_stays() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let fixture = Fixture::first(&data_dir, |_| ()).await;
    let client = &fixture.client;
    let mut tasks = Vec::new();
    for name in ["old", "published", "running", "young"] {
        let task = fixture.task(name).await;
        client.call("tasks.started", json!({"task": task})).await;
        let line = |number: i32| json!({"task": task, "type": "log", "msg": format!("{number} {}", "z".repeat(5_000))});
        client.try_report(&(0..300).map(line).collect::<Vec<_>>()).await.unwrap();
        if name != "running" {
            client.call("tasks.stopped", json!({"task": task})).await;
        }
        if name == "published" {
            client.call("tasks.publish", json!({"task": task})).await;
        }
        tasks.push(task);
    }
    let [old, published, running, young] = tasks.try_into().unwrap();
    let connection = Connection::open(data_dir.join("server.db")).unwrap();
    let long_ago = "UPDATE tasks SET last_update = last_update - 100 * 86400 * 1000000 WHERE id != ?";
    connection.execute(long_ago, [&young]).unwrap();
    drop(connection);

    let mut options = PruneOptions { events_older_than: Some(90 * DAY), dry_run: true, ..PruneOptions::default() };
    let planned = maintenance::prune(&data_dir, options).unwrap();
    assert_eq!((planned.tasks, planned.events), (vec![old.clone()], 0));
    assert_eq!(events_of(&fixture, &old).await, 300, "a dry run removes nothing");
    options.dry_run = false;
    let done = maintenance::prune(&data_dir, options).unwrap();
    assert_eq!((&done.tasks, done.events), (&vec![old.clone()], 300));
    assert!(done.space_was_given_back, "the server may run");
    assert!(done.database_bytes_after < done.database_bytes_before, "{done:?}");
    for (task, events) in [(&old, 0), (&published, 300), (&running, 300), (&young, 300)] {
        assert_eq!(events_of(&fixture, task).await, events);
    }

    let too_large = PruneOptions { max_database_bytes: Some(1), ..PruneOptions::default() };
    let done = maintenance::prune(&data_dir, too_large).unwrap();
    assert_eq!(done.tasks, std::slice::from_ref(&young));
    assert_eq!(events_of(&fixture, &young).await, 0);
    assert_eq!(events_of(&fixture, &running).await, 300);
    fixture.task("written after").await;
    assert!(maintenance::check(&data_dir).unwrap().is_clean);
}

#[tokio::test]
async fn files_of_nobody_go_and_those_of_anybody_stay() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let fixture = Fixture::first(&data_dir, |_| ()).await;
    let client = &fixture.client;
    let task = fixture.task("alive").await;
    let [gone, named, recent] = ["a1", "b2", "c3"].map(|digits| digits.repeat(16));
    let paths = [
        format!("p/alive.{task}/artifacts/x"),
        format!("p/sub/gone.{gone}/artifacts/x"),
        format!("p/sub/gone.{gone}/models/y"),
        format!("p/named.{named}/models/m"),
        format!("p/recent.{recent}/x"),
        "mine/own file".to_owned(),
    ];
    for path in &paths {
        client.try_upload(path, path.as_bytes()).await.unwrap();
    }
    let uri = format!("{}/p/named.{named}/models/m", fixture.server.files_url);
    client.call("models.create", json!({"name": "kept", "uri": uri})).await;
    let tree = data_dir.join("files/data");
    age(&tree);
    client.try_upload(&paths[4], b"again").await.unwrap();
    std::fs::write(data_dir.join("files/partial").join("broken off"), "half").unwrap();

    let mut options = PruneOptions { orphaned_files: true, dry_run: true, ..PruneOptions::default() };
    let folder = format!("p/sub/gone.{gone}");
    let planned = maintenance::prune(&data_dir, options).unwrap();
    assert_eq!((&planned.folders, planned.files), (&vec![folder.clone()], 2));
    assert!(tree.join(&paths[1]).exists());
    options.dry_run = false;
    let done = maintenance::prune(&data_dir, options).unwrap();
    assert_eq!((&done.folders, done.files), (&vec![folder], 2));
    assert!(!tree.join("p/sub").exists(), "nor does an empty folder stay");
    for path in [&paths[0], &paths[3], &paths[4], &paths[5]] {
        assert!(client.download(path).await.is_some(), "{path}");
    }
    assert!(data_dir.join("files/partial/broken off").exists(), "an upload may be at work as long as a server is");
    fixture.stop().await;
    let done = maintenance::prune(&data_dir, PruneOptions::default()).unwrap();
    assert_eq!((done.files, done.file_bytes), (1, 4));
    assert!(!data_dir.join("files/partial/broken off").exists());
}
