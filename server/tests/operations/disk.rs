//! A disk that really gets full: a small file system in memory, for those who may mount one.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fixture::Fixture;

/// A file system of its own; gone when it is dropped.
#[derive(Debug)]
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=700");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], directory.path());
        if !mounted {
            eprintln!("no file system can be mounted here: this test does nothing");
        }
        mounted.then_some(Self { directory })
    }

    fn grow(&self, megabytes: u32) {
        assert!(run("mount", &["-o", &format!("remount,size={megabytes}m")], self.directory.path()));
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server's files are still open when a test has failed: it goes when they are closed.
        run("umount", &["--lazy"], self.directory.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

fn large_task(number: usize) -> Value {
    json!({"name": format!("large {number}"), "type": "training", "comment": "x".repeat(60_000)})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_loses_nothing_and_leaves_nothing_half() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    let fixture = Fixture::first(&disk.data_dir(), |config| config.min_free_space = Some(0)).await;
    // Many at once, so that they share commits and the disk gets full in the middle of one.
    let mut clients = JoinSet::new();
    for number in 0..400 {
        let client = fixture.client.clone();
        clients.spawn(async move { (number, client.answer("tasks.create", large_task(number)).await) });
    }
    let (mut stored, mut refused) = (Vec::new(), 0);
    for (number, (code, data)) in clients.join_all().await {
        match code {
            (200, _) => stored.push((number, data["id"].as_str().unwrap().to_owned())),
            // The disk is full, or its file system fails in another way when it is.
            (500, 4 | 102) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0 && !stored.is_empty(), "{} stored, {refused} refused", stored.len());
    assert_eq!(names(&fixture).await, expected(&stored), "reads go on, and show what was acknowledged");

    disk.grow(64);
    // Nobody wrote since the last refusal: health finds out by itself.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while let (status, body) = fixture.client.get("/readyz", false).await
        && status != 200
    {
        assert!(std::time::Instant::now() < deadline, "{status} {body}");
    }
    let (code, data) = fixture.client.answer("tasks.create", large_task(1000)).await;
    assert_eq!(code, (200, 0), "writes go on when there is room");
    stored.push((1000, data["id"].as_str().unwrap().to_owned()));
    let (data_dir, credentials) = fixture.stop().await;
    let report = server::maintenance::check(&data_dir).unwrap();
    assert!(report.is_clean, "{:#?}", report.problems);
    let again = Fixture::again(&data_dir, &credentials).await;
    assert_eq!(names(&again).await, expected(&stored));
}

fn expected(stored: &[(usize, String)]) -> Vec<(String, String)> {
    let mut tasks: Vec<_> = stored.iter().map(|(number, id)| (id.clone(), format!("large {number}"))).collect();
    tasks.sort();
    tasks
}

/// Ids and names of all tasks.
async fn names(fixture: &Fixture) -> Vec<(String, String)> {
    let request = json!({"only_fields": ["id", "name"], "page": 0, "page_size": 500});
    let found = fixture.client.call("tasks.get_all", request).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tasks = found["tasks"].as_array().unwrap().iter();
    let mut tasks: Vec<_> = tasks.map(|task| (text(&task["id"]), text(&task["name"]))).collect();
    tasks.sort();
    tasks
}

#[tokio::test]
async fn a_runaway_task_is_stopped_at_the_floor() {
    let Some(disk) = SmallDisk::mount(60) else { return };
    let floor = 24 << 20;
    let fixture = Fixture::first(&disk.data_dir(), |config| config.min_free_space = Some(floor)).await;
    let client = &fixture.client;
    let task = fixture.task("runaway").await;
    client.call("tasks.started", json!({"task": task})).await;
    let lines: Vec<Value> = (0..100).map(|_| json!({"task": task, "type": "log", "msg": "y".repeat(10_000)})).collect();
    let mut sent = 0;
    let code = loop {
        let code = client.report(&lines).await;
        if code.0 != 200 {
            break code;
        }
        sent += lines.len();
        assert!(sent < 6_000, "the disk is full by now");
    };
    assert_eq!(code, (500, 4));
    // Everything else goes on with what is left.
    client.call("tasks.edit", json!({"task": task, "comment": "too loud", "force": true})).await;
    client.call("tasks.stopped", json!({"task": task})).await;
    let events = json!({"task": task, "event_type": "log", "batch_size": 1});
    assert_eq!(client.call("events.get_task_events", events).await["total"], sent);
    assert_eq!(client.get("/readyz", false).await.0, 503);
    disk.grow(200);
    assert_eq!(client.report(&lines).await, (200, 0), "it ends by itself");
    assert_eq!(client.get("/readyz", false).await.0, 200);
}
