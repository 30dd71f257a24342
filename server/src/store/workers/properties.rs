//! Runtime properties of workers: small texts that a worker, or a person, leaves for it on the server. They belong to
//! the worker's id, whoever runs it, and outlive its registration.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, params};

use crate::store::{StoreResult, Tx};
use crate::time::Micros;

/// Properties of one worker at most.
const MOST: i64 = 100;

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    /// Its name.
    pub(crate) key: String,
    /// Its value; `None`, when it is set, takes it away.
    pub(crate) value: Option<String>,
    /// When it is gone.
    pub(crate) expires: Option<Micros>,
}

/// The properties of a worker that hold at `now`, in the order of their names.
pub(crate) fn properties(connection: &Connection, worker: &str, now: Micros) -> StoreResult<Vec<Property>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, value, expires FROM worker_properties
         WHERE worker = ? AND (expires IS NULL OR expires > ?) ORDER BY key",
    )?;
    let found = statement.query_map(params![worker, now], |row| {
        Ok(Property { key: row.get(0)?, value: row.get(1)?, expires: row.get(2)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Sets properties of a worker; others that it has stay. Replaces the value and the expiry of one that is there.
pub(crate) fn set_properties(tx: &Tx<'_>, worker: &str, properties: &[Property], now: Micros) -> StoreResult<()> {
    for Property { key, value, expires } in properties {
        match value {
            Some(value) => tx
                .prepare_cached(
                    "INSERT OR REPLACE INTO worker_properties (worker, key, value, expires, updated)
                     VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![worker, key, value, expires, now])?,
            None => tx
                .prepare_cached("DELETE FROM worker_properties WHERE worker = ? AND key = ?")?
                .execute([worker, key])?,
        };
    }
    tx.prepare_cached("DELETE FROM worker_properties WHERE worker = ? AND expires <= ?")?
        .execute(params![worker, now])?;
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM worker_properties WHERE worker = ?")?
        .query_row([worker], |row| row.get(0))?;
    if count > MOST {
        return Err(
            ApiError::fields_value("too many runtime properties", &[("worker", &worker), ("most", &MOST)]).into()
        );
    }
    Ok(())
}

/// Removes some properties that are over at `now`, and those of workers that neither set one nor reported since
/// `before`; at most `most`. Returns whether there may be more.
pub(crate) fn forget_properties(tx: &Tx<'_>, now: Micros, before: Micros, most: i64) -> StoreResult<bool> {
    let removed = tx
        .prepare_cached(
            "DELETE FROM worker_properties WHERE (worker, key) IN
             (SELECT worker, key FROM worker_properties p
              WHERE expires <= ?1
                 OR (updated < ?2 AND NOT EXISTS (SELECT 1 FROM reporters r WHERE r.worker = p.worker)
                     AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = p.worker))
              LIMIT ?3)",
        )?
        .execute([now, before, most])?;
    Ok(removed as i64 == most)
}
