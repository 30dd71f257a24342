//! Runtime properties of workers, as the stock agent reads and writes them.

use serde_json::{Value, json};
use server::Server;

use crate::harness::{Api, config, soon, start};

async fn properties(api: &Api, worker: &str) -> Value {
    api.ok("workers.get_runtime_properties", json!({"worker": worker})).await["runtime_properties"].clone()
}

fn set(worker: &str, properties: &Value) -> Value {
    json!({"worker": worker, "runtime_properties": properties})
}

#[tokio::test]
async fn properties_are_merged_by_key_and_kept_apart_by_worker() {
    let fixture = start().await;
    let api = &fixture.api;
    assert_eq!(properties(api, "w:0").await, json!([]));
    let body = set("w:0", &json!([{"key": "force", "value": "on"}, {"key": "available_gpus", "value": "0_,1_"}]));
    api.ok("workers.set_runtime_properties", body).await;
    api.ok("workers.set_runtime_properties", set("w:1", &json!([{"key": "force", "value": "off"}]))).await;
    api.ok("workers.set_runtime_properties", set("w:0", &json!([{"key": "force", "value": true}]))).await;
    let one = |key: &str, value: &str| json!({"key": key, "value": value, "expiry": null});
    assert_eq!(properties(api, "w:0").await, json!([one("available_gpus", "0_,1_"), one("force", "true")]));
    assert_eq!(properties(api, "w:1").await, json!([one("force", "off")]));
    // They belong to the name, not to the registration.
    api.ok("workers.register", json!({"worker": "w:0"})).await;
    api.ok("workers.unregister", json!({"worker": "w:0"})).await;
    api.ok("workers.set_runtime_properties", set("w:0", &json!([{"key": "available_gpus", "value": null}]))).await;
    assert_eq!(properties(api, "w:0").await, json!([one("force", "true")]));
}

#[tokio::test]
async fn an_expiry_is_told_in_seconds_from_now_and_honoured_over_a_restart() {
    let fixture = start().await;
    let api = &fixture.api;
    let given = json!([
        {"key": "long", "value": "x", "expiry": 3600}, {"key": "over", "value": "x", "expiry": 0.000_001},
        {"key": "always", "value": "x", "expiry": 0},
    ]);
    api.ok("workers.set_runtime_properties", set("w:0", &given)).await;
    let (data, credentials) = (fixture.data, api.credentials.clone());
    soon("the end", fixture.server.stop()).await;
    let again = Server::start(config(&data)).await.unwrap();
    let api = Api { url: again.api_url.clone(), credentials, client: crate::harness::http_client() };
    let found = properties(&api, "w:0").await;
    assert_eq!(found[0], json!({"key": "always", "value": "x", "expiry": null}));
    assert_eq!(found[1]["key"], "long");
    assert!((3000..=3600).contains(&found[1]["expiry"].as_i64().unwrap()), "{found}");
    assert_eq!(found.as_array().unwrap().len(), 2, "what is over is not told: {found}");
    // Setting it again without an expiry makes it last.
    api.ok("workers.set_runtime_properties", set("w:0", &json!([{"key": "long", "value": "y"}]))).await;
    assert_eq!(properties(&api, "w:0").await[1], json!({"key": "long", "value": "y", "expiry": null}));
}

#[tokio::test]
async fn impossible_properties_are_refused() {
    let fixture = start().await;
    let api = &fixture.api;
    let many: Vec<Value> = (0..101).map(|number| json!({"key": number.to_string(), "value": ""})).collect();
    for (body, subcode) in [
        (json!({"worker": "w:0"}), 12),
        (json!({"runtime_properties": []}), 12),
        (set("", &json!([])), 12),
        (set("w:0", &json!([{"value": "x"}])), 12),
        (set("w:0", &json!([{"key": "", "value": "x"}])), 12),
        (set("w:0", &json!([{"key": "k", "value": ["x"]}])), 12),
        (set("w:0", &json!([{"key": "k", "value": "x".repeat(20_000)}])), 12),
        (set("w:0", &json!([{"key": "k", "value": "x", "expiry": -1}])), 12),
        (set("w:0", &json!([{"key": "k", "value": "x", "expiry": 1e18}])), 12),
        (set("w:0", &json!([{"key": "k", "value": "x", "expiry": "soon"}])), 12),
        (set("w:0", &json!(many)), 16),
    ] {
        api.refused("workers.set_runtime_properties", body, 400, subcode).await;
    }
    api.refused("workers.get_runtime_properties", json!({}), 400, 12).await;
    assert_eq!(properties(api, "w:0").await, json!([]), "a refused call sets nothing");
}
