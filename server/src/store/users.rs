//! Users, credentials and settings.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{StoreResult, Tx};
use crate::auth::{Credential, Identity, Secret, random_key, random_secret};
use crate::company::{COMPANY, COMPANY_NAME};
use crate::query::{Entity, Field};
use crate::{ids, time};

/// Name of the user that the first credentials belong to.
const FIRST_USER: &str = "admin";

/// Setting: the id of this installation.
const SERVER_ID: &str = "server.id";

/// Users as the API shows them.
pub(crate) static USER: Entity = Entity {
    name: "user",
    from: "users u",
    fields: &[
        Field::text("id", "u.id").list().required(),
        Field::text("name", "u.name").pattern().required(),
        Field::text("company", "u.company"),
        Field::text("given_name", "u.name"),
        Field::time("created", "u.created").range().required(),
    ],
    ..Entity::EMPTY
};

/// Makes the company, the first user and its credentials if there are none. Access key and secret are returned only
/// then, or when `issue` asks for another pair of the first user.
pub(crate) fn bootstrap(tx: &Tx<'_>, issue: bool) -> StoreResult<Option<(String, String)>> {
    tx.execute("INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)", params![SERVER_ID, ids::new_id()])?;
    tx.execute("INSERT OR IGNORE INTO companies (id, name) VALUES (?, ?)", params![COMPANY, COMPANY_NAME])?;
    let first: Option<String> =
        tx.query_row("SELECT id FROM users ORDER BY created, rowid LIMIT 1", [], |row| row.get(0)).optional()?;
    let user = match first {
        Some(_) if !issue => return Ok(None),
        Some(user) => user,
        None => {
            let user = ids::new_id();
            tx.execute(
                "INSERT INTO users (id, name, role, company, created) VALUES (?, ?, 'admin', ?, ?)",
                params![user, FIRST_USER, COMPANY, time::now()],
            )?;
            user
        }
    };
    let (key, secret) = (random_key(), random_secret());
    let Secret { salt, digest } = Secret::digest(&secret);
    tx.execute(
        "INSERT INTO credentials (key, user, label, salt, digest, created) VALUES (?, ?, 'first', ?, ?, ?)",
        params![key, user, salt, digest, time::now()],
    )?;
    Ok(Some((key, secret)))
}

/// The id of this installation.
pub(crate) fn server_id(connection: &Connection) -> StoreResult<String> {
    Ok(connection.query_row("SELECT value FROM settings WHERE key = ?", [SERVER_ID], |row| row.get(0))?)
}

/// All credentials.
pub(crate) fn credentials(connection: &Connection) -> StoreResult<Vec<Credential>> {
    let mut statement = connection.prepare(
        "SELECT c.key, c.salt, c.digest, u.id, u.name, u.role FROM credentials c JOIN users u ON u.id = c.user",
    )?;
    let rows = statement.query_map([], |row| {
        let (user, name, role): (String, String, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok(Credential {
            key: row.get(0)?,
            secret: Secret { salt: row.get(1)?, digest: row.get(2)? },
            identity: Identity::of_user(&user, &name, &role),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The UI preferences of a user, a JSON object.
pub(crate) fn preferences(connection: &Connection, user: &str) -> StoreResult<serde_json::Value> {
    let text: Option<String> =
        connection.query_row("SELECT preferences FROM users WHERE id = ?", [user], |row| row.get(0)).optional()?;
    super::parse_json(text.as_deref())
}
