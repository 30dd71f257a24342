//! The generic `get_all`.

use serde_json::{Value, json};

use crate::harness::{Api, start};

#[track_caller]
fn names(data: &Value) -> Vec<&str> {
    data["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect()
}

async fn check(api: &Api, mut filter: Value, expected: &[&str]) {
    if filter.get("order_by").is_none() {
        filter["order_by"] = json!(["name"]);
    }
    let data = api.ok("tasks.get_all", filter.clone()).await;
    assert_eq!(names(&data), expected, "{filter}");
}

async fn zoo(api: &Api) {
    let tasks = json!([
        {"name": "ant", "type": "training", "tags": ["small", "six"], "comment": "an insect"},
        {"name": "bee", "type": "training", "tags": ["small", "six", "wings"], "runtime": {"version": "1"}},
        {"name": "cat", "type": "testing", "tags": ["four"],
         "hyperparams": {"Args": {"lr": {"section": "Args", "name": "lr", "value": "10"}}}},
        {"name": "dog", "type": "testing", "tags": ["four", "big"],
         "hyperparams": {"Args": {"lr": {"section": "Args", "name": "lr", "value": "9"}}}},
        {"name": "eel", "type": "custom", "tags": [], "system_tags": ["hidden"]},
        {"name": "f.o x", "type": "custom", "tags": []},
    ]);
    for task in tasks.as_array().unwrap() {
        api.ok("tasks.create", task.clone()).await;
    }
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let fixture = start().await;
    let api = &fixture.api;
    zoo(api).await;
    let cases: &[(Value, &[&str])] = &[
        (json!({}), &["ant", "bee", "cat", "dog", "f.o x"]),
        (json!({"search_hidden": true, "name": "e"}), &["bee", "eel"]),
        (json!({"name": "^[ab]"}), &["ant", "bee"]),
        (json!({"name": r"^f\.o\ x$"}), &["f.o x"]),
        (json!({"name": "^ANT$"}), &[]),
        (json!({"name": "^(?!a|b)"}), &["cat", "dog", "f.o x"]),
        (json!({"name": "^(?=.*o)(?!d)"}), &["f.o x"]),
        (json!({"name": r"\bo"}), &["f.o x"]),
        (json!({"name": "{|[[o]g"}), &["dog"]),
        (json!({"type": ["testing"]}), &["cat", "dog"]),
        (json!({"type": "testing"}), &["cat", "dog"]),
        (json!({"status": ["completed"]}), &[]),
        (json!({"tags": ["wings", "big"]}), &["bee", "dog"]),
        (json!({"tags": ["small", "-wings"]}), &["ant"]),
        (json!({"tags": ["-small"]}), &["cat", "dog", "f.o x"]),
        (json!({"tags": ["__$all", "small", "wings"]}), &["bee"]),
        (json!({"tags": ["__$and", "six", "__$not", "wings"]}), &["ant"]),
        (json!({"tags": ["__$or", "wings", "__$not", "small"]}), &["bee", "cat", "dog", "f.o x"]),
        (json!({"tags": ["__$all", "small", "__$nop", "four", "wings"]}), &["bee"]),
        (json!({"tags": ["__$or", "__$not", "small", "wings"]}), &["bee", "cat", "dog", "f.o x"]),
        (json!({"tags": ["__$any", "wings", "__$all", "four", "big"]}), &["bee", "dog"]),
        (json!({"tags": []}), &["ant", "bee", "cat", "dog", "f.o x"]),
        (json!({"id": (0..5000).map(|number| number.to_string()).collect::<Vec<_>>()}), &[]),
        (json!({"tags": [null]}), &["f.o x"]),
        (json!({"tags": [null, "big"]}), &["dog", "f.o x"]),
        (json!({"filters": {"tags": {"all": {"include": ["small"], "exclude": ["wings"]}}}}), &["ant"]),
        (json!({"filters": {"tags": {"any": {"include": ["big", "wings"]}}}}), &["bee", "dog"]),
        (
            json!({"filters": {"tags": {"any": {"include": ["wings"]}, "all": {"include": ["four", "big"]}, "op": "or"}}}),
            &["bee", "dog"],
        ),
        (json!({"filters": {"tags": {"any": {"exclude": ["small", "six"]}}}}), &["cat", "dog", "f.o x"]),
        (json!({"_or_": {"fields": ["name"], "pattern": "^BEE$"}}), &["bee"]),
        (
            json!({"_and_": {"fields": ["created", "last_update"], "datetime": [">=2020-01-01"]}, "name": "ant"}),
            &["ant"],
        ),
        (json!({"_any_": {"fields": ["name", "comment"], "pattern": "INSECT|cat"}}), &["ant", "cat"]),
        (json!({"_all_": {"fields": ["name", "comment"], "pattern": "n"}}), &["ant"]),
        (json!({"search_text": "insect nothing"}), &["ant"]),
        (json!({"search_text": "INSECTS"}), &["ant"]),
        (json!({"search_text": "sect"}), &[]),
        (json!({"search_text": "\"an insect\""}), &["ant"]),
        (json!({"search_text": "\"insect an\""}), &[]),
        (json!({"search_text": "bee cat dog -dogs"}), &["bee", "cat"]),
        (json!({"search_text": "-insect"}), &["bee", "cat", "dog", "f.o x"]),
        (json!({"runtime.version": "1"}), &["bee"]),
        (json!({"hyperparams.Args.lr.value": ["9"]}), &["dog"]),
        (json!({"last_iteration": [0, null], "type": ["custom"]}), &["f.o x"]),
        (json!({"last_iteration": [1, null]}), &[]),
        (json!({"created": ["2020-01-01T00:00:00", null], "name": "ant"}), &["ant"]),
        (json!({"started": [null, "2020-01-01T00:00:00"], "name": "ant"}), &["ant"]),
        (json!({"last_update": [">=2020-01-01", "<2021-01-01"]}), &[]),
        (json!({"last_update": ">=2020-01-01T00:00:00", "name": "cat"}), &["cat"]),
        (json!({"unknown_field": 1, "name": "cat"}), &["cat"]),
        (json!({"order_by": ["-name"], "page_size": 2, "page": 1}), &["cat", "bee"]),
        (json!({"order_by": ["hyperparams.Args.lr.value"], "type": ["testing"]}), &["dog", "cat"]),
        (json!({"order_by": ["comment", "name"]}), &["ant", "bee", "cat", "dog", "f.o x"]),
    ];
    for (filter, expected) in cases {
        check(api, filter.clone(), expected).await;
    }
}

#[tokio::test]
async fn bad_filters_are_refused_with_the_codes_that_clients_know() {
    let fixture = start().await;
    let api = &fixture.api;
    let cases = [
        (json!({"name": "("}), 21),
        (json!({"name": "(?=x)"}), 21),
        (json!({"name": "((a{100}){100}){100}"}), 21),
        (json!({"_any_": {"fields": ["name"], "pattern": "["}}), 21),
        (json!({"_any_": {"fields": ["nothing"], "pattern": "x"}}), 14),
        (json!({"only_fields": ["nothing"]}), 14),
        (json!({"order_by": ["nothing"]}), 14),
        (json!({"only_fields": ["project.name"]}), 14),
        (json!({"created": [1]}), 12),
        (json!({"last_update": "yesterday"}), 12),
        (json!({"page": -1}), 12),
        (json!({"scroll_id": "x", "size": 1}), 1104),
        (json!({"filters": 3}), 12),
        (json!({"name": "x(?!y)"}), 21),
        (json!({"name": r"(a)\1"}), 21),
        (json!({"only_fields": vec!["name"; 1001]}), 12),
        (json!({"order_by": vec!["name"; 33]}), 12),
        (json!({"tags": Vec::from_iter(std::iter::once("__$all").chain(std::iter::repeat_n("x", 40_000)))}), 16),
        (json!({"name": ["a"]}), 12),
    ];
    for (filter, subcode) in cases {
        api.refused("tasks.get_all", filter, 400, subcode).await;
    }
}

#[tokio::test]
async fn fields_are_projected_and_nested() {
    let fixture = start().await;
    let api = &fixture.api;
    zoo(api).await;
    let one = |name: &'static str, only: Value| async move {
        let data = api.ok("tasks.get_all", json!({"name": name, "only_fields": only})).await;
        let mut row = data["tasks"][0].as_object().unwrap().clone();
        assert!(row.remove("id").unwrap().is_string(), "the id is always there");
        Value::Object(row)
    };
    assert_eq!(one("ant", json!(["runtime.version"])).await, json!({"runtime": {}}));
    assert_eq!(one("bee", json!(["runtime.version"])).await, json!({"runtime": {"version": "1"}}));
    assert_eq!(one("ant", json!(["status", "execution.queue"])).await, json!({"status": "created", "execution": {}}));
    assert_eq!(
        one("dog", json!(["hyperparams.Args.lr.value"])).await,
        json!({"hyperparams": {"Args": {"lr": {"value": "9"}}}})
    );
    assert_eq!(one("ant", json!(["last_metrics.a.b"])).await, json!({"last_metrics": {}}));
    let all = one("ant", json!(["-script", "-hyperparams"])).await;
    assert!(all["script"].is_null() && all["execution"].is_object(), "{all}");

    let wide = api
        .ok("tasks.get_all_ex", json!({"name": "ant", "only_fields": ["user.name", "company.name", "project.name"]}))
        .await;
    assert_eq!(wide["tasks"][0]["user"]["name"], "admin");
    assert!(wide["tasks"][0]["user"]["id"].is_string());
    assert_eq!(wide["tasks"][0]["company"]["name"], "clearml");
}

#[tokio::test]
async fn the_stock_agent_asks_for_the_fields_of_its_own_version() {
    let fixture = start().await;
    let api = &fixture.api;
    let task = json!({
        "name": "old", "type": "training", "execution": {"docker_cmd": "python:3.12 -e A=1", "parameters": {"lr": "1"}},
    });
    let id = api.ok("v2.5/tasks.create", task).await["id"].clone();
    let request = json!({"id": [id], "only_fields": ["execution.docker_cmd", "execution.parameters"]});
    let found = api.ok("v2.5/tasks.get_all", request.clone()).await["tasks"][0].take();
    assert_eq!(found["execution"]["docker_cmd"], "python:3.12 -e A=1");
    assert_eq!(found["execution"]["parameters"], json!({"lr": "1"}));
    let found = api.ok("v2.23/tasks.get_all", request).await["tasks"][0].take();
    assert_eq!(found["execution"], json!({"parameters": {}}));
}

#[tokio::test]
async fn scrolling_sees_everything_once() {
    let fixture = start().await;
    let api = &fixture.api;
    zoo(api).await;
    let mut seen = Vec::new();
    let mut scroll = Value::Null;
    loop {
        let data = api.ok("tasks.get_all", json!({"scroll_id": scroll, "size": 2, "order_by": ["name"]})).await;
        scroll = data["scroll_id"].clone();
        let page = names(&data);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(str::to_owned));
    }
    assert_eq!(seen, ["ant", "bee", "cat", "dog", "f.o x"]);
}
