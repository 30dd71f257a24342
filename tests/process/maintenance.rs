//! `hostler server backup`, `restore`, `check` and `prune`, as a user calls them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Finished, Place, ProcessExt as _, Server};

const LIMIT: Duration = Duration::from_secs(60);

fn server_command(place: &Place, arguments: &[&str]) -> Finished {
    let mut command = place.hostler();
    command.arg("server").args(arguments).arg("--data-dir").arg(place.path("data")).finish_within(LIMIT)
}

fn document(finished: Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

#[test]
fn a_server_is_backed_up_restored_checked_and_pruned() {
    let place = Place::new();
    let mut server = Server::start_to_restart(&place);
    let api = server.api();
    let kept = api.call("tasks.create", json!({"name": "kept", "type": "training"}))["id"].clone();
    let backup = place.path("backup.db");
    let path = backup.to_str().unwrap();
    let made = document(server_command(&place, &["backup", path, "--json"]));
    assert_eq!(made["backup"], path);
    let again = server_command(&place, &["backup", path]);
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    server_command(&place, &["backup", "--force", path]).ok();

    let late = api.call("tasks.create", json!({"name": "late", "type": "training"}))["id"].clone();
    let refused = server_command(&place, &["restore", path]);
    assert_eq!(refused.code(), 75, "{refused:#?}");
    assert!(refused.stderr.contains("stop it first"), "{}", refused.stderr);
    assert_eq!(document(server_command(&place, &["check", "--json"]))["is_clean"], true);
    let pruned = document(server_command(&place, &["prune", "--dry-run", "--events-older-than", "1h", "--json"]));
    assert_eq!(pruned["tasks"], json!([]));

    server.kill();
    let text = server_command(&place, &["restore", path]).ok();
    assert!(text.contains("before-restore"), "{text}");
    server.restart(&place);
    let api = server.api();
    assert_eq!(api.task(kept.as_str().unwrap())["name"], "kept");
    assert!(api.try_call("tasks.get_by_id", json!({"task": late})).is_err());
    server.kill();

    let database = rusqlite::Connection::open(place.path("data/server/server.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys = off; DELETE FROM task_documents").unwrap();
    database.close().unwrap();
    let checked = server_command(&place, &["check"]);
    assert_eq!(checked.code(), 1, "{checked:#?}");
    assert!(checked.stdout.contains("task_documents"), "{}", checked.stdout);
    assert_eq!(document(server_command(&place, &["check", "--json"]))["is_clean"], false);
    let nowhere = place.hostler().args(["server", "check", "--data-dir", "nowhere"]).finish_within(LIMIT);
    assert_eq!(nowhere.code(), 78, "{nowhere:#?}");
}
