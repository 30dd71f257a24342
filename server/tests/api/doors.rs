//! Every endpoint, asked by those who may not.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Api, start};

/// What answers without credentials: the health check and what a login page needs.
const OPEN: [&str; 4] = ["auth.fixed_users_mode", "debug.ping", "login.logout", "login.supported_modes"];

/// What administrators alone may call.
const MANAGED: [&str; 7] = [
    "auth.create_user",
    "auth.edit_user",
    "auth.get_token_for_user",
    "auth.validate_token",
    "server.config",
    "users.create",
    "users.delete",
];

/// Every endpoint of the list, whether this server has it or not.
fn endpoints() -> BTreeSet<String> {
    let lines = include_str!("../../src/http/endpoints.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split(" |").next()).map(str::to_owned).collect()
}

async fn code(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn nothing_but_the_health_check_and_the_login_page_answers_without_credentials() {
    let fixture = start().await;
    let Api { url, client, credentials: (key, secret) } = &fixture.api;
    let mut implemented = 0;
    for endpoint in endpoints() {
        for path in [
            format!("{url}/{endpoint}"),
            format!("{url}/v2.34/{endpoint}/"),
            format!("{}/api/{endpoint}", fixture.server.web_url),
        ] {
            let expected = if OPEN.contains(&&*endpoint) { 200 } else { 401 };
            assert_eq!(code(client.post(&path).json(&json!({}))).await, expected, "{path}");
        }
        // So that this test has not missed what it is about; long-polls answer at once to a wish for nothing.
        let body = json!({"timeout_seconds": 0, "queues": [], "tasks": []});
        let known = code(client.post(format!("{url}/{endpoint}")).basic_auth(key, Some(secret)).json(&body)).await;
        implemented += usize::from(known != 404);
        assert_ne!(known, 401, "{endpoint} is closed to an administrator");
    }
    assert!(implemented > 120, "only {implemented} endpoints were found in the sources");
}

#[tokio::test]
async fn no_path_of_any_port_answers_without_credentials() {
    let fixture = start().await;
    let (server, client) = (&fixture.server, &fixture.api.client);
    for port in [&server.api_url, &server.web_url, &server.files_url] {
        for path in ["metrics", "a/file.bin", "server.info", "delete_many", "hostler.prune", "v2.34/tasks.get_all"] {
            let code = code(client.post(format!("{port}/{path}")).json(&json!({}))).await;
            assert!([400, 401, 404].contains(&code), "{port}/{path} answers {code}");
            let code = self::code(client.get(format!("{port}/{path}"))).await;
            assert!([400, 401, 404].contains(&code), "{port}/{path} answers {code}");
        }
    }
    assert_eq!(code(client.get(&server.files_url)).await, 200, "the health check of the files");
    assert_eq!(code(client.get(&server.web_url)).await, 200, "the page for people");
}

#[tokio::test]
async fn what_administrators_do_is_refused_to_everybody_else() {
    let fixture = start().await;
    for role in ["user", "superuser", "annotator", "guest"] {
        let user = fixture.user(role, role).await;
        for endpoint in MANAGED {
            // Before the body is looked at.
            user.refused(endpoint, json!({}), 403, 20).await;
        }
        user.ok("tasks.get_all", json!({})).await;
        user.ok("users.get_current_user", json!({})).await;
    }
    for endpoint in MANAGED {
        let code = fixture.api.send(endpoint, json!({})).await.status();
        assert!([200, 400].contains(&code.as_u16()), "{endpoint} answers {code} to an administrator");
    }
}

#[tokio::test]
async fn who_is_nobody_cannot_make_the_server_read_much() {
    let fixture = start().await;
    let url = format!("{}/debug.ping", fixture.api.url);
    let large = json!({"x": "y".repeat(1 << 20)});
    assert_eq!(code(fixture.api.client.post(&url).json(&large)).await, 413);
    let (key, secret) = &fixture.api.credentials;
    assert_eq!(code(fixture.api.client.post(&url).basic_auth(key, Some(secret)).json(&large)).await, 200);
}
