//! Pairs of access key and secret.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{StoreResult, Tx};
use crate::auth::{Secret, random_key, random_secret};
use crate::signals::Change;
use crate::time::{self, Micros};

/// Pairs of one user at most: all of them are held in memory.
const MOST: usize = 500;

/// A pair as it is shown; the secret is known to nobody any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) user: String,
    pub(crate) user_name: String,
    pub(crate) label: Option<String>,
    pub(crate) created: Micros,
    pub(crate) last_used: Option<Micros>,
    pub(crate) last_used_from: Option<String>,
}

/// Makes a pair. This is the only time that the secret can be had.
///
/// # Errors
/// 400/16 for a user that has too many.
pub(crate) fn add(tx: &Tx<'_>, user: &str, label: Option<&str>) -> StoreResult<(String, String)> {
    let count: usize =
        tx.query_row("SELECT count(*) FROM credentials WHERE user = ?", [user], |row| row.get::<_, u32>(0))? as usize;
    if count >= MOST {
        return Err(ApiError::fields_value("revoke some credentials first", &[("most", &MOST)]).into());
    }
    let (key, secret) = (random_key(), random_secret());
    let Secret { salt, digest } = Secret::digest(&secret);
    tx.execute(
        "INSERT INTO credentials (key, user, label, salt, digest, created) VALUES (?, ?, ?, ?, ?, ?)",
        params![key, user, label, salt, digest, time::now()],
    )?;
    tx.changed(Change::Accounts);
    Ok((key, secret))
}

/// The pairs of one user, or of all, the oldest first.
pub(crate) fn list(connection: &Connection, user: Option<&str>) -> StoreResult<Vec<Shown>> {
    let mut statement = connection.prepare_cached(
        "SELECT c.key, u.id, u.name, c.label, c.created, c.last_used, c.last_used_from FROM credentials c \
         JOIN users u ON u.id = c.user WHERE ?1 IS NULL OR u.id = ?1 ORDER BY c.created, c.rowid",
    )?;
    let rows = statement.query_map([user], |row| {
        Ok(Shown {
            key: row.get(0)?,
            user: row.get(1)?,
            user_name: row.get(2)?,
            label: row.get(3)?,
            created: row.get(4)?,
            last_used: row.get(5)?,
            last_used_from: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The id of the user that has this key.
///
/// # Errors
/// 400/75 when nobody has it.
pub(crate) fn owner_of(connection: &Connection, key: &str) -> StoreResult<String> {
    let owner =
        connection.query_row("SELECT user FROM credentials WHERE key = ?", [key], |row| row.get(0)).optional()?;
    Ok(owner.ok_or_else(|| ApiError::invalid_access_key("", &[("access_key", &key)]))?)
}

/// Removes a pair: neither it nor a token that was made with it is good for anything after this.
pub(crate) fn revoke(tx: &Tx<'_>, key: &str) -> StoreResult<usize> {
    let revoked = tx.execute("DELETE FROM credentials WHERE key = ?", [key])?;
    tx.changed(Change::Accounts);
    Ok(revoked)
}

/// Changes the label of a pair.
pub(crate) fn relabel(tx: &Tx<'_>, key: &str, label: Option<&str>) -> StoreResult<usize> {
    Ok(tx.execute("UPDATE credentials SET label = ? WHERE key = ?", params![label, key])?)
}

/// Keeps when, and from where, pairs were last used.
pub(crate) fn note_use(tx: &Tx<'_>, uses: &[(String, Micros, Option<String>)]) -> StoreResult<()> {
    let mut statement = tx.prepare_cached("UPDATE credentials SET last_used = ?, last_used_from = ? WHERE key = ?")?;
    for (key, at, from) in uses {
        statement.execute(params![at, from, key])?;
    }
    Ok(())
}
