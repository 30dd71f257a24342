//! `/healthz`, `/readyz`, `/metrics`.

use serde_json::{Value, json};

use crate::fixture::Fixture;

#[tokio::test]
async fn health_is_told_to_everybody_and_numbers_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::first(directory.path(), |_| ()).await;
    let client = &fixture.client;
    assert_eq!(client.get("/healthz", false).await, (200, "ok\n".to_owned()));
    let (status, body) = client.get("/readyz", false).await;
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()),
        (200, json!({"status": "ready", "problems": []}))
    );
    let (status, body) = client.get("/metrics", false).await;
    assert_eq!(status, 401, "{body}");
    // A browser's port is as good; on the port of the files it could be a file.
    let web = reqwest::get(format!("{}/readyz", fixture.server.web_url)).await.unwrap();
    assert_eq!(web.status(), 200);
    let files = reqwest::get(format!("{}/healthz", fixture.server.files_url)).await.unwrap();
    assert_eq!(files.status(), 401);
}

#[tokio::test]
async fn numbers_are_those_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::first(directory.path(), |_| ()).await;
    let client = &fixture.client;
    for name in ["one of three", "two of three", "three of three"] {
        let task = fixture.task(name).await;
        if name.starts_with("one") {
            client.call("tasks.enqueue", json!({"task": task})).await;
        }
    }
    // Whoever makes up names of endpoints makes no series.
    for number in 0..20 {
        let (code, _) = client.answer(&format!("tasks.made_up_{number}"), json!({})).await;
        assert_eq!(code.0, 404);
    }
    client.try_upload("a/b", b"content").await.unwrap();

    let (status, page) = client.get("/metrics", true).await;
    assert_eq!(status, 200, "{page}");
    for line in [
        "hostler_tasks{status=\"created\"} 2",
        "hostler_tasks{status=\"queued\"} 1",
        "hostler_queue_entries{queue=\"default\"} 1",
        "hostler_workers{state=\"busy\"} 0",
        "hostler_http_request_duration_seconds_count{endpoint=\"tasks.create\",code=\"200\"} 3",
        "hostler_http_request_duration_seconds_bucket{endpoint=\"tasks.create\",code=\"200\",le=\"+Inf\"} 3",
        "hostler_http_request_duration_seconds_count{endpoint=\"unknown\",code=\"404\"} 20",
        "hostler_http_request_duration_seconds_count{endpoint=\"files.upload\",code=\"200\"} 1",
        "hostler_store_failed_commits_total 0",
        "hostler_disk_low{volume=\"database\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "no {line} in:\n{page}");
    }
    assert!(!page.contains("made_up"), "{page}");
    for name in
        ["hostler_store_size_bytes", "hostler_disk_free_bytes{volume=\"files\"}", "process_resident_memory_bytes"]
    {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        assert!(line.trim().parse::<f64>().unwrap() > 0.0, "{name}{line}");
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn a_server_without_room_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::first(directory.path(), |config| config.min_free_space = Some(u64::MAX)).await;
    let (status, body) = fixture.client.get("/readyz", false).await;
    assert_eq!(status, 503);
    assert!(body.contains("low disk space: database") && body.contains("low disk space: files"), "{body}");
    let (_, page) = fixture.client.get("/metrics", true).await;
    assert!(page.contains("hostler_disk_low{volume=\"files\"} 1"), "{page}");
    assert_eq!(fixture.client.get("/healthz", false).await.0, 200, "it lives all the same");
}
