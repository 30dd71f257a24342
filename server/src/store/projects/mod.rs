//! Rows of the projects, and the tree that they are.

mod conditions;
mod datasets;
mod delete;
mod lists;
mod name;
mod stats;
mod tree;
mod update;

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(crate) use conditions::{holds_tagged, is_at_root, is_below, is_tagged, is_used_by};
pub(crate) use datasets::dataset_stats;
pub(crate) use delete::{Contents, contents, disassociate, remove};
pub(crate) use lists::{
    Scope, TagsOf, frameworks, hyperparameter_names, hyperparameter_values, metadata_keys, metadata_values,
    metric_variants, parents, tags, users,
};
pub(crate) use stats::{StatsScope, project_stats};
pub(crate) use tree::{NewProject, create, find_or_create, merge, move_under, rename, subtree, with_children};
pub(crate) use update::{RowUpdate, sorted};

use super::StoreResult;
use crate::company::COMPANY;
use crate::store::query::{Entity, Field, Reference};
use crate::time::Micros;

/// Projects as the API shows them.
pub(crate) static PROJECT: Entity = Entity {
    name: "project",
    from: "projects p",
    fields: &[
        Field::text("id", "p.id").list().required(),
        Field::text("name", "p.name").pattern().required(),
        Field::text("basename", "p.basename").pattern().required(),
        Field::text("description", "p.description").pattern(),
        Field::text("user", "p.user").list().required(),
        Field::text("company", "p.company").required(),
        Field::time("created", "p.created").range().required(),
        Field::time("last_update", "p.last_update").range().required(),
        Field::texts("tags", "p.tags").list(),
        Field::texts("system_tags", "p.system_tags").list(),
        Field::text("default_output_destination", "p.default_output_destination"),
        Field::text("parent", "p.parent").list(),
        Field::texts("path", "p.path").list(),
    ],
    references: &[
        Reference { field: "user", table: "users", columns: &["name"] },
        Reference { field: "company", table: "companies", columns: &["name"] },
        Reference { field: "parent", table: "projects", columns: &["name", "basename"] },
    ],
    // Folders that the SDK makes for itself, also when it made them as somebody's parents and could not tag them.
    hidden: Some(
        "EXISTS (SELECT 1 FROM json_each(p.system_tags) WHERE value = 'hidden') \
         OR p.basename IN ('.datasets', '.pipelines', '.reports')",
    ),
    ..Entity::EMPTY
};

/// What decisions about a project are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    pub(crate) id: String,
    /// The full path.
    pub(crate) name: String,
    /// The last part of the path.
    pub(crate) basename: String,
    pub(crate) parent: Option<String>,
    /// Ids of the ancestors from the root down.
    pub(crate) path: Vec<String>,
}

impl Project {
    /// The project of this id.
    pub(crate) fn find(connection: &Connection, id: &str) -> StoreResult<Option<Self>> {
        Self::by(connection, "id", id)
    }

    /// The project of this id, or the error that clients know.
    pub(crate) fn require(connection: &Connection, id: &str) -> StoreResult<Self> {
        Ok(Self::find(connection, id)?.ok_or_else(|| unknown_project(id))?)
    }

    /// The project of this full name.
    pub(crate) fn named(connection: &Connection, name: &str) -> StoreResult<Option<Self>> {
        Self::by(connection, "name", name)
    }

    fn by(connection: &Connection, column: &str, value: &str) -> StoreResult<Option<Self>> {
        let sql = format!("SELECT id, name, basename, parent, path FROM projects WHERE {column} = ?");
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement
            .query_row([value], |row| {
                let path: String = row.get(4)?;
                let project = Self {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    basename: row.get(2)?,
                    parent: row.get(3)?,
                    path: Vec::new(),
                };
                Ok((project, path))
            })
            .optional()?;
        let Some((project, path)) = found else { return Ok(None) };
        Ok(Some(Self { path: serde_json::from_str(&path)?, ..project }))
    }
}

/// The error for an id that is no project.
pub(crate) fn unknown_project(id: &str) -> ApiError {
    ApiError::invalid_project_id("", &[("id", &id), ("company", &COMPANY)])
}

/// Notes that something in the project changed.
pub(crate) fn touch(connection: &Connection, project: &str, now: Micros) -> StoreResult<()> {
    connection.prepare_cached("UPDATE projects SET last_update = ?2 WHERE id = ?1")?.execute(params![project, now])?;
    Ok(())
}

#[cfg(test)]
mod tests;
