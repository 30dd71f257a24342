//! Everything that callers are checked against, at once.

use rusqlite::Connection;

use super::StoreResult;
use crate::auth::{Identity, Registry, Secret};

/// Reads all users and all credentials.
pub(crate) fn registry(connection: &Connection) -> StoreResult<Registry> {
    let mut registry = Registry::default();
    let mut users = connection.prepare_cached("SELECT id, name, role, password FROM users")?;
    let mut rows = users.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name, role): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        registry.add_user(Identity::of_user(&id, &name, &role), row.get(3)?);
    }
    let mut credentials = connection.prepare_cached("SELECT key, user, salt, digest FROM credentials")?;
    let mut rows = credentials.query([])?;
    while let Some(row) = rows.next()? {
        registry.add_key(row.get(0)?, row.get(1)?, Secret { salt: row.get(2)?, digest: row.get(3)? });
    }
    Ok(registry)
}
