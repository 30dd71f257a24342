//! Users, their credentials, their sessions, and settings.

mod accounts;
mod bootstrap;
mod credentials;
mod registry;
mod sessions;

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

pub(crate) use accounts::{NewAccount, Profile, active_in, create, delete, require, set_password, set_role, update};
pub(crate) use bootstrap::{bootstrap, probe, server_id};
pub(crate) use credentials::{
    Shown as ShownCredential, add as add_credential, list as list_credentials, note_use,
    owner_of as owner_of_credential, relabel as relabel_credential, revoke as revoke_credential,
};
pub(crate) use registry::registry;
pub(crate) use sessions::{end as end_session, ended_after, trim_ended};

use super::{StoreResult, Tx};
use crate::store::query::{Entity, Expression, Field};

/// Users as the API shows them. What they log in with is never a part of it.
pub(crate) static USER: Entity = Entity {
    name: "user",
    from: "users u",
    fields: &[
        Field::text("id", "u.id").list().required(),
        Field::text("name", "u.name").pattern().required(),
        Field::text("given_name", "coalesce(u.given_name, u.name)"),
        Field::text("family_name", "u.family_name"),
        Field::text("avatar", "u.avatar"),
        Field::text("company", "u.company"),
        Field::text("role", "u.role").list().required(),
        Field::boolean("has_password", "u.password IS NOT NULL").unasked(),
        Field::time("created", "u.created").range().required(),
    ],
    ..Entity::EMPTY
};

/// The user is one of these.
pub(crate) fn is_among(ids: &[String]) -> Expression {
    Expression::new("u.id IN (SELECT value FROM json_each(?))", vec![Value::from(ids).to_string().into()])
}

/// The name of a user.
pub(crate) fn name_of(connection: &Connection, user: &str) -> StoreResult<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM users WHERE id = ?")?;
    Ok(statement.query_row([user], |row| row.get(0)).optional()?)
}

/// The UI preferences of a user, a JSON object.
pub(crate) fn preferences(connection: &Connection, user: &str) -> StoreResult<Value> {
    let text: Option<String> =
        connection.query_row("SELECT preferences FROM users WHERE id = ?", [user], |row| row.get(0)).optional()?;
    super::parse_json(text.as_deref())
}

/// Replaces the UI preferences of a user.
pub(crate) fn set_preferences(tx: &Tx<'_>, user: &str, preferences: &Value) -> StoreResult<usize> {
    Ok(tx.execute("UPDATE users SET preferences = ? WHERE id = ?", [&preferences.to_string(), user])?)
}
