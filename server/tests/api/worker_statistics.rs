//! What workers reported over time.

use serde_json::{Value, json};

use crate::harness::{Api, now, start};

/// A moment some minutes ago at which an interval begins, in seconds.
fn past_minute(minutes_ago: i64) -> i64 {
    (now() as i64 / 60 - minutes_ago) * 60
}

async fn report(api: &Api, worker: &str, seconds: i64, stats: Value) {
    let body = json!({"worker": worker, "timestamp": seconds * 1000, "machine_stats": stats});
    api.ok("workers.status_report", body).await;
}

#[tokio::test]
async fn statistics_are_aggregated_by_interval_and_worker() {
    let fixture = start().await;
    let api = &fixture.api;
    let start = past_minute(10);
    for (offset, usage) in [(0, 10.0), (30, 20.0), (59, 60.0), (120, 12.3)] {
        let stats = json!({"cpu_usage": [usage], "memory_used": 1000.5, "disk_read": 0, "unheard_of": 1});
        report(api, "b", start + offset, stats).await;
    }
    report(api, "a", start + 60, json!({"gpu_usage": [10, 50], "memory_used": 7})).await;
    report(api, "a", start - 1, json!({"gpu_usage": [99, 99]})).await;

    let item = |key: &str, aggregation: &str| json!({"key": key, "aggregation": aggregation});
    let asked = json!({
        "from_date": start, "to_date": start + 240, "interval": 60, "split_by_resource": true,
        "items": [item("cpu_usage", "avg"), item("cpu_usage", "max"), item("gpu_usage", "min"), item("memory_used", "avg"),
            item("disk_read", "avg"), item("unheard_of", "avg")],
    });
    let dates = json!([start * 1000, (start + 60) * 1000, (start + 120) * 1000, (start + 180) * 1000]);
    let stat = |aggregation: &str, values: Value| json!({"aggregation": aggregation, "dates": dates, "values": values});
    let mut gpus = stat("min", json!([0.0, 10.0, 0.0, 0.0]));
    gpus["resource_series"] = json!([
        {"name": "0", "values": [0.0, 10.0, 0.0, 0.0]},
        {"name": "1", "values": [0.0, 50.0, 0.0, 0.0]},
    ]);
    let memory = |values: Value| json!({"metric": "memory_used", "stats": [stat("avg", values)]});
    let a = json!({"worker": "a", "metrics": [
        {"metric": "gpu_usage", "stats": [gpus]},
        memory(json!([0.0, 7.0, 0.0, 0.0])),
    ]});
    let b = json!({"worker": "b", "metrics": [
        {"metric": "cpu_usage", "stats": [
            stat("avg", json!([30.0, 0.0, 12.3, 0.0])), stat("max", json!([60.0, 0.0, 12.3, 0.0])),
        ]},
        memory(json!([1000.5, 0.0, 1000.5, 0.0])),
    ]});
    assert_eq!(api.ok("workers.get_stats", asked.clone()).await["workers"], json!([a, b]));

    let mut of_one = asked.clone();
    of_one["worker_ids"] = json!(["b", "nobody"]);
    assert_eq!(api.ok("workers.get_stats", of_one).await["workers"], json!([b]));
    // The last interval is shown when it is nearly complete; a short one is made longer.
    let mut cut = asked.clone();
    cut["to_date"] = json!(start + 233);
    let shown = api.ok("workers.get_stats", cut).await;
    assert_eq!(shown["workers"][1]["metrics"][1]["stats"][0]["dates"].as_array().unwrap().len(), 3, "{shown}");
    let mut short = asked;
    short["interval"] = json!(1);
    let shown = api.ok("workers.get_stats", short).await;
    let dates = shown["workers"][1]["metrics"][1]["stats"][0]["dates"].clone();
    assert_eq!(dates[1].as_i64().unwrap() - dates[0].as_i64().unwrap(), 40_000);
}

#[tokio::test]
async fn metric_keys_are_those_that_were_ever_reported() {
    let fixture = start().await;
    let api = &fixture.api;
    api.refused("workers.get_metric_keys", json!({}), 400, 1005).await;
    let moment = past_minute(0);
    report(api, "a", moment, json!({"cpu_usage": [1], "cpu_temperature": [40], "memory_free": 1})).await;
    report(api, "a", moment + 1, json!({"cpu_usage": [1], "network_tx": 0.1, "disk_write": 0})).await;
    report(api, "b", moment, json!({"gpu_memory_used": [1]})).await;
    let keys = api.ok("workers.get_metric_keys", json!({"worker_ids": ["a"]})).await;
    let expected = json!([
        {"name": "cpu", "metric_keys": ["cpu_temperature", "cpu_usage"]},
        {"name": "memory", "metric_keys": ["memory_free"]},
        {"name": "network", "metric_keys": ["network_tx"]},
    ]);
    assert_eq!(keys["categories"], expected);
    assert_eq!(api.ok("workers.get_metric_keys", json!({})).await["categories"].as_array().unwrap().len(), 4);
    api.refused("workers.get_metric_keys", json!({"worker_ids": ["nobody"]}), 400, 1005).await;
}

#[tokio::test]
async fn activity_counts_each_worker_once_in_an_interval_and_never_shows_the_last_one() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = api.task("in work").await;
    let start = past_minute(10);
    let reports =
        [("a", 0, true), ("a", 30, false), ("a", 60, false), ("b", 10, false), ("c", 70, true), ("a", 130, true)];
    for (worker, offset, is_busy) in reports {
        let mut body =
            json!({"worker": worker, "timestamp": (start + offset) * 1000, "machine_stats": {"cpu_usage": [1]}});
        if is_busy {
            body["task"] = json!(task);
        }
        api.ok("workers.status_report", body).await;
    }
    let asked = json!({"from_date": start, "to_date": start + 299, "interval": 60});
    let found = api.ok("workers.get_activity_report", asked).await;
    let dates = json!([start * 1000, (start + 60) * 1000, (start + 120) * 1000, (start + 180) * 1000]);
    assert_eq!(found["total"], json!({"dates": dates, "counts": [2, 2, 1, 0]}));
    assert_eq!(found["active"], json!({"dates": dates, "counts": [1, 1, 1, 0]}));
}

#[tokio::test]
async fn a_worker_with_a_wrong_clock_is_taken_to_report_now() {
    let fixture = start().await;
    let api = &fixture.api;
    for (worker, timestamp) in [("past", json!(1)), ("future", json!(9_999_999_999_999_i64)), ("seconds", json!(now()))]
    {
        let body = json!({"worker": worker, "timestamp": timestamp, "machine_stats": {"cpu_usage": [1]}});
        api.ok("workers.status_report", body).await;
    }
    let asked = json!({"from_date": now() - 300.0, "to_date": now() + 300.0, "interval": 60});
    let found = api.ok("workers.get_activity_report", asked).await;
    let counts = found["total"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().filter_map(Value::as_i64).sum::<i64>(), 3, "{found}");
}

#[tokio::test]
async fn impossible_requests_are_refused() {
    let fixture = start().await;
    let api = &fixture.api;
    let items = json!([{"key": "cpu_usage", "aggregation": "avg"}]);
    for (action, body, subcode) in [
        ("get_stats", json!({"from_date": 1, "to_date": 2, "interval": 60}), 12),
        ("get_stats", json!({"from_date": 2, "to_date": 1, "interval": 60, "items": items}), 16),
        ("get_stats", json!({"from_date": 0, "to_date": 1e10, "interval": 40, "items": items}), 16),
        (
            "get_stats",
            json!({"from_date": 1, "to_date": 2, "interval": 60, "items": [{"key": "cpu_usage", "aggregation": "sum"}]}),
            12,
        ),
        ("get_stats", json!({"from_date": 1, "to_date": 2, "interval": 60, "items": [{"aggregation": "avg"}]}), 12),
        ("get_stats", json!({"from_date": 1, "to_date": 2, "interval": 60, "items": {}}), 12),
        ("get_activity_report", json!({"from_date": 1, "to_date": 2}), 12),
        ("get_activity_report", json!({"from_date": 2, "to_date": 2, "interval": 60}), 16),
        ("get_activity_report", json!({"from_date": 0, "to_date": 1e10, "interval": 40}), 16),
        ("get_metric_keys", json!({"worker_ids": "a"}), 12),
        ("status_report", json!({"worker": "w"}), 12),
        ("status_report", json!({"worker": "w", "timestamp": null}), 12),
        ("status_report", json!({"worker": "w", "timestamp": "soon"}), 12),
    ] {
        api.refused(&format!("workers.{action}"), body, 400, subcode).await;
    }
    let found =
        api.ok("workers.get_stats", json!({"from_date": 1, "to_date": 200, "interval": 60, "items": items})).await;
    assert_eq!(found["workers"], json!([]));
}
