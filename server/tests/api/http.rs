//! Paths, envelopes, bodies, headers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{http_client, start};

#[tokio::test]
async fn the_envelope_has_the_form_that_clients_parse() {
    let fixture = start().await;
    let mut answer: Value =
        fixture.api.send("v2.23/tasks.create", json!({"name": "one", "type": "training"})).await.json().await.unwrap();
    let id = answer["meta"]["id"].take();
    assert_eq!(id.as_str().unwrap().len(), 32);
    assert_eq!(answer["meta"]["trx"].take(), id);
    assert_eq!(answer["data"]["id"].take().as_str().unwrap().len(), 32);
    let expected = json!({
        "meta": {
            "id": null, "trx": null,
            "endpoint": {"name": "tasks.create", "requested_version": "2.23", "actual_version": 1.0},
            "result_code": 200, "result_subcode": 0, "result_msg": "OK", "error_stack": null, "error_data": {},
        },
        "data": {"id": null},
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn every_method_and_version_reaches_an_endpoint() {
    let fixture = start().await;
    let (key, secret) = &fixture.api.credentials;
    for path in ["debug.ping", "v2.5/debug.ping", "v999.0/debug.ping/", "v10/debug.ping"] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let url = format!("{}/{path}", fixture.api.url);
            let request = fixture.api.client.request(method.clone(), url).basic_auth(key, Some(secret));
            let response = request.json(&json!({"echo": 1, "method": "get"})).send().await.unwrap();
            assert_eq!(response.headers()["server"], "clearml");
            let answer: Value = response.json().await.unwrap();
            assert_eq!(answer["data"], json!({"msg": "ClearML server", "echo": 1}), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn paths_that_name_no_endpoint_are_told_apart() {
    let fixture = start().await;
    for path in ["", "foo", "vX/tasks.get_all"] {
        fixture.api.refused(path, json!({}), 400, 0).await;
    }
    for path in ["tasks.nothing", "nothing.at_all", "v1.5/queues.get_all", "workers.cluster_report"] {
        let (code, subcode, message) = fixture.api.error(path, json!({})).await;
        assert_eq!((code, subcode), (404, 0));
        assert!(message.starts_with("Unable to find endpoint for name"), "{message}");
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_after_bad_credentials() {
    let fixture = start().await;
    let (key, secret) = &fixture.api.credentials;
    let url = format!("{}/tasks.get_all", fixture.api.url);
    let send = |body: &'static str| fixture.api.client.post(&url).body(body);
    for bad in ["{", "[1]", "\"x\""] {
        let status = send(bad).basic_auth(key, Some(secret)).send().await.unwrap().status();
        assert_eq!(status, 400, "{bad}");
        assert_eq!(send(bad).send().await.unwrap().status(), 401, "{bad}");
    }
    let encoded = send("{}").basic_auth(key, Some(secret)).header("content-encoding", "gzip").send().await.unwrap();
    assert_eq!(encoded.status(), 415);
    assert_eq!(encoded.text().await.unwrap(), "Content encoding is not supported (gzip)");
}

#[tokio::test]
async fn queries_become_fields_and_nulls_count_as_absent() {
    let fixture = start().await;
    let (key, secret) = &fixture.api.credentials;
    let url = format!("{}/debug.ping?n=3600&list=a&list=b&on=true&x.y=z", fixture.api.url);
    let answer: Value =
        fixture.api.client.get(url).basic_auth(key, Some(secret)).send().await.unwrap().json().await.unwrap();
    let expected = json!({"msg": "ClearML server", "n": 3600, "list": ["a", "b"], "on": true, "x": {"y": "z"}});
    assert_eq!(answer["data"], expected);

    let task = fixture.api.task("with nulls").await;
    let body = json!({"task": task, "status_reason": null, "force": null, "status_message": null});
    assert_eq!(fixture.api.ok("tasks.started", body).await["started"], 1);
    let (_, _, message) = fixture.api.error("tasks.started", json!({"task": null})).await;
    assert_eq!(message, "Validation error (error for field 'task'. field is required!)");
}

#[tokio::test]
async fn browsers_may_call_from_elsewhere_and_large_answers_are_compressed() {
    let fixture = start().await;
    let url = format!("{}/debug.ping", fixture.api.url);
    let preflight = fixture.api.client.request(Method::OPTIONS, &url).header("origin", "http://ui.example");
    let preflight = preflight.header("access-control-request-method", "POST").send().await.unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "http://ui.example");
    assert_eq!(preflight.headers()["access-control-allow-credentials"], "true");

    let client = http_client();
    let body = json!({"filler": "x".repeat(10_000)});
    let plain = client.get(&url).json(&body).header("accept-encoding", "identity").send().await.unwrap();
    assert!(plain.headers().get("content-encoding").is_none());
    let packed = client.get(&url).json(&body).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_body_of_sixteen_mebibytes_is_taken() {
    let fixture = start().await;
    let task = fixture.api.task("large").await;
    let text = "x".repeat(16 << 20);
    fixture.api.ok("tasks.edit", json!({"task": task, "script": {"diff": text}})).await;
    let stored = fixture.api.get(&task).await;
    assert_eq!(stored["script"]["diff"].as_str().unwrap().len(), 16 << 20);
}

#[tokio::test]
async fn every_port_reaches_the_api_and_the_web_port_says_where_it_is() {
    let fixture = start().await;
    let server = &fixture.server;
    for url in [&server.api_url, &server.web_url, &server.files_url] {
        let answer: Value =
            fixture.api.client.get(format!("{url}/debug.ping")).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["data"]["msg"], "ClearML server");
    }
    let prefixed = fixture.api.client.get(format!("{}/api/v2.23/debug.ping", server.web_url)).send().await.unwrap();
    assert_eq!(prefixed.status(), 200);
    let page = fixture.api.client.get(&server.web_url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&server.api_url), "{page}");
}
