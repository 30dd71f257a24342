//! Sessions that were logged out.

use rusqlite::{Connection, params};

use super::{StoreResult, Tx};
use crate::signals::Change;
use crate::time::Micros;

/// Ends a session; the row may go after `expires`.
pub(crate) fn end(tx: &Tx<'_>, session: &str, expires: Micros) -> StoreResult<()> {
    tx.execute(
        "INSERT INTO ended_sessions (session, expires) VALUES (?, ?) ON CONFLICT (session) DO NOTHING",
        params![session, expires],
    )?;
    tx.changed(Change::Accounts);
    Ok(())
}

/// The sessions that were ended after the one with this number, with their own numbers and expiry.
pub(crate) fn ended_after(connection: &Connection, number: i64) -> StoreResult<Vec<(i64, String, Micros)>> {
    let mut statement =
        connection.prepare_cached("SELECT id, session, expires FROM ended_sessions WHERE id > ? ORDER BY id")?;
    let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes the rows of sessions whose tokens have all expired.
pub(crate) fn trim_ended(tx: &Tx<'_>, now: Micros) -> StoreResult<usize> {
    Ok(tx.execute("DELETE FROM ended_sessions WHERE expires <= ?", [now])?)
}
