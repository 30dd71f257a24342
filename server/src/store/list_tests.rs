//! Lists of tasks: what they cost, counted and not timed (which index they use, whether they sort, that their work does
//! not grow with what they do not show), and that their text is what their values are.

use rusqlite::{Connection, StatementStatus, params, params_from_iter};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tasks::{self, TASK};
use super::{Store, migrations, open};
use crate::auth::Identity;
use crate::signals::Signals;
use crate::store::query::{self, Options};

/// Tasks of four projects, in two statuses, a second apart.
fn with_tasks(count: i64) -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let connection = open::writable(&path).unwrap();
    migrations::run(&connection, &path).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    let mut insert = connection
        .prepare(
            "INSERT INTO tasks (id, name, type, status, project, user, company, created, last_update, last_change)
             VALUES (?1, 'task ' || ?1, 'training', ?2, ?3, 'u', 'c', ?4, ?4, ?4)",
        )
        .unwrap();
    for number in 0..count {
        let status = if number % 8 < 4 { "created" } else { "completed" };
        let project = format!("project {}", number % 4);
        insert.execute(params![format!("{number:032}"), status, project, number * 1_000_000]).unwrap();
    }
    drop(insert);
    connection.execute_batch("COMMIT").unwrap();
    (directory, connection)
}

/// What one run of the statement that finds the rows of a `tasks.get_all` takes.
#[derive(Debug)]
struct Cost {
    plan: String,
    found: usize,
    steps: i32,
    full_scan: i32,
}

fn cost(connection: &Connection, body: &Value) -> Cost {
    let listing = query::listing(&TASK, body.as_object().unwrap(), &Options::default()).unwrap();
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", listing.sql)).unwrap();
    let plan = explain.query_map(params_from_iter(&listing.values), |row| row.get::<_, String>(3)).unwrap();
    let plan = plan.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
    let mut statement = connection.prepare(&listing.sql).unwrap();
    let found = statement.query_map(params_from_iter(&listing.values), |row| row.get::<_, i64>(0)).unwrap().count();
    let [steps, full_scan] =
        [StatementStatus::VmStep, StatementStatus::FullscanStep].map(|status| statement.get_status(status));
    Cost { plan, found, steps, full_scan }
}

/// The page costs the same whether there are few tasks or four times as many, on the index that is named.
#[track_caller]
fn check_flat(body: &Value, index: &str) {
    let (_few_directory, few) = with_tasks(1000);
    let (_many_directory, many) = with_tasks(4000);
    let (few, many) = (cost(&few, body), cost(&many, body));
    assert_eq!((few.found, many.found), (50, 50), "{body}");
    assert!(many.plan.contains(index), "{body}: {}", many.plan);
    assert!(!many.plan.contains("TEMP B-TREE FOR ORDER BY"), "{body} sorts: {}", many.plan);
    assert_eq!(many.full_scan, 0, "{body} scans the table: {}", many.plan);
    assert!(many.steps < few.steps * 11 / 10, "{body}: {} steps with few tasks, {} with many", few.steps, many.steps);
}

#[test]
fn a_page_by_project_status_and_order_is_read_from_an_index() {
    let mut body = json!({"project": ["project 1"], "status": ["created"], "page_size": 50});
    for order in ["last_update", "-last_update"] {
        body["order_by"] = json!([order]);
        check_flat(&body, "USING INDEX tasks_by_project (project=? AND status=?)");
    }
    body["system_tags"] = json!(["-archived"]);
    check_flat(&body, "USING INDEX tasks_by_project (project=? AND status=?)");
}

#[test]
fn a_page_of_a_status_in_order_is_read_from_an_index() {
    let body = json!({"status": ["created"], "order_by": ["-last_update"], "page_size": 50});
    check_flat(&body, "USING INDEX tasks_by_status (status=?)");
}

#[test]
fn a_page_of_everything_in_order_is_read_from_an_index() {
    for (order, index) in
        [("-last_update", "tasks_by_update"), ("-created", "tasks_by_creation"), ("name", "tasks_by_name")]
    {
        let (_directory, connection) = with_tasks(1000);
        let cost = cost(&connection, &json!({"order_by": [order], "page_size": 50}));
        assert!(cost.plan.contains(index) && !cost.plan.contains("TEMP B-TREE"), "{order}: {}", cost.plan);
        assert_eq!(cost.found, 50);
        assert!(cost.steps < 50 * 40, "{order} takes {} steps", cost.steps);
    }
}

#[test]
fn several_statuses_are_looked_up_in_the_index() {
    let (_directory, connection) = with_tasks(4000);
    let body = json!({
        "project": ["project 1"], "status": ["created", "completed"], "system_tags": ["-archived"],
        "order_by": ["-last_update"], "page_size": 50,
    });
    let cost = cost(&connection, &body);
    assert!(cost.plan.contains("USING INDEX tasks_by_project"), "{}", cost.plan);
    assert_eq!(cost.full_scan, 0);
}

#[test]
fn a_poll_looks_up_its_ids() {
    let (_directory, connection) = with_tasks(4000);
    let ids: Vec<String> = (0..20).map(|number| format!("{number:032}")).collect();
    let cost = cost(&connection, &json!({"id": ids, "only_fields": ["status", "status_message"]}));
    assert_eq!(cost.found, 20);
    assert!(cost.plan.contains("(id=?)"), "{}", cost.plan);
    assert_eq!(cost.full_scan, 0);
    assert!(cost.steps < 20 * 60, "{} steps", cost.steps);
}

/// Tasks with documents, lists, metrics, and fields that are missing.
async fn with_varied_tasks() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("test.db"), Signals::default()).unwrap();
    let bodies = json!([
        {"name": "plain \"quoted\" \u{e9}\n", "type": "training"},
        {"name": "whole", "type": "testing", "comment": "c", "tags": ["a", "b"], "system_tags": ["x"],
         "runtime": {"a": {"b": 1}, "n": 2.5}, "script": {"repository": "r", "diff": "d\u{1}"},
         "hyperparams": {"Args": {"lr": {"section": "Args", "name": "lr", "value": "0.1"}}},
         "configuration": {"c": {"name": "c", "value": "v"}}, "container": {"image": "i"},
         "execution": {"queue": "q", "parameters": {"p": 1}}, "output": {"destination": "o"}, "parent": "p"},
    ]);
    store
        .write(move |tx| {
            for body in bodies.as_array().unwrap() {
                let id = tasks::create(tx, body.as_object().unwrap(), &Identity::of_user("u", "User", "admin"))?;
                tx.execute("INSERT INTO event_owners (owner, is_model) VALUES (?, 0)", [&id])?;
                tx.execute(
                    "INSERT INTO event_series (owner, kind, metric, variant, metric_hash, variant_hash, events, reports,
                     min_iter, max_iter, value, value_iter, min_value, min_value_iter, max_value, max_value_iter,
                     first_value, first_value_iter, value_sum)
                     VALUES (last_insert_rowid(), 1, 'loss', 'train', 'h', 'v', 1, 1, 3, 3, 0.5, 3, 0.5, 3, 0.5, 3, 0.5, 3, 0.5)",
                    [],
                )?;
            }
            Ok(())
        })
        .await
        .unwrap();
    (directory, store)
}

#[tokio::test]
async fn the_text_of_a_list_says_what_its_values_are() {
    let (_directory, store) = with_varied_tasks().await;
    for only in [
        json!(null),
        json!(["name"]),
        json!(["-script", "-execution.parameters", "-last_metrics"]),
        json!(["execution", "runtime.a", "runtime.a.b", "hyperparams.Args.lr.value", "started"]),
        json!(["execution.queue", "last_metrics.h.v.value", "tags", "last_iteration", "created"]),
        json!(["project.name", "parent.name", "user.name", "models.input.model", "metric_stats"]),
    ] {
        for (expand, paging) in [(false, json!({})), (true, json!({"scroll_id": null, "size": 1}))] {
            let mut body = paging.as_object().unwrap().clone();
            body.insert("only_fields".to_owned(), only.clone());
            let shown = format!("{body:?} expand={expand}");
            let both = store.read(move |connection| {
                let options = Options { expand, ..Options::default() };
                let text = query::find_text(connection, &TASK, &body, &options, "tasks");
                let values = query::find(connection, &TASK, &body, &options);
                // Members of other objects can be asked for in the `_ex` form only.
                match (text, values) {
                    (Ok(text), Ok(values)) => Ok(Some((text, values.into_answer("tasks")))),
                    (Err(_), Err(_)) if !expand => Ok(None),
                    (text, values) => panic!("{text:?} {values:?}"),
                }
            });
            let Some((text, values)) = both.await.unwrap() else { continue };
            let read: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(read, values, "{shown}");
            assert!(!values["tasks"].as_array().unwrap().is_empty(), "{shown}");
        }
    }
}
