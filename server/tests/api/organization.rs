//! Counts, usage and tables for spreadsheets; the lists that the server gives of itself.

use serde_json::{Value, json};

use crate::harness::start;

#[tokio::test]
async fn entities_are_counted_by_their_own_filters() {
    let fixture = start().await;
    let api = &fixture.api;
    let folder = json!({"name": "Main/.pipelines/flow", "system_tags": ["hidden", "pipeline"]});
    api.ok("projects.create", folder).await;
    for (kind, tags) in [("training", json!([])), ("training", json!(["old"])), ("controller", json!([]))] {
        let system_tags = if kind == "controller" { json!(["pipeline", "hidden"]) } else { json!([]) };
        let task = json!({"name": "task", "type": kind, "tags": tags, "system_tags": system_tags});
        api.ok("tasks.create", task).await;
    }
    let request =
        json!({"tasks": {"tags": ["-old"]}, "pipelines": {}, "pipeline_runs": {}, "projects": {}, "datasets": {}});
    let counts = api.ok("organization.get_entities_count", request).await;
    assert_eq!(counts, json!({"tasks": 1, "pipelines": 1, "pipeline_runs": 1, "projects": 1, "datasets": 0}));
    let hidden = api.ok("organization.get_entities_count", json!({"tasks": {}, "search_hidden": true})).await;
    assert_eq!(hidden, json!({"tasks": 3}));
    api.refused("organization.get_entities_count", json!({"tasks": [1]}), 400, 12).await;
}

#[tokio::test]
async fn usage_is_the_time_that_tasks_ran() {
    let fixture = start().await;
    let api = &fixture.api;
    let project = api.ok("projects.create", json!({"name": "Busy"})).await["id"].clone();
    let below = api.ok("projects.create", json!({"name": "Busy/Below"})).await["id"].clone();
    let task =
        api.ok("tasks.create", json!({"name": "runs", "type": "training", "project": below})).await["id"].clone();
    api.ok("tasks.create", json!({"name": "never ran", "type": "training", "project": project})).await;
    api.ok("tasks.started", json!({"task": task})).await;
    api.ok("tasks.completed", json!({"task": task})).await;
    let request = json!({"projects": [project], "from_date": 0, "to_date": 9_999_999_999_i64});
    let used = api.ok("organization.get_project_usages", request).await;
    // A task that ends at once has run for as long as the disk took.
    let seconds = used["projects"][0]["duration"].as_u64().unwrap();
    assert!(seconds < 60, "{used}");
    assert_eq!(used["projects"], json!([{"id": below, "name": "Busy/Below", "tasks": 1, "duration": seconds}]));
    assert_eq!(used["users"][0]["tasks"], 1);
    assert_eq!(used["queues"], json!([]));
    let backwards = json!({"projects": [project], "from_date": 2, "to_date": 1});
    api.refused("organization.get_project_usages", backwards, 400, 16).await;
}

#[tokio::test]
async fn a_table_is_prepared_and_downloaded() {
    let fixture = start().await;
    let api = &fixture.api;
    let project = api.ok("projects.create", json!({"name": "Table"})).await["id"].clone();
    for number in 0..501 {
        let task =
            json!({"name": format!("task {number:03}"), "type": "training", "project": project, "tags": ["a", "b"]});
        api.ok("tasks.create", task).await;
    }
    api.ok("tasks.create", json!({"name": "say \"x\"", "type": "training"})).await;
    let request = json!({
        "entity_type": "task", "project": [project], "order_by": ["-name"],
        "only_fields": ["name", "project.name", "status", "tags"],
        "field_mappings": [
            {"field": "name", "name": "Name"}, {"field": "project.name", "name": "Project"},
            {"field": "status", "values": [{"key": "created", "value": "Draft"}]}, {"field": "tags", "name": "Tags"},
        ],
    });
    let prepared = api.ok("organization.prepare_download_for_get_all", request).await;
    let download = api.send("organization.download_for_get_all", prepared).await;
    assert_eq!(download.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(download.headers()["content-disposition"], "attachment; filename=tasks.csv");
    let text = download.text().await.unwrap();
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(lines.len(), 502);
    assert_eq!(lines[0], "Name,Project,status,Tags");
    assert_eq!(lines[1], "task 500,Table,Draft,\"a, b\"");
    assert_eq!(lines[501], "task 000,Table,Draft,\"a, b\"");

    api.refused("organization.download_for_get_all", json!({"prepare_id": "none"}), 400, 10).await;
    let unknown = json!({"entity_type": "task", "only_fields": ["nothing"], "field_mappings": [{"field": "nothing"}]});
    let prepared = api.ok("organization.prepare_download_for_get_all", unknown).await;
    api.refused("organization.download_for_get_all", prepared, 400, 14).await;
}

#[tokio::test]
async fn the_server_lists_its_endpoints_and_counts_what_it_has() {
    let fixture = start().await;
    fixture.api.task("one").await;
    let listed = fixture.api.ok("server.endpoints", json!({})).await;
    let of = |name: &str| -> Value {
        listed["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(of("queues.get_all")["versions"], json!(["2.4"]));
    assert_eq!(of("server.config")["required_roles"], json!(["admin"]));
    assert_eq!(of("debug.ping")["authorize"], false);
    assert_eq!(of("tasks.create")["required_fields"], json!(["name", "type"]));
    let stats = fixture.api.ok("server.get_stats", json!({})).await;
    assert_eq!((&stats["tasks"], &stats["task_status"]), (&json!(1), &json!({"created": 1})));
}
