//! Samples, vectors, log files: what viewers and scripts read.

use serde_json::{Value, json};

use crate::client::{TestServer, texts};
use crate::events::{line, scalar};

fn image(task: &str, metric: &str, variant: &str, iter: i64) -> Value {
    let url = format!("http://files/{metric}/{variant}/{iter}.png");
    json!({
        "type": "training_debug_image", "task": task, "metric": metric, "variant": variant, "iter": iter, "key": "k",
        "url": url,
    })
}

#[tokio::test]
async fn a_viewer_steps_through_images() {
    let server = TestServer::start().await;
    let task = server.task("images").await;
    let all = [("a", "x", 1), ("a", "y", 1), ("b", "x", 1), ("a", "x", 2), ("b", "x", 2), ("a", "y", 3)];
    server.send(&all.map(|(metric, variant, iter)| image(&task, metric, variant, iter))).await.unwrap();
    let place = |reply: &Value| {
        let event = &reply["event"];
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("metric"), text("variant"), event["iter"].as_i64().unwrap_or(-1))
    };
    let at = |metric: &str, variant: &str, iter: i64| (metric.to_owned(), variant.to_owned(), iter);
    let get = |iteration: Value, current: bool| {
        let request = json!({"task": task, "metric": "a", "variant": "x", "iteration": iteration, "navigate_current_metric": current});
        server.call("events.get_debug_image_sample", request)
    };
    let latest = get(Value::Null, false).await;
    assert_eq!(place(&latest), at("a", "x", 2));
    assert_eq!((&latest["min_iteration"], &latest["max_iteration"]), (&json!(1), &json!(2)));
    assert_eq!(place(&get(json!(1), true).await), at("a", "x", 1));
    assert_eq!(place(&get(json!(7), true).await), at("a", "x", 2), "the one before an iteration without");
    assert_eq!(get(json!(0), true).await["event"], Value::Null);

    let next = |scroll: &Value, earlier: bool| {
        let request = json!({"task": task, "scroll_id": scroll, "navigate_earlier": earlier});
        server.call("events.next_debug_image_sample", request)
    };
    let mut reply = latest;
    for expected in [at("b", "x", 1), at("a", "y", 1), at("a", "x", 1)] {
        reply = next(&reply["scroll_id"], true).await;
        assert_eq!(place(&reply), expected);
    }
    let end = next(&reply["scroll_id"], true).await;
    assert_eq!((&end["event"], &end["scroll_id"]), (&Value::Null, &reply["scroll_id"]));
    for expected in [at("a", "y", 1), at("b", "x", 1), at("a", "x", 2), at("b", "x", 2), at("a", "y", 3)] {
        reply = next(&reply["scroll_id"], false).await;
        assert_eq!(place(&reply), expected);
    }
    let one_metric = get(Value::Null, true).await;
    assert_eq!(place(&next(&one_metric["scroll_id"], true).await), at("a", "y", 1));
    let other = json!({"task": task, "scroll_id": one_metric["scroll_id"], "next_iteration": true});
    assert_eq!(place(&server.call("events.next_debug_image_sample", other).await), at("a", "x", 1));
    assert_eq!(
        server.refused("events.next_debug_image_sample", json!({"task": task, "scroll_id": "x"})).await,
        (400, 1104)
    );
    assert_eq!(server.refused("events.get_debug_image_sample", json!({"task": task, "metric": "a"})).await, (400, 12));
}

#[tokio::test]
async fn a_viewer_steps_through_plots() {
    let server = TestServer::start().await;
    let task = server.task("plots").await;
    let plot = |metric: &str, variant: &str, iter: i64| json!({"type": "plot", "task": task, "metric": metric, "variant": variant, "iter": iter, "plot_str": "{}"});
    let all = [plot("p", "x", 1), plot("p", "y", 1), plot("q", "x", 1), plot("p", "x", 5)];
    server.send(&all).await.unwrap();
    let shown = |reply: &Value| -> Vec<String> {
        let events = reply["events"].as_array().unwrap().iter();
        events
            .map(|event| format!("{}/{}/{}", event["metric"], event["variant"], event["iter"]).replace('"', ""))
            .collect()
    };
    let request = json!({"task": task, "metric": "p", "navigate_current_metric": false});
    let latest = server.call("events.get_plot_sample", request).await;
    assert_eq!(shown(&latest), ["p/x/5"]);
    assert_eq!((&latest["min_iteration"], &latest["max_iteration"]), (&json!(1), &json!(5)));
    let next = |scroll: &Value| server.call("events.next_plot_sample", json!({"task": task, "scroll_id": scroll}));
    let before = next(&latest["scroll_id"]).await;
    assert_eq!(shown(&before), ["q/x/1"]);
    let first = next(&before["scroll_id"]).await;
    assert_eq!(shown(&first), ["p/x/1", "p/y/1"], "all variants of a plot together");
    assert_eq!(shown(&next(&first["scroll_id"]).await), Vec::<String>::new());
}

#[tokio::test]
async fn vectors_are_given_by_iteration() {
    let server = TestServer::start().await;
    let task = server.task("vectors").await;
    let vector = |iter: i64, values: Value| json!({"type": "training_stats_vector", "task": task, "metric": "m", "variant": "v", "iter": iter, "values": values});
    server.send(&[vector(2, json!([2, 3])), vector(1, json!([0.5])), scalar(&task, "a", 1, 1.0)]).await.unwrap();
    let names = server.call("events.get_vector_metrics_and_variants", json!({"task": task})).await;
    assert_eq!(names, json!({"metrics": {"m": ["v"]}}));
    let request = json!({"task": task, "metric": "m", "variant": "v"});
    let reply = server.call("events.vector_metrics_iter_histogram", request).await;
    assert_eq!(reply, json!({"metric": "m", "variant": "v", "iterations": [1, 2], "vectors": [[0.5], [2, 3]]}));
    let none = json!({"task": task, "metric": "m", "variant": "none"});
    assert_eq!(server.call("events.vector_metrics_iter_histogram", none).await["vectors"], json!([]));
}

#[tokio::test]
async fn a_log_comes_as_a_file() {
    let server = TestServer::start().await;
    let task = server.task("log file").await;
    let (_, empty) = server.download("events.download_task_log", json!({"task": task})).await;
    assert_eq!(empty, "");
    // More than are read at a time, several with one timestamp.
    let lines: Vec<Value> =
        (0..12_000).map(|n| line(&task, 1_700_000_000_000 + n / 7, &format!("line {n}\n"))).collect();
    server.send(&lines).await.unwrap();
    let (headers, text) = server.download("events.download_task_log", json!({"task": task})).await;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["content-disposition"], format!("attachment; filename=task_{task}.log"));
    let found: Vec<&str> = text.lines().collect();
    assert_eq!((found.len(), found[0]), (12_000, "2023-11-14 22:13:20,000 w INFO line 0"));
    assert!(found.iter().enumerate().all(|(n, line)| line.ends_with(&format!(" line {n}"))));
    let request = json!({"task": task, "line_type": "json"});
    let (_, json_lines) = server.download("events.download_task_log", request).await;
    let first: Value = serde_json::from_str(json_lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["msg"], &first["type"], &first["task"]), (&json!("line 0\n"), &json!("log"), &json!(task)));
    assert_eq!(json_lines.lines().count(), 12_000);
    assert_eq!(server.refused("events.download_task_log", json!({"task": "nobody"})).await, (400, 101));
    let bad = json!({"task": task, "line_format": "{nonsense}"});
    assert_eq!(server.refused("events.download_task_log", bad).await, (400, 12));
}

#[tokio::test]
async fn some_metrics_of_a_log_are_cleared() {
    let server = TestServer::start().await;
    let task = server.task("parts of a log").await;
    let of = |metric: &str, n: i64| {
        let mut event = line(&task, n, &format!("{metric} {n}"));
        event["metric"] = metric.into();
        event
    };
    server.send(&[of("", 1), of("a", 2), of("b", 3), of("a", 4)]).await.unwrap();
    let clear = |body: Value| {
        let mut request = body;
        request["task"] = task.as_str().into();
        server.call("events.clear_task_log", request)
    };
    assert_eq!(clear(json!({"include_metrics": ["a"], "exclude_metrics": ["a"]})).await["deleted"], 0);
    assert_eq!(clear(json!({"include_metrics": ["a"]})).await["deleted"], 2);
    let log = server.call("events.get_task_log", json!({"task": task})).await;
    assert_eq!((texts(&log["events"], "msg"), &log["total"]), (vec!["b 3".to_owned(), " 1".to_owned()], &json!(2)));
    assert_eq!(clear(json!({"exclude_metrics": ["b"]})).await["deleted"], 1);
}
