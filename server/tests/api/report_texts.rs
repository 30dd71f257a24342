//! Reports: texts in hidden projects, with data of tasks.

use serde_json::{Value, json};

use crate::harness::start;

#[tokio::test]
async fn a_report_is_written_moved_published_and_deleted() {
    let fixture = start().await;
    let api = &fixture.api;
    let project = api.ok("projects.create", json!({"name": "Science"})).await["id"].clone();
    let request = json!({"name": "Findings", "project": project, "report": "# One", "tags": ["x"], "comment": "draft"});
    let made = api.ok("reports.create", request).await;
    let report = made["id"].as_str().unwrap().to_owned();
    let folder = api.ok("projects.get_by_id", json!({"project": made["project_id"]})).await["project"].take();
    assert_eq!((&folder["name"], &folder["system_tags"]), (&json!("Science/.reports"), &json!(["hidden", "reports"])));
    let task = api.get(&report).await;
    assert_eq!(
        (&task["type"], &task["report"], &task["system_tags"]),
        (&json!("report"), &json!("# One"), &json!(["reports"]))
    );

    let changed = json!({"task": report, "report": "# Two", "report_assets": ["http://x/a.png"]});
    assert_eq!(api.ok("reports.update", changed).await["updated"], 1);
    let found = api.ok("reports.get_all_ex", json!({"report": "Two", "only_fields": ["name", "project.name"]})).await;
    assert_eq!(found["tasks"][0]["project"]["name"], "Science/.reports");
    assert_eq!(
        api.ok("reports.get_all_ex", json!({"search_text": "two", "project": [project]})).await["tasks"],
        json!([])
    );
    assert_eq!(api.ok("reports.get_tags", json!({})).await["tags"], json!(["x"]));

    let moved = api.ok("reports.move", json!({"task": report, "project_name": "Archive"})).await;
    let folder = api.ok("projects.get_by_id", json!({"project": moved["project_id"]})).await["project"].take();
    assert_eq!(folder["name"], "Archive/.reports");

    assert_eq!(
        api.ok("reports.publish", json!({"task": report, "comment": "done"})).await["fields"]["status"],
        "published"
    );
    api.refused("reports.publish", json!({"task": report}), 400, 110).await;
    api.refused("reports.update", json!({"task": report, "report": "# Three"}), 400, 110).await;
    assert_eq!(api.ok("reports.update", json!({"task": report, "tags": ["y"]})).await["updated"], 1);
    api.refused("reports.delete", json!({"task": report}), 400, 123).await;
    assert_eq!(api.ok("reports.archive", json!({"task": report})).await["archived"], 1);
    assert_eq!(api.ok("reports.unarchive", json!({"task": report})).await["unarchived"], 1);
    assert_eq!(api.ok("reports.delete", json!({"task": report, "force": true})).await["deleted"], true);

    let task = api.task("no report").await;
    for action in ["update", "publish", "archive", "unarchive", "delete"] {
        api.refused(&format!("reports.{action}"), json!({"task": task}), 400, 150).await;
    }
}

#[tokio::test]
async fn a_report_shows_data_of_tasks() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("measured").await;
    for (iter, value) in [(0, 1.0), (1, 0.5)] {
        let event = json!({"type": "training_stats_scalar", "task": task, "iter": iter, "metric": "loss", "variant": "train", "value": value});
        api.ok("events.add", event).await;
    }
    api.ok(
        "events.add",
        json!({"type": "plot", "task": task, "iter": 0, "metric": "roc", "variant": "a", "plot_str": "{}"}),
    )
    .await;
    api.ok("events.add", json!({"type": "training_debug_image", "task": task, "iter": 0, "metric": "cats", "variant": "a", "url": "http://x/1.png"})).await;
    let request = json!({
        "id": [task], "only_fields": ["name"], "plots": {"iters": 1}, "debug_images": {"iters": 1},
        "scalar_metrics_iter_histogram": {"samples": 100, "key": "iter"},
    });
    let data = api.ok("reports.get_task_data", request).await;
    assert_eq!(data["tasks"], json!([{"id": task, "name": "measured"}]));
    assert_eq!(data["scalar_metrics_iter_histogram"]["loss"]["train"][&task]["y"], json!([1.0, 0.5]));
    assert!(data["plots"]["roc"]["a"][&task].is_object(), "{}", data["plots"]);
    let images: &Value = &data["debug_images"][0]["iterations"][0]["events"][0];
    assert_eq!(images["url"], "http://x/1.png");
    let none = api.ok("reports.get_task_data", json!({"id": ["nobody"], "plots": {}})).await;
    assert_eq!(none, json!({"tasks": [], "plots": {}}));
}
