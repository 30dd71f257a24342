//! Who may call.

use serde_json::{Value, json};

use crate::harness::{Api, start};

async fn refusal(api: &Api, header: Option<String>) -> (i64, i64) {
    let mut request = api.client.get(format!("{}/tasks.get_all", api.url));
    if let Some(header) = header {
        request = request.header("authorization", header);
    }
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let meta = &answer["meta"];
    (meta["result_code"].as_i64().unwrap(), meta["result_subcode"].as_i64().unwrap())
}

#[tokio::test]
async fn callers_without_valid_credentials_learn_why() {
    let fixture = start().await;
    let api = &fixture.api;
    // "key:wrong", and a text without a colon.
    let cases = [
        (None, 20),
        (Some("Digest abc"), 10),
        (Some("basic a2V5Ondyb25n"), 10),
        (Some("Basic !!!"), 21),
        (Some("Basic bm9jb2xvbg=="), 21),
        (Some("Basic a2V5Ondyb25n"), 22),
        (Some("Bearer nonsense"), 30),
        (Some("Bearer"), 10),
    ];
    for (header, subcode) in cases {
        assert_eq!(refusal(api, header.map(str::to_owned)).await, (401, subcode), "{header:?}");
    }
    let (key, _) = &api.credentials;
    let wrong = Api { credentials: (key.clone(), "wrong".to_owned()), ..api.clone() };
    wrong.refused("tasks.get_all", json!({}), 401, 22).await;
    // Only the health check and the login page are open.
    for open in ["debug.ping", "login.supported_modes"] {
        assert_eq!(api.client.get(format!("{}/{open}", api.url)).send().await.unwrap().status(), 200);
    }
    let closed = api.client.get(format!("{}/server.info", api.url)).send().await.unwrap();
    assert_eq!(closed.status(), 401);
}

#[tokio::test]
async fn a_login_gives_a_token_that_works_and_renews_itself() {
    let fixture = start().await;
    let api = &fixture.api;
    let response = api.send("auth.login?expiration_sec=3600", json!({})).await;
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let answer: Value = response.json().await.unwrap();
    let token = answer["data"]["token"].as_str().unwrap();
    assert!(cookie.starts_with(&format!("clearml_token_basic={token}; HttpOnly")), "{cookie}");

    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!((&claims["api_version"], &claims["server_version"]), (&json!("2.34"), &json!("2.3.0")));
    assert_eq!(claims["feature_set"], "basic");
    assert_eq!(claims["identity"]["role"], "admin");

    for request in [
        api.client.get(format!("{}/auth.login", api.url)).bearer_auth(token),
        api.client.get(format!("{}/users.get_current_user", api.url)).bearer_auth(token),
        api.client
            .get(format!("{}/tasks.get_all", api.url))
            .header("cookie", format!("a=b; clearml_token_basic={token}")),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    api.refused("auth.login", json!({"expiration_sec": 0}), 400, 12).await;
    api.refused("auth.login", json!({"expiration_sec": 31_536_001}), 400, 12).await;
}

#[tokio::test]
async fn nothing_secret_is_readable_in_the_data_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = start().await;
    let (_, secret) = fixture.api.credentials.clone();
    fixture.api.task("something to store").await;
    let data = fixture.data;
    fixture.server.stop().await;
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{} is open to others", path.display());
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", path.display());
        }
    }
}
