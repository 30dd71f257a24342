//! What there is to choose from in some projects: tags, metrics, parameters, parents, users, metadata.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::tree::subtree;
use crate::store::StoreResult;
use crate::store::events::Kind;

/// Projects whose contents count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All, and what is in no project.
    Everything,
    /// These ones.
    Projects(Vec<String>),
}

impl Scope {
    /// The given projects, with all below them if `with_children`; none given means all.
    pub(crate) fn of(connection: &Connection, projects: &[String], with_children: bool) -> StoreResult<Self> {
        if projects.is_empty() {
            return Ok(Self::Everything);
        }
        let mut ids = Vec::new();
        for project in projects {
            if with_children {
                ids.extend(subtree(connection, project)?);
            } else {
                ids.push(project.clone());
            }
        }
        Ok(Self::Projects(ids))
    }

    /// A JSON array for the first parameter of a statement with [`in_scope`]; NULL is everything.
    fn parameter(&self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::Projects(ids) => Some(Value::from(ids.as_slice()).to_string()),
        }
    }
}

/// The condition that `column` is in the scope, whose parameter is the first.
fn in_scope(column: &str) -> String {
    format!("(?1 IS NULL OR {column} IN (SELECT value FROM json_each(?1)))")
}

/// Whose tags are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagsOf {
    Tasks,
    Models,
    Projects,
}

/// All tags in `column` (`tags` or `system_tags`), sorted.
pub(crate) fn tags(
    connection: &Connection,
    of: TagsOf,
    column: &'static str,
    scope: &Scope,
) -> StoreResult<Vec<String>> {
    let (table, project) = match of {
        TagsOf::Tasks => ("tasks", "x.project"),
        TagsOf::Models => ("models", "x.project"),
        TagsOf::Projects => ("projects", "x.id"),
    };
    let sql = format!(
        "SELECT DISTINCT tag.value FROM {table} x, json_each(x.{column}) tag WHERE {} ORDER BY 1",
        in_scope(project)
    );
    texts(connection, &sql, params![scope.parameter()])
}

/// Metrics and variants of the scalars of tasks or models, with the hashes that clients ask for them by.
pub(crate) fn metric_variants(
    connection: &Connection,
    scope: &Scope,
    ids: &[String],
    of_models: bool,
) -> StoreResult<Vec<Value>> {
    let table = if of_models { "models" } else { "tasks" };
    let sql = format!(
        "SELECT DISTINCT s.metric, s.variant, s.metric_hash, s.variant_hash FROM {table} x \
         JOIN event_owners o ON o.owner = x.id JOIN event_series s ON s.owner = o.key AND s.kind = {} \
         WHERE {} AND (?2 IS NULL OR x.id IN (SELECT value FROM json_each(?2))) ORDER BY 1, 2",
        Kind::Scalar.code(),
        in_scope("x.project")
    );
    let ids = (!ids.is_empty()).then(|| Value::from(ids).to_string());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![scope.parameter(), ids])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let [metric, variant, metric_hash, variant_hash]: [String; 4] =
            [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
        found.push(json!({
            "metric": metric, "variant": variant, "metric_hash": metric_hash, "variant_hash": variant_hash,
        }));
    }
    Ok(found)
}

/// Section and name of every hyperparameter of the tasks, sorted.
pub(crate) fn hyperparameter_names(connection: &Connection, scope: &Scope) -> StoreResult<Vec<Value>> {
    let sql = format!(
        "SELECT DISTINCT section.key, parameter.key FROM tasks t JOIN task_documents d ON d.id = t.id, \
         json_each(d.hyperparams) section, json_each(section.value) parameter WHERE {} ORDER BY 1, 2",
        in_scope("t.project")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![scope.parameter()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (section, name): (String, String) = (row.get(0)?, row.get(1)?);
        found.push(json!({"section": section, "name": name}));
    }
    Ok(found)
}

/// All values of one hyperparameter, sorted.
pub(crate) fn hyperparameter_values(
    connection: &Connection,
    scope: &Scope,
    section: &str,
    name: &str,
) -> StoreResult<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT CAST(json_extract(parameter.value, '$.value') AS TEXT) FROM tasks t \
         JOIN task_documents d ON d.id = t.id, json_each(d.hyperparams) section, json_each(section.value) parameter \
         WHERE {} AND section.key = ?2 AND parameter.key = ?3 AND json_extract(parameter.value, '$.value') IS NOT NULL \
         ORDER BY 1",
        in_scope("t.project")
    );
    texts(connection, &sql, params![scope.parameter(), section, name])
}

/// The tasks that are parents of tasks, by name. `archived` chooses among the children.
pub(crate) fn parents(connection: &Connection, scope: &Scope, archived: Option<bool>) -> StoreResult<Vec<Value>> {
    let sql = format!(
        "SELECT DISTINCT parent.id, parent.name, p.id, p.name FROM tasks t JOIN tasks parent ON parent.id = t.parent \
         LEFT JOIN projects p ON p.id = parent.project WHERE {} AND (?2 IS NULL OR ?2 = \
         EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'archived')) ORDER BY parent.name, parent.id",
        in_scope("t.project")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![scope.parameter(), archived])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, name): (String, String) = (row.get(0)?, row.get(1)?);
        let project: (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        let mut parent = json!({"id": id, "name": name});
        if let (Some(id), Some(name)) = project {
            parent["project"] = json!({"id": id, "name": name});
        }
        found.push(parent);
    }
    Ok(found)
}

/// The users that own tasks or models, by name.
pub(crate) fn users(connection: &Connection, scope: &Scope, of_models: bool) -> StoreResult<Vec<Value>> {
    let table = if of_models { "models" } else { "tasks" };
    let sql = format!(
        "SELECT DISTINCT u.id, u.name FROM {table} x JOIN users u ON u.id = x.user WHERE {} ORDER BY 2, 1",
        in_scope("x.project")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![scope.parameter()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, name): (String, String) = (row.get(0)?, row.get(1)?);
        found.push(json!({"id": id, "name": name}));
    }
    Ok(found)
}

/// All keys of the metadata of models, sorted.
pub(crate) fn metadata_keys(connection: &Connection, scope: &Scope) -> StoreResult<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT entry.key FROM models m, json_each(m.metadata) entry WHERE {} ORDER BY 1",
        in_scope("m.project")
    );
    texts(connection, &sql, params![scope.parameter()])
}

/// All values of one key of the metadata of models, sorted.
pub(crate) fn metadata_values(connection: &Connection, scope: &Scope, key: &str) -> StoreResult<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT CAST(json_extract(entry.value, '$.value') AS TEXT) FROM models m, json_each(m.metadata) entry \
         WHERE {} AND entry.key = ?2 AND json_extract(entry.value, '$.value') IS NOT NULL ORDER BY 1",
        in_scope("m.project")
    );
    texts(connection, &sql, params![scope.parameter(), key])
}

fn texts(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> StoreResult<Vec<String>> {
    let mut statement = connection.prepare_cached(sql)?;
    let texts = statement.query_map(values, |row| row.get(0))?;
    Ok(texts.collect::<Result<_, _>>()?)
}

/// All frameworks of models, sorted.
pub(crate) fn frameworks(connection: &Connection, scope: &Scope) -> StoreResult<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT m.framework FROM models m WHERE {} AND m.framework IS NOT NULL ORDER BY 1",
        in_scope("m.project")
    );
    texts(connection, &sql, params![scope.parameter()])
}
