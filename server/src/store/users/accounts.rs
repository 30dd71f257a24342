//! Making, changing and removing users.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::{StoreResult, Tx};
use crate::auth::ADMIN;
use crate::company::COMPANY;
use crate::signals::Change;
use crate::{ids, time};

/// Characters of a name at most.
const LONGEST_NAME: usize = 256;

/// A user as the rules about users need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: String,
}

/// What a user tells about themselves; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) given_name: Option<String>,
    pub(crate) family_name: Option<String>,
    pub(crate) avatar: Option<String>,
}

/// A user to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewAccount {
    /// A new one where there is none.
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) email: Option<String>,
    /// PHC string.
    pub(crate) password: Option<String>,
    pub(crate) profile: Profile,
}

impl NewAccount {
    /// A user of the role `user` with a new id.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self {
            id: None,
            name: name.into(),
            role: "user".to_owned(),
            email: None,
            password: None,
            profile: Profile::default(),
        }
    }
}

/// The user of this id.
///
/// # Errors
/// 400/301 when there is none.
pub(crate) fn require(connection: &Connection, id: &str) -> StoreResult<Account> {
    let found = connection
        .query_row("SELECT id, name, role FROM users WHERE id = ?", [id], |row| {
            Ok(Account { id: row.get(0)?, name: row.get(1)?, role: row.get(2)? })
        })
        .optional()?;
    Ok(found.ok_or_else(|| ApiError::invalid_user_id("", &[("id", &id)]))?)
}

/// Makes a user and returns its id.
///
/// # Errors
/// 400/12 for a name that cannot be, 400/801 for one that is taken, 400/302 for a taken id.
pub(crate) fn create(tx: &Tx<'_>, new: &NewAccount) -> StoreResult<String> {
    let name = checked_name(&new.name)?;
    refuse_taken(tx, name, "")?;
    let id = new.id.clone().unwrap_or_else(ids::new_id);
    let Profile { name: _, given_name, family_name, avatar } = &new.profile;
    let made = tx.execute(
        "INSERT OR IGNORE INTO users (id, name, role, company, created, email, password, given_name, family_name, \
         avatar) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![id, name, new.role, COMPANY, time::now(), new.email, new.password, given_name, family_name, avatar],
    )?;
    if made == 0 {
        return Err(ApiError::user_id_exists("", &[("id", &id)]).into());
    }
    tx.changed(Change::Accounts);
    Ok(id)
}

/// Changes what is given.
///
/// # Errors
/// 400/12 and 400/801 as at [`create`].
pub(crate) fn update(tx: &Tx<'_>, id: &str, profile: &Profile) -> StoreResult<usize> {
    if let Some(name) = &profile.name {
        refuse_taken(tx, checked_name(name)?, id)?;
    }
    let Profile { name, given_name, family_name, avatar } = profile;
    let updated = tx.execute(
        "UPDATE users SET name = coalesce(?2, name), given_name = coalesce(?3, given_name), family_name = \
         coalesce(?4, family_name), avatar = coalesce(?5, avatar) WHERE id = ?1",
        params![id, name.as_deref().map(str::trim), given_name, family_name, avatar],
    )?;
    tx.changed(Change::Accounts);
    Ok(updated)
}

/// Changes the role.
///
/// # Errors
/// 400/16 for the last administrator.
pub(crate) fn set_role(tx: &Tx<'_>, account: &Account, role: &str) -> StoreResult<()> {
    if role != ADMIN {
        refuse_last_admin(tx, account)?;
    }
    tx.execute("UPDATE users SET role = ? WHERE id = ?", [role, &account.id])?;
    tx.changed(Change::Accounts);
    Ok(())
}

/// Changes what the password is checked with; `None` takes the password away.
pub(crate) fn set_password(tx: &Tx<'_>, id: &str, password: Option<&str>) -> StoreResult<()> {
    tx.execute("UPDATE users SET password = ? WHERE id = ?", params![password, id])?;
    tx.changed(Change::Accounts);
    Ok(())
}

/// Removes a user with its credentials. What it owns stays, under its id.
///
/// # Errors
/// 400/16 for the last administrator.
pub(crate) fn delete(tx: &Tx<'_>, account: &Account) -> StoreResult<()> {
    refuse_last_admin(tx, account)?;
    tx.execute("DELETE FROM users WHERE id = ?", [&account.id])?;
    tx.changed(Change::Accounts);
    Ok(())
}

/// Ids of the users that made tasks or models in these projects or below; in any, where none is given.
pub(crate) fn active_in(connection: &Connection, projects: &[String]) -> StoreResult<Vec<String>> {
    let scope = (!projects.is_empty()).then(|| Value::from(projects).to_string());
    let mut statement = connection.prepare_cached(
        "WITH scope (id) AS (SELECT p.id FROM projects p WHERE EXISTS (SELECT 1 FROM json_each(?1) g WHERE g.value = \
         p.id OR EXISTS (SELECT 1 FROM json_each(p.path) a WHERE a.value = g.value))) \
         SELECT id FROM users u WHERE EXISTS (SELECT 1 FROM tasks t WHERE t.user = u.id AND (?1 IS NULL OR t.project \
         IN scope)) OR EXISTS (SELECT 1 FROM models m WHERE m.user = u.id AND (?1 IS NULL OR m.project IN scope))",
    )?;
    let ids = statement.query_map([scope], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn checked_name(name: &str) -> Result<&str, ApiError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::bad_field("name", &format!("must have 1 to {LONGEST_NAME} printable characters")));
    }
    Ok(name)
}

fn refuse_taken(connection: &Connection, name: &str, by_other_than: &str) -> StoreResult<()> {
    let mut taken = connection.prepare_cached("SELECT 1 FROM users WHERE name = ? AND id <> ?")?;
    if taken.exists([name, by_other_than])? {
        return Err(ApiError::expected_unique_data("", &[("name", &name)]).into());
    }
    Ok(())
}

fn refuse_last_admin(connection: &Connection, account: &Account) -> StoreResult<()> {
    if account.role != ADMIN {
        return Ok(());
    }
    let mut others = connection.prepare_cached("SELECT 1 FROM users WHERE role = ? AND id <> ?")?;
    if others.exists([ADMIN, &account.id])? {
        return Ok(());
    }
    Err(ApiError::fields_value("the last administrator must stay one", &[("user", &account.name)]).into())
}
