//! The tree of projects, in a real database.

use rusqlite::Connection;

use super::*;
use crate::signals::Signals;
use crate::store::{Store, StoreResult, Tx};

async fn with_store<T: Send + 'static>(job: impl FnOnce(&Tx<'_>) -> StoreResult<T> + Send + 'static) -> T {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("server.db"), Signals::default()).unwrap();
    let done = store.write(job).await.unwrap();
    store.close().await;
    done
}

fn make(connection: &Connection, name: &str) -> Project {
    let id = create(connection, NewProject { name: name.to_owned(), ..NewProject::default() }, "u", 1).unwrap();
    Project::require(connection, &id).unwrap()
}

/// Every project by its name, with the names of its ancestors as its path says them.
fn tree(connection: &Connection) -> Vec<(String, Vec<String>)> {
    let mut statement = connection.prepare("SELECT name FROM projects ORDER BY name").unwrap();
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    names
        .into_iter()
        .map(|name| {
            let project = Project::named(connection, &name).unwrap().unwrap();
            assert_eq!(project.path.last(), project.parent.as_ref(), "{name}");
            assert_eq!(name.rsplit('/').next(), Some(project.basename.as_str()));
            let path = project.path.iter().map(|id| Project::require(connection, id).unwrap().name).collect();
            (name, path)
        })
        .collect()
}

#[track_caller]
fn assert_tree(connection: &Connection, expected: &[&str]) {
    let tree = tree(connection);
    assert_eq!(tree.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expected);
    for (name, path) in tree {
        let ancestors: Vec<String> = name.match_indices('/').map(|(slash, _)| name[..slash].to_owned()).collect();
        assert_eq!(path, ancestors, "ancestors of {name}");
    }
}

fn refused(result: StoreResult<impl std::fmt::Debug>) -> u16 {
    match result.unwrap_err() {
        crate::store::StoreError::Api(error) => error.subcode,
        other @ (crate::store::StoreError::Sql(_) | crate::store::StoreError::Json(_)) => {
            panic!("not a refusal: {other}")
        }
    }
}

#[tokio::test]
async fn parents_are_made_and_names_are_unique() {
    with_store(|tx| {
        make(tx, "Trial/Sub/Leaf");
        assert_tree(tx, &["Trial", "Trial/Sub", "Trial/Sub/Leaf"]);
        let again = NewProject { name: " Trial / Sub".to_owned(), ..NewProject::default() };
        assert_eq!(refused(create(tx, again, "u", 1)), 801);
        let found = find_or_create(tx, "Trial/Sub", "u", 1)?;
        assert_eq!(found, Project::named(tx, "Trial/Sub")?.unwrap().id);
        find_or_create(tx, "Other/New", "u", 1)?;
        assert_tree(tx, &["Other", "Other/New", "Trial", "Trial/Sub", "Trial/Sub/Leaf"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_renamed_project_takes_its_children_along() {
    with_store(|tx| {
        make(tx, "Trial/Sub/Leaf");
        make(tx, "Trial/Subway");
        let sub = Project::named(tx, "Trial/Sub")?.unwrap();
        rename(tx, &sub, "Trial/New")?;
        assert_tree(tx, &["Trial", "Trial/New", "Trial/New/Leaf", "Trial/Subway"]);
        let sub = Project::require(tx, &sub.id)?;
        assert_eq!(refused(rename(tx, &sub, "Elsewhere/New")), 408);
        assert_eq!(refused(rename(tx, &sub, "Trial/Subway")), 801);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn projects_move_with_all_below_them() {
    with_store(|tx| {
        make(tx, "One/Two/Three");
        make(tx, "Dest/Two");
        let two = Project::named(tx, "One/Two")?.unwrap();
        assert_eq!(refused(move_under(tx, &two, "Dest", "u", 2)), 801, "the name is taken there");
        assert_eq!(refused(move_under(tx, &two, "One", "u", 2)), 410);
        assert_eq!(refused(move_under(tx, &two, "One/Two/Three", "u", 2)), 411);
        assert_eq!(move_under(tx, &two, "Dest/New", "u", 2)?, 2);
        assert_tree(tx, &["Dest", "Dest/New", "Dest/New/Two", "Dest/New/Two/Three", "Dest/Two", "One"]);
        let two = Project::require(tx, &two.id)?;
        move_under(tx, &two, "", "u", 2)?;
        assert_tree(tx, &["Dest", "Dest/New", "Dest/Two", "One", "Two", "Two/Three"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_tree_never_gets_too_deep() {
    with_store(|tx| {
        make(tx, &["abc"; 9].join("/"));
        make(tx, "top/mid/low");
        let top = Project::named(tx, "top")?.unwrap();
        let below = ["abc"; 8].join("/");
        assert_eq!(refused(tx_attempt(tx, |tx| move_under(tx, &top, &below, "u", 2))), 409);
        Ok(())
    })
    .await;
}

fn tx_attempt<T>(tx: &Tx<'_>, job: impl FnOnce(&Tx<'_>) -> StoreResult<T>) -> StoreResult<T> {
    Ok(tx.attempt(|| job(tx))??)
}

#[tokio::test]
async fn merging_moves_children_and_contents() {
    with_store(|tx| {
        make(tx, "From/Child/Deep");
        make(tx, "Into");
        let from = Project::named(tx, "From")?.unwrap();
        let into = Project::named(tx, "Into")?.unwrap();
        let deep = Project::named(tx, "From/Child/Deep")?.unwrap();
        tx.execute(
            "INSERT INTO tasks (id, name, type, status, project, user, company, created, last_update, last_change) \
             VALUES ('t', 'task', 'training', 'created', ?, 'u', 'c', 1, 1, 1)",
            [&from.id],
        )?;
        assert_eq!(refused(merge(tx, &from, Some(&deep), 2)), 412);
        assert_eq!(refused(merge(tx, &from, Some(&from), 2)), 410);
        assert_eq!(merge(tx, &from, Some(&into), 2)?, (1, 2));
        assert_tree(tx, &["Into", "Into/Child", "Into/Child/Deep"]);
        let project: String = tx.query_row("SELECT project FROM tasks WHERE id = 't'", [], |row| row.get(0))?;
        assert_eq!(project, into.id);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn statistics_include_what_is_below() {
    with_store(|tx| {
        let (top, sub) = (make(tx, "Stat"), make(tx, "Stat/Sub"));
        for (id, project, status, tags) in [
            ("1", &top, "completed", "[]"),
            ("2", &sub, "completed", "[]"),
            ("3", &sub, "queued", "[]"),
            ("4", &sub, "failed", r#"["archived"]"#),
        ] {
            tx.execute(
                "INSERT INTO tasks (id, name, type, status, project, user, company, created, last_update, last_change, \
                 active_duration, system_tags) VALUES (?, 'task', 'training', ?, ?, 'u', 'c', 1, 1, 1, 10, ?)",
                (id, status, &project.id, tags),
            )?;
        }
        let stats = project_stats(tx, &[top.id.clone(), sub.id.clone()], 1)?;
        let shown = stats[&top.id].show(None);
        assert_eq!(shown["active"]["status_count"]["completed"], 2);
        assert_eq!(shown["active"]["status_count"]["in_progress"], 0);
        assert_eq!((&shown["active"]["total_tasks"], &shown["active"]["total_runtime"]), (&3.into(), &30.into()));
        assert_eq!(shown["archived"]["total_tasks"], 1);
        assert_eq!((stats[&top.id].own_tasks, stats[&sub.id].own_tasks), (1, 3));
        assert_eq!(stats[&top.id].below, [(sub.id, "Stat/Sub".to_owned())]);
        Ok(())
    })
    .await;
}
