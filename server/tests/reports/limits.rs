//! What happens at the limits, as clients see it.

use serde_json::{Value, json};
use server::EventLimits;

use crate::client::{TestServer, texts};
use crate::events::{line, scalar};

#[tokio::test]
async fn a_runaway_log_goes_on_with_its_newest_lines() {
    let limits = EventLimits { log_lines: Some(100), ..EventLimits::default() };
    let server = TestServer::start_with(|config| config.event_limits = limits).await;
    let task = server.task("runaway").await;
    for batch in 0..20 {
        let lines: Vec<Value> =
            (0..25).map(|n| line(&task, batch * 25 + n, &format!("line {}", batch * 25 + n))).collect();
        assert_eq!(server.send(&lines).await.unwrap()["added"], 25, "the client is told no error");
    }
    let log = server.call("events.get_task_log", json!({"task": task, "order": "asc"})).await;
    assert_eq!((&log["total"], &log["trimmed"], &log["returned"]), (&json!(100), &json!(400), &json!(100)));
    assert_eq!(texts(&log["events"], "msg")[0], "line 400");
    let (_, text) = server.download("events.download_task_log", json!({"task": task, "line_format": "{msg}"})).await;
    assert!(text.starts_with("[400 earlier lines are gone: the server keeps no more]\nline 400\n"), "{text}");
}

#[tokio::test]
async fn too_many_metrics_are_refused_and_the_others_go_on() {
    let limits = EventLimits { series: Some(2), series_events: Some(100), ..EventLimits::default() };
    let server = TestServer::start_with(|config| config.event_limits = limits).await;
    let task = server.task("many metrics").await;
    let reply = server
        .send(&[scalar(&task, "a", 1, 1.0), scalar(&task, "b", 1, 1.0), scalar(&task, "c", 1, 1.0)])
        .await
        .unwrap();
    let errors = json!({"Too many metrics: a task can have 2 metrics and variants": 1});
    assert_eq!(reply, json!({"added": 2, "errors": 1, "errors_info": errors}));
    assert_eq!(server.send(&[scalar(&task, "d", 1, 1.0)]).await, Err((400, 131)));
    let points: Vec<Value> = (0..5000).map(|iter| scalar(&task, "a", iter, iter as f64)).collect();
    assert_eq!(server.send(&points).await.unwrap()["added"], 5000);
    let curves = server.call("events.scalar_metrics_iter_histogram", json!({"task": task})).await;
    let x = curves["loss"]["a"]["x"].as_array().unwrap();
    assert_eq!((x.len(), &x[x.len() - 1]), (99, &json!(4999)), "the latest iterations stay");
}

#[tokio::test]
async fn a_long_curve_is_sampled_as_the_rule_says() {
    let server = TestServer::start().await;
    let task = server.task("a long curve").await;
    for batch in 0..6_i64 {
        let points: Vec<Value> =
            (0..1000).map(|n| batch * 1000 + n).map(|iter| scalar(&task, "a", iter * 3, iter as f64)).collect();
        server.send(&points).await.unwrap();
    }
    // Overwritten in the middle of what is packed.
    server.send(&[scalar(&task, "a", 300, 1e6), scalar(&task, "a", 301, 5.0)]).await.unwrap();
    let read = |samples: i64, key: &str| {
        server.call("events.scalar_metrics_iter_histogram", json!({"task": task, "samples": samples, "key": key}))
    };
    let curve = read(10, "iter").await["loss"]["a"].take();
    assert_eq!(curve["x"], json!([0, 1800, 3600, 5400, 7200, 9000, 10800, 12600, 14400, 16200]));
    let first = (1e6 + 5.0 + (0..600).filter(|n| *n != 100).map(f64::from).sum::<f64>()) / 601.0;
    assert!((curve["y"][0].as_f64().unwrap() - first).abs() < 1e-6, "{curve}");
    assert!((curve["y"][9].as_f64().unwrap() - 5699.5).abs() < 1e-6, "{curve}");
    let whole = read(6000, "iter").await["loss"]["a"].take();
    assert_eq!(whole["x"].as_array().unwrap().len(), 6000, "6001 points in parts of 3 iterations: two share one");
    let times = read(10, "timestamp").await["loss"]["a"].take();
    assert_eq!(times["x"][1], 1_700_000_001_800_i64);
}
