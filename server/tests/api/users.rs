//! Users, credentials, passwords, and what becomes of tokens.

use serde_json::{Value, json};
use server::Server;

use crate::harness::{Api, Fixture, config, soon, start};

const COMPANY: &str = "d1bd92a3b039400cbafc60a7a5b1e52b";

/// Code and subcode of a call with a token.
async fn with_token(api: &Api, endpoint: &str, token: &str) -> (i64, i64) {
    let request = api.client.get(format!("{}/{endpoint}", api.url)).bearer_auth(token);
    let answer: Value = soon(endpoint, request.send()).await.unwrap().json().await.unwrap();
    (answer["meta"]["result_code"].as_i64().unwrap(), answer["meta"]["result_subcode"].as_i64().unwrap())
}

async fn login(api: &Api) -> String {
    api.ok("auth.login", json!({})).await["token"].as_str().unwrap().to_owned()
}

/// A token that was made by another one.
async fn renewed(api: &Api, token: &str) -> String {
    let request = api.client.get(format!("{}/auth.login", api.url)).bearer_auth(token);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["data"]["token"].as_str().unwrap().to_owned()
}

async fn download(fixture: &Fixture, token: &str) -> u16 {
    let request = fixture.api.client.get(format!("{}/no/such/file", fixture.server.files_url)).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn revoked_credentials_stop_at_once_with_every_token_made_by_them() {
    let fixture = start().await;
    let user = fixture.user("ada", "user").await;
    let pair = user.ok("auth.create_credentials", json!({"label": "second"})).await["credentials"].clone();
    let text = |field: &str| pair[field].as_str().unwrap().to_owned();
    let second = Api { credentials: (text("access_key"), text("secret_key")), ..user.clone() };
    assert_eq!(pair["label"], "second");

    let token = login(&second).await;
    let again = renewed(&second, &token).await;
    let of_first = login(&user).await;
    assert_eq!(with_token(&user, "tasks.get_all", &again).await, (200, 0));
    assert_eq!(download(&fixture, &token).await, 404, "let in, and there is no such file");

    let revoked = user.ok("auth.revoke_credentials", json!({"access_key": second.credentials.0})).await;
    assert_eq!(revoked["revoked"], 1);
    second.refused("tasks.get_all", json!({}), 401, 22).await;
    for token in [&token, &again] {
        assert_eq!(with_token(&user, "tasks.get_all", token).await, (401, 30));
        assert_eq!(with_token(&user, "auth.login", token).await, (401, 30), "nor can it be renewed");
        assert_eq!(download(&fixture, token).await, 401);
    }
    assert_eq!(with_token(&user, "tasks.get_all", &of_first).await, (200, 0), "the other pair is not touched");
    user.refused("auth.revoke_credentials", json!({"access_key": second.credentials.0}), 400, 75).await;
}

#[tokio::test]
async fn a_removed_user_is_out_at_once_and_what_it_made_stays() {
    let fixture = start().await;
    let (admin, user) = (&fixture.api, fixture.user("ada", "user").await);
    let task = user.task("kept").await;
    let token = login(&user).await;
    let id = user.ok("users.get_current_user", json!({})).await["user"]["id"].clone();
    let for_user = admin.ok("auth.get_token_for_user", json!({"user": id})).await["token"].clone();
    let for_user = for_user.as_str().unwrap();
    assert_eq!(with_token(admin, "users.get_current_user", for_user).await, (200, 0));
    admin.ok("users.delete", json!({"user": id})).await;
    user.refused("tasks.get_all", json!({}), 401, 22).await;
    for token in [&*token, for_user] {
        assert_eq!(with_token(&user, "tasks.get_all", token).await, (401, 30));
        assert_eq!(download(&fixture, token).await, 401);
    }
    assert_eq!(admin.get(&task).await["user"], id);
    admin.refused("users.delete", json!({"user": id}), 400, 301).await;
}

#[tokio::test]
async fn a_session_that_was_logged_out_stays_out() {
    let fixture = start().await;
    let api = &fixture.api;
    for logout in ["auth.logout", "login.logout"] {
        let (token, other) = (login(api).await, login(api).await);
        let again = renewed(api, &token).await;
        let request = api.client.post(format!("{}/{logout}", api.url)).bearer_auth(&token);
        let response = request.send().await.unwrap();
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("clearml_token_basic=;"), "{cookie}");
        for token in [&token, &again] {
            assert_eq!(with_token(api, "tasks.get_all", token).await, (401, 31), "{logout}");
            assert_eq!(download(&fixture, token).await, 401);
        }
        assert_eq!(with_token(api, "tasks.get_all", &other).await, (200, 0), "another session goes on");
    }
    // Credentials have no session.
    api.ok("auth.logout", json!({})).await;
    api.ok("tasks.get_all", json!({})).await;
}

#[tokio::test]
async fn a_restart_forgets_no_logout_and_no_use() {
    let fixture = start().await;
    let (token, other) = (login(&fixture.api).await, login(&fixture.api).await);
    let request = fixture.api.client.post(format!("{}/auth.logout", fixture.api.url)).bearer_auth(&token);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let (key, secret) = fixture.api.credentials.clone();
    let request = fixture.api.client.get(format!("{}/debug.ping", fixture.api.url)).basic_auth(&key, Some(&secret));
    request.header("x-clearml-worker", "box:gpu0").send().await.unwrap();
    let data = fixture.data;
    soon("the end", fixture.server.stop()).await;
    // Before the next one writes down what it was asked.
    let connection = rusqlite::Connection::open(data.path().join("server.db")).unwrap();
    let (at, from): (i64, String) = connection
        .query_row("SELECT last_used, last_used_from FROM credentials WHERE key = ?", [&key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(at > 1_600_000_000_000_000);
    assert_eq!(from, "box:gpu0");
    drop(connection);
    let again = Server::start(config(&data)).await.unwrap();
    let api = Api { url: again.api_url.clone(), ..fixture.api };
    assert_eq!(with_token(&api, "tasks.get_all", &token).await, (401, 31));
    assert_eq!(with_token(&api, "tasks.get_all", &other).await, (200, 0));
}

#[tokio::test]
async fn everybody_looks_after_their_own_credentials() {
    let fixture = start().await;
    let (admin, ada, bob) = (&fixture.api, fixture.user("ada", "user").await, fixture.user("bob", "user").await);
    let key = &ada.credentials.0;
    let shown = ada.ok("auth.get_credentials", json!({})).await["credentials"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["access_key"], json!(key));
    assert!(shown[0]["last_used"].is_string(), "{shown}");
    assert!(!shown.to_string().contains(&ada.credentials.1), "a secret is told once");

    assert_eq!(ada.ok("auth.edit_credentials", json!({"access_key": key, "label": "mine"})).await["updated"], 1);
    assert_eq!(ada.ok("auth.get_credentials", json!({})).await["credentials"][0]["label"], "mine");

    // Bob learns nothing of Ada's, not even that they are there.
    bob.refused("auth.edit_credentials", json!({"access_key": key, "label": "x"}), 400, 75).await;
    bob.refused("auth.revoke_credentials", json!({"access_key": key}), 400, 75).await;
    bob.refused("auth.get_credentials", json!({"all_users": true}), 403, 20).await;
    let id = ada.ok("users.get_current_user", json!({})).await["user"]["id"].clone();
    bob.refused("auth.get_credentials", json!({"user": id}), 403, 20).await;
    bob.refused("auth.create_credentials", json!({"user": id}), 403, 20).await;

    let all = admin.ok("auth.get_credentials", json!({"all_users": true})).await["credentials"].clone();
    assert_eq!(all.as_array().unwrap().len(), 3);
    admin.ok("auth.revoke_credentials", json!({"access_key": key})).await;
    ada.refused("tasks.get_all", json!({}), 401, 22).await;
    admin.refused("auth.create_credentials", json!({"user": "nobody"}), 400, 301).await;
}

#[tokio::test]
async fn a_password_opens_what_credentials_open_until_it_is_another() {
    let fixture = start().await;
    let admin = &fixture.api;
    let modes = || async { admin.ok("login.supported_modes", json!({})).await["basic"]["enabled"].clone() };
    assert_eq!(modes().await, false);
    let user = json!({"name": "Ada L", "email": "ada@x", "company": COMPANY, "password": "difference engine"});
    let id = admin.ok("auth.create_user", user).await["id"].clone();
    assert_eq!(modes().await, true);
    assert_eq!(admin.ok("auth.fixed_users_mode", json!({})).await["enabled"], true);

    let ada = |password: &str| Api { credentials: ("Ada L".to_owned(), password.to_owned()), ..admin.clone() };
    let me = ada("difference engine").ok("users.get_current_user", json!({})).await["user"].clone();
    assert_eq!((&me["id"], &me["role"]), (&id, &json!("user")));
    let token = login(&ada("difference engine")).await;
    let again = renewed(admin, &token).await;
    for wrong in ["difference engin", "difference engine ", "x"] {
        ada(wrong).refused("auth.login", json!({}), 401, 22).await;
    }
    let nobody = Api { credentials: ("Nobody".to_owned(), "difference engine".to_owned()), ..admin.clone() };
    nobody.refused("auth.login", json!({}), 401, 22).await;

    admin.ok("auth.edit_user", json!({"user": id, "password": "analytical engine"})).await;
    ada("difference engine").refused("tasks.get_all", json!({}), 401, 22).await;
    for token in [&token, &again] {
        assert_eq!(with_token(admin, "tasks.get_all", token).await, (401, 30), "what it had opened is shut");
    }
    assert!(login(&ada("analytical engine")).await.len() > 100);
    admin.ok("auth.edit_user", json!({"user": id, "password": ""})).await;
    ada("analytical engine").refused("auth.login", json!({}), 401, 22).await;
    assert_eq!(modes().await, false);

    admin.refused("auth.edit_user", json!({"user": id, "password": "short"}), 400, 12).await;
    let user = json!({"name": "a:b", "email": "", "company": COMPANY, "password": "difference engine"});
    admin.refused("auth.create_user", user, 400, 12).await;
}

#[tokio::test]
async fn who_guesses_is_sent_away_and_others_come_in() {
    let fixture = start().await;
    let admin = &fixture.api;
    let user = json!({"name": "ada", "email": "", "company": COMPANY, "password": "difference engine"});
    admin.ok("auth.create_user", user).await;
    let guess = |number: usize| {
        let request = admin.client.get(format!("{}/auth.login", admin.url));
        request.basic_auth("ada", Some(format!("guess {number}"))).header("x-forwarded-for", "6.6.6.6").send()
    };
    let guessing = futures::future::join_all((0..40).map(guess));
    let coming_in = async {
        // From another address; this is the one that a proxy on this machine has seen.
        let request = admin.client.get(format!("{}/auth.login", admin.url)).header("x-forwarded-for", "7.7.7.7");
        request.basic_auth("ada", Some("difference engine")).send().await.unwrap().status()
    };
    let (guesses, right) = soon("all answers", futures::future::join(guessing, coming_in)).await;
    assert_eq!(right, 200);
    let codes: Vec<u16> = guesses.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    assert!(codes.iter().all(|code| [401, 429].contains(code)), "{codes:?}");
    assert!(codes.contains(&429) && codes.contains(&401), "{codes:?}");
    // The credentials of a program are long and random: nothing slows them down.
    admin.ok("tasks.get_all", json!({})).await;
}

#[tokio::test]
async fn an_administrator_can_be_somebody_else() {
    let fixture = start().await;
    let (admin, ada) = (&fixture.api, fixture.user("ada", "user").await);
    let id = ada.ok("users.get_current_user", json!({})).await["user"]["id"].as_str().unwrap().to_owned();
    let own = admin.ok("users.get_current_user", json!({})).await["user"]["id"].clone();
    let call = |api: &Api, endpoint: &str, headers: &[(&str, &str)]| {
        let mut request = api.client.get(format!("{}/{endpoint}", api.url));
        request = request.basic_auth(&api.credentials.0, Some(&api.credentials.1));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move {
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            let code =
                (answer["meta"]["result_code"].as_i64().unwrap(), answer["meta"]["result_subcode"].as_i64().unwrap());
            (code, answer["data"].clone())
        }
    };
    let as_ada = [("X-ClearML-Impersonate-As", id.as_str())];
    let for_ada = [("X-ClearML-Act-As", id.as_str())];
    let who = |data: &Value| (data["user"]["id"].clone(), data["user"]["role"].clone());

    let (_, data) = call(admin, "users.get_current_user", &as_ada).await;
    assert_eq!(who(&data), (json!(id), json!("user")));
    let (_, data) = call(admin, "users.get_current_user", &for_ada).await;
    assert_eq!(who(&data), (json!(id), json!("admin")));
    assert_eq!(call(admin, "server.config", &as_ada).await.0, (403, 20), "in every respect");
    assert_eq!(call(admin, "server.config", &for_ada).await.0, (200, 0));
    let both = [as_ada[0], for_ada[0]];
    assert_eq!(call(admin, "tasks.get_all", &both).await.0, (400, 5));
    assert_eq!(call(admin, "tasks.get_all", &[("X-ClearML-Impersonate-As", "nobody")]).await.0, (400, 6));
    assert_eq!(call(&ada, "tasks.get_all", &[("X-ClearML-Act-As", own.as_str().unwrap())]).await.0, (403, 20));

    // A token for another user is as good as its maker.
    let (_, data) = call(admin, "auth.login", &as_ada).await;
    let token = data["token"].as_str().unwrap();
    assert_eq!(with_token(admin, "users.get_current_user", token).await, (200, 0));
    let valid = admin.ok("auth.validate_token", json!({"token": token})).await;
    assert_eq!((&valid["valid"], &valid["user"]), (&json!(true), &json!(id)));
    let second = fixture.user("second", "admin").await;
    second.ok("auth.edit_user", json!({"user": own, "role": "user"})).await;
    assert_eq!(with_token(admin, "users.get_current_user", token).await, (401, 30));
    let valid = second.ok("auth.validate_token", json!({"token": token})).await;
    assert_eq!(valid["valid"], false);
}

#[tokio::test]
async fn there_is_always_an_administrator() {
    let fixture = start().await;
    let admin = &fixture.api;
    let id = admin.ok("users.get_current_user", json!({})).await["user"]["id"].clone();
    admin.refused("users.delete", json!({"user": id}), 400, 16).await;
    admin.refused("auth.edit_user", json!({"user": id, "role": "user"}), 400, 16).await;
    let second = fixture.user("second", "admin").await;
    // A role holds from the next call on, in tokens too.
    let token = login(admin).await;
    second.ok("auth.edit_user", json!({"user": id, "role": "guest"})).await;
    assert_eq!(with_token(admin, "server.config", &token).await, (403, 20));
    second.ok("users.delete", json!({"user": id})).await;
    admin.refused("tasks.get_all", json!({}), 401, 22).await;
}

#[tokio::test]
async fn users_are_made_found_and_changed() {
    let fixture = start().await;
    let admin = &fixture.api;
    let user = json!({"name": "Ada", "email": "", "company": COMPANY, "given_name": "Augusta", "role": "guest"});
    let ada = admin.ok("auth.create_user", user.clone()).await["id"].as_str().unwrap().to_owned();
    admin.refused("auth.create_user", user.clone(), 400, 801).await;
    for (field, value) in [("name", ""), ("name", "a\nb"), ("role", "root"), ("role", "emperor")] {
        let mut bad = user.clone();
        bad["name"] = json!("Other");
        bad[field] = json!(value);
        admin.refused("auth.create_user", bad, 400, 12).await;
    }
    admin.refused("auth.create_user", json!({"name": "N", "email": "", "company": "x"}), 400, 16).await;
    admin.ok("users.create", json!({"id": "bob-1", "name": "Bob", "company": COMPANY})).await;
    admin.refused("users.create", json!({"id": "bob-1", "name": "Bob2", "company": COMPANY}), 400, 302).await;

    let found = admin.ok("users.get_all", json!({"order_by": ["name"], "only_fields": ["name", "role"]})).await;
    let names: Vec<&str> =
        found["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ada", "Bob", "admin"]);
    let one = admin.ok("users.get_by_id", json!({"user": ada})).await["user"].clone();
    assert_eq!((&one["given_name"], &one["role"]), (&json!("Augusta"), &json!("guest")));
    assert!(!one.to_string().contains("password"), "{one}");
    admin.refused("users.get_by_id", json!({"user": "nobody"}), 400, 301).await;

    let bob = fixture.credentials_of("bob-1").await;
    let changed = bob.ok("users.update", json!({"user": "bob-1", "family_name": "Builder"})).await;
    assert_eq!(changed, json!({"updated": 1, "fields": {"family_name": "Builder"}}));
    bob.refused("users.update", json!({"user": ada, "name": "x"}), 403, 20).await;
    bob.refused("users.update", json!({"user": "bob-1", "name": "Ada"}), 400, 801).await;
    admin.ok("users.update", json!({"user": ada, "name": "Ada Lovelace"})).await;
    assert_eq!(admin.ok("users.get_by_id", json!({"user": ada})).await["user"]["name"], "Ada Lovelace");

    // Who is active where.
    let project = bob.ok("projects.create", json!({"name": "Outer/Inner", "description": ""})).await["id"].clone();
    bob.ok("tasks.create", json!({"name": "task", "type": "training", "project": project})).await;
    let outer = admin.ok("projects.get_all", json!({"name": "^Outer$"})).await["projects"][0]["id"].clone();
    let active = |projects: Value| async move {
        let found = admin.ok("users.get_all_ex", json!({"active_in_projects": projects})).await;
        found["users"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(active(json!([project])).await, [json!("bob-1")]);
    assert_eq!(active(json!([outer])).await, [json!("bob-1")], "below it");
    assert_eq!(active(json!([])).await, [json!("bob-1")], "anywhere");
    assert_eq!(active(json!(["nowhere"])).await, Vec::<Value>::new());
    assert_eq!(active(Value::Null).await.len(), 3, "not asked for");
}

#[tokio::test]
async fn everybody_changes_their_own_password_and_only_knowing_the_old_one() {
    let fixture = start().await;
    let (admin, ada) = (&fixture.api, fixture.user("ada", "user").await);
    let id = ada.ok("users.get_current_user", json!({})).await["user"]["id"].clone();
    let change = |new: &str, current: Option<&str>| json!({"user": id, "password": new, "current_password": current});
    let log_in = |password: &'static str| {
        let request = admin.client.get(format!("{}/auth.login", admin.url)).basic_auth("ada", Some(password));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    // The first one, with the credentials that the user has.
    ada.refused("users.update", change("short", None), 400, 12).await;
    ada.ok("users.update", change("difference engine", None)).await;
    assert_eq!(log_in("difference engine").await, 200);
    for wrong in [None, Some("difference"), Some("")] {
        ada.refused("users.update", change("analytical engine", wrong), 400, 12).await;
    }
    assert_eq!(log_in("difference engine").await, 200, "nothing has changed");
    // Nobody else, an administrator neither: they have auth.edit_user.
    admin.refused("users.update", change("analytical engine", Some("difference engine")), 400, 12).await;
    ada.ok("users.update", change("analytical engine", Some("difference engine"))).await;
    assert_eq!((log_in("analytical engine").await, log_in("difference engine").await), (200, 401));
}

#[tokio::test]
async fn preferences_are_each_users_own_and_merged() {
    let fixture = start().await;
    let (admin, ada) = (&fixture.api, fixture.user("ada", "user").await);
    let set = ada.ok("users.set_preferences", json!({"preferences": {"view": {"dark": true, "n": 1}}})).await;
    assert_eq!(set, json!({"updated": 1, "fields": {}}));
    let set = json!({"preferences": {"view": {"n": 2}}, "return_updated": true});
    let set = ada.ok("users.set_preferences", set).await;
    assert_eq!(set["fields"]["preferences"], json!({"view": {"dark": true, "n": 2}}));
    assert_eq!(ada.ok("users.get_preferences", json!({})).await["preferences"]["view"]["dark"], true);
    assert_eq!(admin.ok("users.get_preferences", json!({})).await["preferences"], json!({}));
    ada.refused("users.set_preferences", json!({}), 400, 12).await;
    let large = json!({"preferences": {"x": "y".repeat(300 << 10)}});
    ada.refused("users.set_preferences", large, 400, 305).await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_a_browsers_cookie() {
    let fixture = start().await;
    let api = &fixture.api;
    let token = login(api).await;
    let request = |url: String| api.client.get(url).header("cookie", format!("clearml_token_basic={token}"));
    let url = format!("{}/tasks.get_all", api.url);
    for (site, code) in [("same-origin", 200), ("same-site", 200), ("none", 200), ("cross-site", 401)] {
        let response = request(url.clone()).header("sec-fetch-site", site).send().await.unwrap();
        assert_eq!(response.status(), code, "{site}");
    }
    // A link to a file is fine.
    let file = request(format!("{}/a/b", fixture.server.files_url)).header("sec-fetch-site", "cross-site");
    assert_eq!(file.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn no_password_is_readable_in_the_data_directory() {
    let fixture = start().await;
    let password = "a very secret password";
    let user = json!({"name": "ada", "email": "", "company": COMPANY, "password": password});
    fixture.api.ok("auth.create_user", user).await;
    let data = fixture.data;
    fixture.server.stop().await;
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(password.len()).any(|window| window == password.as_bytes()), "{}", path.display());
        }
    }
}
