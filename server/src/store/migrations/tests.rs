//! Every released version becomes the newest one, and nothing is lost on the way.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::super::open;
use super::{VERSIONS, newest, run, script, version};

/// Digests of the scripts of every released version: what was released once is never edited.
const RELEASED: &[&str] = &["b78b4a8764dc09f7c26da76123784ed7fbd2fec7537f9ad7ae24764363ad594b"];

/// Rows of every table. Kinds of series are numbered from 1 to 4.
const ROWS: i64 = 4;

/// A table, its columns, and all its rows in some fixed order.
type Dump = Vec<(String, Vec<String>, Vec<Vec<Value>>)>;

#[test]
fn released_versions_are_not_edited() {
    for (scripts, released) in VERSIONS.iter().zip(RELEASED) {
        let digest = hex::encode(Sha256::digest(scripts.join("\n")));
        assert_eq!(&digest, released, "a released schema was edited: make a new version of the change");
    }
}

#[test]
fn every_released_version_becomes_the_newest() {
    let fresh = database_of(newest());
    for number in 1..=RELEASED.len() {
        let (directory, connection) = database_of(number);
        fill(&connection);
        let before = dump(&connection, None);
        assert!(before.iter().all(|(_, _, rows)| rows.len() == ROWS as usize), "rows of every table: {before:?}");
        run(&connection, &directory.path().join("test.db")).unwrap();
        assert_eq!(version(&connection, directory.path()).unwrap(), newest());
        assert_eq!(dump(&connection, Some(&before)), before, "version {number} loses something");
        assert_eq!(schema(&connection), schema(&fresh.1), "version {number} becomes something else than a new file");
        assert_eq!(answers(&connection, "PRAGMA integrity_check"), ["ok"]);
        assert!(answers(&connection, "SELECT \"table\" FROM pragma_foreign_key_check").is_empty());
    }
}

#[test]
fn a_crash_in_the_middle_of_a_migration_leaves_the_old_version() {
    for number in 0..newest() {
        let (directory, connection) = database_of(number);
        fill(&connection);
        let before = dump(&connection, None);
        // Pages that do not fit go into the log before the commit, as those of a large database do.
        connection.execute_batch("PRAGMA cache_size = 1; PRAGMA wal_autocheckpoint = 0").unwrap();
        let half = script(number + 1).replace("COMMIT", "");
        connection.execute_batch(&half).unwrap();
        // What another process finds when this one dies now.
        let copy = tempfile::tempdir().unwrap();
        for name in ["test.db", "test.db-wal"] {
            std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
        }
        let path = copy.path().join("test.db");
        let found = open::writable(&path).unwrap();
        assert_eq!(version(&found, &path).unwrap(), number);
        assert_eq!(dump(&found, None), before);
        run(&found, &path).unwrap();
        assert_eq!(version(&found, &path).unwrap(), newest());
    }
}

/// A database of a version, without rows.
fn database_of(number: usize) -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let connection = open::writable(&directory.path().join("test.db")).unwrap();
    for step in 1..=number {
        connection.execute_batch(&script(step)).unwrap();
    }
    (directory, connection)
}

fn answers(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn schema(connection: &Connection) -> Vec<String> {
    let sql = "SELECT type || ' ' || name || ' of ' || tbl_name || ': ' || coalesce(sql, '') FROM sqlite_schema
               ORDER BY type, name";
    answers(connection, sql)
}

fn tables(connection: &Connection) -> Vec<String> {
    answers(
        connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )
}

/// Puts rows into every table. Row n of each table belongs to row n of the others.
fn fill(connection: &Connection) {
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    for table in tables(connection) {
        let columns: Vec<(String, String, Option<String>)> = {
            let sql = format!("SELECT name, type, dflt_value FROM pragma_table_info('{table}')");
            let mut statement = connection.prepare(&sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        for number in 1..=ROWS {
            let values = columns.iter().map(|(column, kind, default)| match (kind.as_str(), default.as_deref()) {
                ("TEXT", Some(document)) if document.starts_with("'{") => Value::Text(format!("{{\"n\":{number}}}")),
                ("TEXT", Some(document)) if document.starts_with("'[") => Value::Text(format!("[{number}]")),
                ("TEXT", _) => Value::Text(text_of(connection, &table, column, number)),
                ("INTEGER", _) => Value::Integer(number),
                ("REAL", _) => Value::Real(number as f64 / 2.0),
                ("BLOB", _) => Value::Blob(vec![0, 0xff, number as u8]),
                (other, _) => panic!("{table}.{column} is of the new type {other}: say here what it holds"),
            });
            let marks = super::super::placeholders(columns.len());
            let sql = format!("INSERT INTO {table} VALUES ({marks})");
            connection.execute(&sql, params_from_iter(values)).unwrap_or_else(|error| panic!("{table}: {error}"));
        }
    }
    connection.pragma_update(None, "foreign_keys", true).unwrap();
}

/// The text of a column, which is that of the column that it refers to.
fn text_of(connection: &Connection, table: &str, column: &str, number: i64) -> String {
    let sql = format!(
        "SELECT \"table\" || '.' || \"to\" FROM pragma_foreign_key_list('{table}') WHERE \"from\" = '{column}'"
    );
    let place = answers(connection, &sql).pop().unwrap_or_else(|| format!("{table}.{column}"));
    format!("{place} {number}")
}

/// All rows of all tables, or of the tables and columns of an earlier dump.
fn dump(connection: &Connection, like: Option<&Dump>) -> Dump {
    let shape: Vec<(String, Vec<String>)> = match like {
        Some(earlier) => earlier.iter().map(|(table, columns, _)| (table.clone(), columns.clone())).collect(),
        None => {
            let columns =
                |table: &String| answers(connection, &format!("SELECT name FROM pragma_table_info('{table}')"));
            tables(connection).into_iter().map(|table| (table.clone(), columns(&table))).collect()
        }
    };
    let rows = |table: &str, columns: &[String]| {
        let list = columns.join(", ");
        let mut statement = connection.prepare(&format!("SELECT {list} FROM {table} ORDER BY {list}")).unwrap();
        let rows = statement.query_map([], |row| (0..columns.len()).map(|column| row.get(column)).collect()).unwrap();
        rows.collect::<Result<Vec<Vec<Value>>, _>>().unwrap()
    };
    shape.into_iter().map(|(table, columns)| (table.clone(), columns.clone(), rows(&table, &columns))).collect()
}
