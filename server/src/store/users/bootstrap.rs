//! What a new installation begins with.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{NewAccount, StoreResult, Tx, add_credential, create};
use crate::auth::ADMIN;
use crate::company::{COMPANY, COMPANY_NAME};
use crate::{ids, time};

/// Name of the user that the first credentials belong to.
const FIRST_USER: &str = "admin";

/// Label of the credentials that go into the client file.
const LABEL: &str = "first";

/// Setting: the id of this installation.
const SERVER_ID: &str = "server.id";

/// Makes the company, and the first administrator with credentials if there is none. Access key and secret are
/// returned only then, or when `issue` asks for another pair of the first administrator.
pub(crate) fn bootstrap(tx: &Tx<'_>, issue: bool) -> StoreResult<Option<(String, String)>> {
    tx.execute("INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)", params![SERVER_ID, ids::new_id()])?;
    tx.execute("INSERT OR IGNORE INTO companies (id, name) VALUES (?, ?)", params![COMPANY, COMPANY_NAME])?;
    let first: Option<String> = tx
        .query_row("SELECT id FROM users WHERE role = ? ORDER BY created, rowid LIMIT 1", [ADMIN], |row| row.get(0))
        .optional()?;
    let user = match first {
        Some(_) if !issue => return Ok(None),
        Some(user) => user,
        None => create(tx, &NewAccount { role: ADMIN.to_owned(), ..NewAccount::named(free_name(tx)?) })?,
    };
    Ok(Some(add_credential(tx, &user, Some(LABEL))?))
}

/// `admin`, or with a number behind it where somebody else has that name.
fn free_name(connection: &Connection) -> StoreResult<String> {
    let mut taken = connection.prepare("SELECT 1 FROM users WHERE name = ?")?;
    for number in 1.. {
        let name = if number == 1 { FIRST_USER.to_owned() } else { format!("{FIRST_USER}{number}") };
        if !taken.exists([&name])? {
            return Ok(name);
        }
    }
    unreachable!("there are fewer users than numbers")
}

/// A small write that finds out whether writes can be done.
pub(crate) fn probe(tx: &Tx<'_>) -> StoreResult<()> {
    let sql =
        "INSERT INTO settings (key, value) VALUES ('health.probe', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1";
    tx.execute(sql, [time::now().to_string()])?;
    Ok(())
}

/// The id of this installation.
pub(crate) fn server_id(connection: &Connection) -> StoreResult<String> {
    Ok(connection.query_row("SELECT value FROM settings WHERE key = ?", [SERVER_ID], |row| row.get(0))?)
}
