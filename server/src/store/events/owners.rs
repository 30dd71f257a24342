//! The tasks and models that events belong to: the one place where events touch the tables of the others.

use rusqlite::{Connection, OptionalExtension, params};

use super::append::Touched;
use crate::store::StoreResult;
use crate::time::Micros;

/// What the event services need to know of a task or model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnerFacts {
    /// Its name.
    pub(crate) name: String,
    /// Status of a task; of a model `published` or `created`.
    pub(crate) status: String,
    /// Largest iteration that was reported.
    pub(crate) last_iteration: i64,
}

impl OwnerFacts {
    /// Whether it is published, so that events are refused unless they say otherwise.
    pub(crate) fn is_locked(&self) -> bool {
        ["published", "publishing"].contains(&self.status.as_str())
    }
}

/// Looks up a task or model.
pub(crate) fn owner_facts(connection: &Connection, id: &str, is_model: bool) -> StoreResult<Option<OwnerFacts>> {
    let sql = if is_model {
        "SELECT name, iif(ready, 'published', 'created'), last_iteration FROM models WHERE id = ?1"
    } else {
        "SELECT name, status, last_iteration FROM tasks WHERE id = ?1"
    };
    let mut statement = connection.prepare_cached(sql)?;
    let facts = statement
        .query_row([id], |row| Ok(OwnerFacts { name: row.get(0)?, status: row.get(1)?, last_iteration: row.get(2)? }))
        .optional()?;
    Ok(facts)
}

/// Writes down that events arrived for a task or model: its last update, last iteration, and how long it is active.
pub(crate) fn touch_owner(connection: &Connection, touched: &Touched, user: &str, now: Micros) -> StoreResult<()> {
    let sql = if touched.is_model {
        "UPDATE models SET last_update = ?2, last_change = ?2, last_changed_by = ?3, \
         last_iteration = max(coalesce(last_iteration, 0), coalesce(?4, 0)) WHERE id = ?1"
    } else {
        "UPDATE tasks SET last_update = ?2, last_change = ?2, last_changed_by = ?3, \
         last_iteration = max(coalesce(last_iteration, 0), coalesce(?4, 0)), \
         active_duration = iif(status = 'in_progress' AND started IS NOT NULL, (?2 - started) / 1000000, \
         active_duration) WHERE id = ?1"
    };
    connection.prepare_cached(sql)?.execute(params![touched.owner, now, user, touched.last_iteration])?;
    Ok(())
}
