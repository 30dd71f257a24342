use serde_json::{Value, json};

use crate::client::{TestServer, texts};

pub(crate) fn scalar(task: &str, variant: &str, iter: i64, value: f64) -> Value {
    json!({
        "type": "training_stats_scalar", "task": task, "metric": "loss", "variant": variant, "iter": iter,
        "value": value, "timestamp": 1_700_000_000_000_i64 + iter,
    })
}

pub(crate) fn line(task: &str, timestamp: i64, message: &str) -> Value {
    json!({"type": "log", "task": task, "timestamp": timestamp, "level": "INFO", "worker": "w", "msg": message})
}

pub(crate) fn image(task: &str, iter: i64, url: &str) -> Value {
    json!({
        "type": "training_debug_image", "task": task, "metric": "img", "variant": "im", "iter": iter, "key": "k", "url": url,
    })
}

#[tokio::test]
async fn a_batch_reports_what_it_stored_and_what_not() {
    let server = TestServer::start().await;
    let task = server.task("a batch").await;
    let reply = server.send(&[line(&task, 1, "x"), line("nobody", 1, "y"), json!({"task": task})]).await.unwrap();
    let errors = json!({"Invalid task id nobody": 1, "Event must have a 'type' field": 1});
    assert_eq!(reply, json!({"added": 1, "errors": 2, "errors_info": errors}));
    let reply = server.send(&[line(&task, 1, "x")]).await.unwrap();
    assert_eq!(reply, json!({"added": 1, "errors": 0, "errors_info": {}}), "errors_info must be an object");
    assert_eq!(server.send(&[line("nobody", 1, "y")]).await, Err((400, 131)));
    assert_eq!(server.send(&[]).await, Err((400, 17)));
    let mut locked = line(&task, 1, "x");
    locked["allow_locked"] = true.into();
    assert_eq!(server.send(&[line(&task, 1, "x"), locked]).await, Err((400, 12)));
    let single = server.call("events.add", scalar(&task, "one", 1, 1.0)).await;
    assert_eq!(single["added"], 1);
}

#[tokio::test]
async fn a_published_task_takes_events_only_when_told_to() {
    let server = TestServer::start().await;
    let task = server.task("published").await;
    server.call("tasks.started", json!({"task": task})).await;
    server.call("tasks.completed", json!({"task": task})).await;
    server.call("tasks.publish", json!({"task": task})).await;
    assert_eq!(server.send(&[line(&task, 1, "late")]).await, Err((400, 131)));
    let mut event = line(&task, 1, "late");
    event["allow_locked"] = true.into();
    assert_eq!(server.send(&[event]).await.unwrap()["added"], 1);
    assert_eq!(server.refused("events.delete_for_task", json!({"task": task})).await, (400, 113));
    let deleted = server.call("events.delete_for_task", json!({"task": task, "allow_locked": true})).await;
    assert_eq!(deleted, json!({"deleted": true}));
}

#[tokio::test]
async fn events_move_the_task_along() {
    let server = TestServer::start().await;
    let task = server.task("moving").await;
    server.call("tasks.started", json!({"task": task})).await;
    let mut monitor = scalar(&task, "gpu", 99, 1.0);
    monitor["metric"] = ":monitor:gpu".into();
    server.send(&[scalar(&task, "a", 5, 0.5), scalar(&task, "a", 7, 0.25), monitor]).await.unwrap();
    let shown = server.call("tasks.get_by_id", json!({"task": task})).await["task"].take();
    assert_eq!(shown["last_iteration"], 7, "the machine monitor does not count");
    // md5 of "loss" and of "a".
    let metric = &shown["last_metrics"]["81513effdf5790b79549208838404407"]["0cc175b9c0f1b6a831c399e269772661"];
    assert_eq!(
        (&metric["value"], &metric["max_value"], &metric["min_value_iteration"]),
        (&json!(0.25), &json!(0.5), &json!(7))
    );
    assert!(shown["last_metrics"].as_object().unwrap().len() == 2);
    let order = "-last_metrics.81513effdf5790b79549208838404407.0cc175b9c0f1b6a831c399e269772661.value";
    let other = server.task("better").await;
    server.send(&[scalar(&other, "a", 1, 0.75)]).await.unwrap();
    let ordered = server.call("tasks.get_all", json!({"order_by": [order], "only_fields": ["id", "name"]})).await;
    assert_eq!(texts(&ordered["tasks"], "name"), ["better", "moving"]);
}

#[tokio::test]
async fn the_console_is_read_in_both_directions() {
    let server = TestServer::start().await;
    let task = server.task("console").await;
    let log = |body: Value| {
        let mut request = body;
        request["task"] = task.as_str().into();
        server.call("events.get_task_log", request)
    };
    assert_eq!(log(json!({})).await, json!({"events": [], "returned": 0, "total": 0}));
    let lines: Vec<Value> = [(10, "a"), (20, "b"), (20, "c"), (20, "d"), (30, "e")]
        .map(|(timestamp, message)| line(&task, timestamp, message))
        .to_vec();
    server.send(&lines).await.unwrap();
    let page = log(json!({"batch_size": 2, "order": "asc"})).await;
    assert_eq!(texts(&page["events"], "msg"), ["b", "c", "d", "e"], "all of the last timestamp, oldest first");
    assert_eq!((&page["returned"], &page["total"]), (&json!(4), &json!(5)));
    let earlier = log(json!({"batch_size": 2, "from_timestamp": 20})).await;
    assert_eq!(texts(&earlier["events"], "msg"), ["a"]);
    let later = log(json!({"batch_size": 1, "navigate_earlier": false, "from_timestamp": 10.0})).await;
    assert_eq!(texts(&later["events"], "msg"), ["b", "c", "d"]);
    let event = &later["events"][0];
    assert_eq!((&event["level"], &event["worker"], &event["type"]), (&json!("INFO"), &json!("w"), &json!("log")));
    assert!(event.get("method").is_none() && event.get("allow_locked").is_none());
    assert_eq!(server.refused("events.get_task_log", json!({"task": "nobody"})).await, (400, 101));
    assert_eq!(server.refused("events.get_task_log", json!({"task": task, "batch_size": 0})).await, (400, 12));
    let cleared = server.call("events.clear_task_log", json!({"task": task})).await;
    assert_eq!(cleared, json!({"deleted": 5}));
    assert_eq!(log(json!({})).await["total"], 0);
}

#[tokio::test]
async fn curves_single_values_and_raw_points() {
    let server = TestServer::start().await;
    let task = server.task("curves").await;
    let mut events: Vec<Value> = (0..100).map(|iter| scalar(&task, "a", iter, iter as f64)).collect();
    let mut single = scalar(&task, "acc", -2_147_483_648, 0.5);
    single["metric"] = "Summary".into();
    events.push(single);
    server.send(&events).await.unwrap();
    let all = server.call("events.scalar_metrics_iter_histogram", json!({"task": task})).await;
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["loss"], "single values are no curves");
    assert_eq!((all["loss"]["a"]["x"].as_array().unwrap().len(), &all["loss"]["a"]["name"]), (100, &json!("a")));
    let few = server.call("events.scalar_metrics_iter_histogram", json!({"task": task, "samples": 10})).await;
    assert_eq!(few["loss"]["a"]["x"], json!([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]));
    assert_eq!(few["loss"]["a"]["y"][0], 4.5);
    let times = json!({"task": task, "key": "iso_time", "samples": 6000});
    let times = server.call("events.scalar_metrics_iter_histogram", times).await;
    assert_eq!(times["loss"]["a"]["x"][1], "2023-11-14T22:13:20.001Z");
    let singles = server.call("events.get_task_single_value_metrics", json!({"tasks": [task]})).await;
    assert_eq!(singles["tasks"][0]["values"][0]["variant"], "acc");
    assert_eq!(singles["tasks"][0]["task_name"], "curves");

    let mut points = 0;
    let mut scroll = Value::Null;
    loop {
        let request = json!({
            "task": task, "metric": {"metric": "loss"}, "batch_size": 30, "count_total": true, "scroll_id": scroll,
        });
        let page = server.call("events.scalar_metrics_iter_raw", request).await;
        assert_eq!(page["total"], 100);
        if page["returned"] == 0 {
            break;
        }
        assert_eq!(page["variants"]["a"]["iter"][0], points);
        points += page["returned"].as_i64().unwrap();
        scroll = page["scroll_id"].clone();
    }
    assert_eq!(points, 100);
    let many = json!({"tasks": [task], "samples": 10});
    let many = server.call("events.multi_task_scalar_metrics_iter_histogram", many).await;
    assert_eq!(many["metrics"]["loss"]["a"][&task]["name"], "curves");
}

#[tokio::test]
async fn all_events_end_with_an_empty_page() {
    let server = TestServer::start().await;
    let task = server.task("events").await;
    let mut events: Vec<Value> = (0..25).map(|iter| scalar(&task, "a", iter, 1.0)).collect();
    events.extend((0..5).map(|n| line(&task, n, "x")));
    server.send(&events).await.unwrap();
    for (event_type, total) in [("*", 30), ("training_stats_scalar", 25), ("log", 5), ("plot", 0)] {
        let mut found = 0;
        let mut scroll = Value::Null;
        for _ in 0..100 {
            let request = json!({"task": task, "event_type": event_type, "batch_size": 7, "scroll_id": scroll});
            let page = server.call("events.get_task_events", request).await;
            assert_eq!(page["total"], total, "{event_type}");
            let returned = page["events"].as_array().unwrap().len();
            assert_eq!(page["returned"], returned);
            scroll = page["scroll_id"].clone();
            found += returned;
            if returned == 0 {
                break;
            }
        }
        assert_eq!(found, total, "{event_type}");
    }
    let bad = json!({"task": task, "scroll_id": "nonsense"});
    assert_eq!(server.refused("events.get_task_events", bad).await, (400, 1104));
    let bad = json!({"task": task, "event_type": "nonsense"});
    assert_eq!(server.refused("events.get_task_events", bad).await, (400, 12));
}

#[tokio::test]
async fn images_are_paged_to_an_end_and_back() {
    let server = TestServer::start().await;
    let task = server.task("images").await;
    let events: Vec<Value> = (1..=5).map(|iter| image(&task, iter, &format!("u{iter}"))).collect();
    server.send(&events).await.unwrap();
    let page = |scroll: Value, earlier: bool| {
        let metrics = json!([{"task": task, "metric": "img", "variants": ["im"]}]);
        let request = json!({"metrics": metrics, "iters": 2, "scroll_id": scroll, "navigate_earlier": earlier});
        server.call("events.debug_images", request)
    };
    let iterations = |page: &Value| -> Vec<i64> {
        let iterations = page["metrics"][0]["iterations"].as_array().unwrap();
        iterations.iter().map(|one| one["iter"].as_i64().unwrap()).collect()
    };
    let mut scroll = Value::Null;
    for expected in [vec![5, 4], vec![3, 2], vec![1], vec![], vec![]] {
        let page = page(scroll, true).await;
        assert_eq!(iterations(&page), expected);
        scroll = page["scroll_id"].clone();
    }
    assert_eq!(page(scroll, true).await["metrics"][0]["task"], task);
    let first = page(Value::Null, true).await;
    assert_eq!(first["metrics"][0]["iterations"][0]["events"][0]["url"], "u5");
    assert_eq!(iterations(&page(first["scroll_id"].clone(), false).await), Vec::<i64>::new());
    server.send(&[image(&task, 6, "u6")]).await.unwrap();
    assert_eq!(iterations(&page(first["scroll_id"].clone(), false).await), [6]);
}

#[tokio::test]
async fn plots_and_names() {
    let server = TestServer::start().await;
    let task = server.task("plots").await;
    let plot = |iter: i64| json!({"type": "plot", "task": task, "metric": "p", "variant": "v", "iter": iter, "plot_str": format!("{{\"n\":{iter}}}")});
    server.send(&[plot(1), plot(2), plot(3), scalar(&task, "a", 1, 2.0)]).await.unwrap();
    let plots = server.call("events.get_task_plots", json!({"task": task, "iters": 2, "no_scroll": true})).await;
    assert_eq!(plots["plots"].as_array().unwrap().iter().map(|plot| &plot["iter"]).collect::<Vec<_>>(), [3, 2]);
    assert_eq!((&plots["plots"][0]["plot_str"], &plots["plots"][0]["plot_len"]), (&json!("{\"n\":3}"), &json!(7)));
    assert!(plots.get("scroll_id").is_none());
    let many = server.call("events.get_multi_task_plots", json!({"tasks": [task]})).await;
    assert_eq!(many["plots"]["p"]["v"][&task]["3"]["plots"][0]["iter"], 3);
    let pages = server.call("events.plots", json!({"metrics": [{"task": task}], "iters": 10})).await;
    assert_eq!(pages["metrics"][0]["iterations"].as_array().unwrap().len(), 3);

    let metrics = json!({"tasks": [task], "event_type": "plot"});
    assert_eq!(server.call("events.get_task_metrics", metrics).await["metrics"][0]["metrics"], json!(["p"]));
    let all = server.call("events.get_multi_task_metrics", json!({"tasks": [task]})).await;
    assert_eq!(texts(&all["metrics"], "metric"), ["loss", "p"]);
    let scalars = server.call("events.get_scalar_metrics_and_variants", json!({"task": task})).await;
    assert_eq!(scalars["metrics"], json!({"loss": ["a"]}));
    let latest = server.call("events.get_task_latest_scalar_values", json!({"task": task})).await;
    assert_eq!(latest["metrics"][0]["variants"][0]["last_value"], 2.0);
}
