//! Backups, restores, checks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use serde_json::{Value, json};
use server::maintenance::{self, BackupOptions, MaintenanceError};

use crate::client::Client;
use crate::fixture::Fixture;

const PLAIN: BackupOptions = BackupOptions { with_files: false, replace: false };

async fn has_task(client: &Client, task: &str) -> bool {
    client.answer("tasks.get_by_id", json!({"task": task})).await.0 == (200, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_of_a_busy_server_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::first(&directory.path().join("data"), |_| ()).await;
    let before = fixture.task("made before").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let (client, over) = (fixture.client.clone(), Arc::clone(&is_over));
    // A task is made and enqueued in two calls; the first of them alone is a state that a backup may have.
    let busy = tokio::spawn(async move {
        let mut made = 0;
        while !over.load(Ordering::Relaxed) {
            let task = client.call("tasks.create", json!({"name": format!("busy {made}"), "type": "training"})).await;
            client.call("tasks.enqueue", json!({"task": task["id"]})).await;
            made += 1;
        }
        made
    });
    for number in 0..5 {
        let (data_dir, target) = (fixture.data_dir.clone(), directory.path().join(format!("backup {number}.db")));
        let report = tokio::task::spawn_blocking({
            let target = target.clone();
            move || maintenance::backup(&data_dir, &target, PLAIN).unwrap()
        });
        assert_eq!(report.await.unwrap().files, None);
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let elsewhere = directory.path().join(format!("elsewhere {number}"));
        let restored = maintenance::restore(&elsewhere, &target).unwrap();
        assert_eq!(restored.previous_database, None);
        let checked = maintenance::check(&elsewhere).unwrap();
        assert!(checked.is_clean, "{:#?}", checked.problems);
        let copy = Fixture::again(&elsewhere, &fixture.credentials).await;
        assert!(has_task(&copy.client, &before).await);
        copy.stop().await;
        let sql = "SELECT (SELECT count(*) FROM tasks WHERE status = 'queued'), (SELECT count(*) FROM queue_entries)";
        let copy = Connection::open(elsewhere.join("server.db")).unwrap();
        let (queued, entries): (i64, i64) = copy.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(queued, entries, "all of it is of one moment");
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(busy.await.unwrap() > 0, "the server was not held up");
    let left = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let drafts: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(drafts.is_empty(), "{drafts:?}");
}

#[tokio::test]
async fn a_restore_brings_back_what_was_and_keeps_what_is() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let fixture = Fixture::first(&data_dir, |_| ()).await;
    let kept = fixture.task("in the backup").await;
    fixture.client.try_upload("p/train.x/model", b"first").await.unwrap();
    let backup = directory.path().join("backup");
    let with_files = BackupOptions { with_files: true, replace: false };
    let report = maintenance::backup(&data_dir, &backup, with_files).unwrap();
    assert_eq!((report.files, report.file_bytes), (Some(1), Some(5)));
    let refused = maintenance::backup(&data_dir, &backup, with_files).unwrap_err();
    assert!(matches!(refused, MaintenanceError::Exists { .. }), "{refused}");
    maintenance::backup(&data_dir, &backup, BackupOptions { with_files: true, replace: true }).unwrap();

    let late = fixture.task("after the backup").await;
    fixture.client.try_upload("p/train.x/model", b"second").await.unwrap();
    let refused = maintenance::restore(&data_dir, &backup).unwrap_err();
    assert!(matches!(refused, MaintenanceError::InUse { .. }), "{refused}");
    let (_, credentials) = fixture.stop().await;

    let report = maintenance::restore(&data_dir, &backup).unwrap();
    assert_eq!(report.files, Some(1));
    let previous = report.previous_database.unwrap();
    let count = "SELECT count(*) FROM tasks";
    let tasks: i64 = Connection::open(&previous).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(tasks, 2, "what was there is kept");
    let previous = report.previous_files.unwrap();
    assert_eq!(std::fs::read(previous.join("p/train.x/model")).unwrap(), b"second");

    let again = Fixture::again(&data_dir, &credentials).await;
    assert!(has_task(&again.client, &kept).await && !has_task(&again.client, &late).await);
    assert_eq!(again.client.download("p/train.x/model").await.unwrap(), b"first");
}

#[tokio::test]
async fn what_is_no_backup_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let fixture = Fixture::first(&data_dir, |_| ()).await;
    let task = fixture.task("survives").await;
    let good = directory.path().join("good.db");
    maintenance::backup(&data_dir, &good, PLAIN).unwrap();
    let (_, credentials) = fixture.stop().await;

    let bad = |name: &str, change: &dyn Fn(&Path)| {
        let path = directory.path().join(name);
        std::fs::copy(&good, &path).unwrap();
        change(&path);
        let error = maintenance::restore(&data_dir, &path).unwrap_err();
        assert!(matches!(error, MaintenanceError::NoBackup { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    };
    bad("garbage", &|path| std::fs::write(path, "no database".repeat(1000)).unwrap());
    bad("empty", &|path| std::fs::write(path, "").unwrap());
    bad("cut off", &|path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    bad("of something else", &|path| Connection::open(path).unwrap().execute_batch("DELETE FROM settings").unwrap());
    bad("newer", &|path| Connection::open(path).unwrap().pragma_update(None, "user_version", 9999).unwrap());
    bad("with a log", &|path| std::fs::write(format!("{}-wal", path.display()), "log").unwrap());
    let error = maintenance::restore(&data_dir, &directory.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, MaintenanceError::File { .. }), "{error}");
    let error = maintenance::backup(&directory.path().join("no server"), &good.with_extension("2"), PLAIN).unwrap_err();
    assert!(matches!(error, MaintenanceError::NoDatabase { .. }), "{error}");

    let left: Vec<_> = std::fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("draft")), "{left:?}");
    let again = Fixture::again(&data_dir, &credentials).await;
    assert!(has_task(&again.client, &task).await);
}

#[tokio::test]
async fn a_check_finds_what_does_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let fixture = Fixture::first(&data_dir, |_| ()).await;
    let task = fixture.task("checked").await;
    fixture.client.call("tasks.enqueue", json!({"task": task})).await;
    let scalar =
        json!({"task": task, "type": "training_stats_scalar", "metric": "m", "variant": "v", "iter": 1, "value": 2.5});
    let line = json!({"task": task, "type": "log", "msg": "ünï"});
    let plot = json!({"task": task, "type": "plot", "metric": "p", "variant": "v", "iter": 0, "plot_str": "{}"});
    fixture.client.try_report(&[scalar, line, plot]).await.unwrap();
    assert!(maintenance::check(&data_dir).unwrap().is_clean, "a server that runs is checked, too");
    fixture.stop().await;

    let whole = std::fs::read(data_dir.join("server.db")).unwrap();
    for (damage, check) in [
        ("UPDATE event_owners SET log_lines = 2", "log_counters"),
        ("UPDATE event_owners SET log_bytes = 3", "log_counters"),
        ("UPDATE event_series SET events = 5, reports = 5", "series_counters"),
        ("DELETE FROM scalar_points", "series_counters"),
        ("UPDATE event_series SET max_value = 1", "series_summary"),
        ("UPDATE event_series SET packed = 1", "packs"),
        ("UPDATE event_series SET bytes = 1 WHERE kind = 4", "series_bytes"),
        ("DELETE FROM event_series", "orphan_events"),
        ("DELETE FROM task_documents", "task_documents"),
        ("DELETE FROM tasks", "references"),
        ("DELETE FROM tasks; DELETE FROM task_documents", "event_owners"),
        ("UPDATE tasks SET project = 'nowhere'", "project_of_task"),
        ("UPDATE tasks SET tags = '[1'", "documents"),
        ("DELETE FROM queues", "references"),
        ("INSERT INTO queue_entries SELECT queue, position, 'other', added FROM queue_entries", "queue_positions"),
        (
            "INSERT INTO projects (id, name, basename, parent, path, user, company, created, last_update)
             VALUES ('p', 'a/b', 'b', 'gone', '[]', 'u', 'c', 0, 0)",
            "project_tree",
        ),
    ] {
        std::fs::write(data_dir.join("server.db"), &whole).unwrap();
        let connection = Connection::open(data_dir.join("server.db")).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = off; {damage}")).unwrap();
        connection.close().unwrap();
        let report = maintenance::check(&data_dir).unwrap();
        assert!(!report.is_clean);
        let found: Vec<&str> = report.problems.iter().map(|problem| problem.check.as_str()).collect();
        assert!(found.contains(&check), "{damage}: {:#?}", report.problems);
    }

    // A page that something has written over.
    let mut bytes = whole.clone();
    let at = bytes.len() - 4096 * 3;
    bytes[at..at + 4096].fill(0x5a);
    std::fs::write(data_dir.join("server.db"), bytes).unwrap();
    let found = maintenance::check(&data_dir);
    assert!(found.is_err() || found.is_ok_and(|report| report.problems[0].check == "integrity"));
    std::fs::write(data_dir.join("server.db"), &whole).unwrap();
    std::fs::create_dir_all(data_dir.join("files/data/x")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", data_dir.join("files/data/x/link")).unwrap();
    let report = maintenance::check(&data_dir).unwrap();
    assert_eq!(report.problems.len(), 1, "{:#?}", report.problems);
    assert_eq!(report.problems[0].check, "files");
}

/// Changes the bytes of a pack in place, and leaves everything that is counted as it is.
#[tokio::test]
async fn a_check_names_the_curve_whose_pack_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let fixture = Fixture::first(&data_dir, |_| ()).await;
    let task = fixture.task("with a long curve").await;
    for first in [0, 1500] {
        let points: Vec<Value> = (first..first + 1500)
            .map(|iter| {
                json!({"task": task, "type": "training_stats_scalar", "metric": "loss", "variant": "train",
                       "iter": iter, "value": f64::from(iter) / 7.0})
            })
            .collect();
        fixture.client.try_report(&points).await.unwrap();
    }
    fixture.stop().await;
    let whole = std::fs::read(data_dir.join("server.db")).unwrap();
    let report = maintenance::check(&data_dir).unwrap();
    assert!(report.is_clean, "{:#?}", report.problems);

    let second = "key = (SELECT min(key) + 1 FROM scalar_packs)";
    for (change, what) in [
        // A value: the eight bytes at 17 to 24 are those of the third point.
        (
            "content = CAST(substr(content, 1, 17) || x'0000000000004540' || substr(content, 26) AS BLOB)",
            "from iteration 512",
        ),
        ("content = substr(content, 1, 100)", "from iteration 512 on cannot be read"),
        ("mean = mean + 1", "from iteration 512 on says of its points what they do not"),
        ("last_time = last_time + 1", "from iteration 512 on says of its points what they do not"),
    ] {
        std::fs::write(data_dir.join("server.db"), &whole).unwrap();
        let connection = Connection::open(data_dir.join("server.db")).unwrap();
        let changed = connection.execute(&format!("UPDATE scalar_packs SET {change} WHERE {second}"), []).unwrap();
        assert_eq!(changed, 1, "{change}");
        connection.close().unwrap();
        let problems = maintenance::check(&data_dir).unwrap().problems;
        assert_eq!(problems.len(), 1, "{change}: {problems:#?}");
        assert_eq!((problems[0].check.as_str(), problems[0].count), ("packs", 1));
        let place = &problems[0].examples[0];
        assert!(place.starts_with(&format!("{task}, loss/train: ")) && place.contains(what), "{change}: {place}");
    }

    // A pack that is whole in itself, and of other points than those that are stored.
    std::fs::write(data_dir.join("server.db"), &whole).unwrap();
    let connection = Connection::open(data_dir.join("server.db")).unwrap();
    connection.execute("UPDATE scalar_points SET value = 1.0 WHERE iter = 700", []).unwrap();
    connection.close().unwrap();
    let problems = maintenance::check(&data_dir).unwrap().problems;
    let place = &problems[0].examples[0];
    assert!(place.ends_with("the packs differ from the points at iteration 700"), "{place}");
}
