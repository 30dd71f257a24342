//! Making and moving projects.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::name::{self, check_depth};
use super::update::sorted;
use super::{Project, touch};
use crate::company::COMPANY;
use crate::ids;
use crate::store::StoreResult;
use crate::time::Micros;

/// A project to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewProject {
    /// The full path.
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) system_tags: Vec<String>,
    pub(crate) default_output_destination: Option<String>,
}

/// Makes a project, and its parents if there are none, and returns its id.
///
/// # Errors
/// 400/801 when there is one of this name, 400/12 and 400/409 for names that cannot be.
pub(crate) fn create(connection: &Connection, new: NewProject, user: &str, now: Micros) -> StoreResult<String> {
    let parts = name::parts(&new.name)?;
    let name = parts.join("/");
    refuse_duplicate(connection, &name)?;
    let (basename, parents) = parts.split_last().expect("a name has at least one part");
    let parent = match parents {
        [] => None,
        parents => Some(ensure(connection, parents, user, now)?),
    };
    insert(connection, NewProject { name, ..new }, basename, parent.as_ref(), user, now)
}

/// The id of the project of this full name; it is made when there is none.
pub(crate) fn find_or_create(connection: &Connection, name: &str, user: &str, now: Micros) -> StoreResult<String> {
    // An existing one is found under its exact name, whatever the rules for new names are.
    if let Some(project) = Project::named(connection, name)? {
        return Ok(project.id);
    }
    Ok(ensure(connection, &name::parts(name)?, user, now)?.id)
}

/// The project with this path; it and its parents are made when there are none.
fn ensure(connection: &Connection, parts: &[String], user: &str, now: Micros) -> StoreResult<Project> {
    let name = parts.join("/");
    if let Some(project) = Project::named(connection, &name)? {
        return Ok(project);
    }
    let (basename, parents) = parts.split_last().ok_or_else(|| ApiError::invalid_project_name("", &[]))?;
    let parent = match parents {
        [] => None,
        parents => Some(ensure(connection, parents, user, now)?),
    };
    let new = NewProject { name, ..NewProject::default() };
    let id = insert(connection, new, basename, parent.as_ref(), user, now)?;
    Project::require(connection, &id)
}

fn insert(
    connection: &Connection,
    new: NewProject,
    basename: &str,
    parent: Option<&Project>,
    user: &str,
    now: Micros,
) -> StoreResult<String> {
    let id = ids::new_id();
    let path = parent.map(path_below).unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT INTO projects (id, name, basename, parent, path, description, user, company, created, last_update, \
             tags, system_tags, default_output_destination) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            id,
            new.name,
            basename,
            parent.map(|parent| parent.id.as_str()),
            Value::from(path).to_string(),
            new.description,
            user,
            COMPANY,
            now,
            sorted(new.tags).to_string(),
            sorted(new.system_tags).to_string(),
            new.default_output_destination,
        ])?;
    Ok(id)
}

fn refuse_duplicate(connection: &Connection, name: &str) -> StoreResult<()> {
    match Project::named(connection, name)? {
        None => Ok(()),
        Some(_) => Err(ApiError::expected_unique_data("", &[("name", &name), ("company", &COMPANY)]).into()),
    }
}

fn path_below(parent: &Project) -> Vec<String> {
    parent.path.iter().chain([&parent.id]).cloned().collect()
}

/// Ids of the project and of all below it.
pub(crate) fn subtree(connection: &Connection, id: &str) -> StoreResult<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT p.id FROM projects p WHERE p.id = ?1 OR EXISTS (SELECT 1 FROM json_each(p.path) WHERE value = ?1)",
    )?;
    let ids = statement.query_map([id], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Gives a project a new last part of its name. Returns its new full name.
///
/// # Errors
/// 400/408 when the new name would put it somewhere else.
pub(crate) fn rename(connection: &Connection, project: &Project, new_name: &str) -> StoreResult<String> {
    let parts = name::parts(new_name)?;
    let (basename, parents) = parts.split_last().expect("a name has at least one part");
    let location = project.name.rsplit_once('/').map_or("", |(location, _)| location);
    if parents.join("/") != location {
        return Err(ApiError::cannot_update_project_location("", &[("name", &new_name)]).into());
    }
    let name = parts.join("/");
    if name != project.name {
        refuse_duplicate(connection, &name)?;
        rewrite(connection, project, &name, basename, None)?;
    }
    Ok(name)
}

/// Puts a project below the project of the name `location` (made when there is none), or at the root when that is
/// empty. Returns how many projects moved with it.
pub(crate) fn move_under(
    connection: &Connection,
    project: &Project,
    location: &str,
    user: &str,
    now: Micros,
) -> StoreResult<usize> {
    let parent = match location.trim().trim_matches('/') {
        "" => None,
        location => Some(ensure(connection, &name::parts(location)?, user, now)?),
    };
    if parent.as_ref().map(|parent| &parent.id) == project.parent.as_ref() {
        return Err(ApiError::same_source_and_destination("", &[("location", &location)]).into());
    }
    let moved = put_below(connection, project, parent.as_ref())?;
    for changed in [project.parent.as_deref(), parent.as_ref().map(|parent| parent.id.as_str())].into_iter().flatten() {
        touch(connection, changed, now)?;
    }
    Ok(moved)
}

fn put_below(connection: &Connection, project: &Project, parent: Option<&Project>) -> StoreResult<usize> {
    let is_inside = |parent: &&Project| parent.id == project.id || parent.path.contains(&project.id);
    if let Some(parent) = parent.filter(is_inside) {
        return Err(ApiError::cannot_be_moved_under_itself("", &[("parent", &parent.id)]).into());
    }
    let name = match parent {
        Some(parent) => format!("{}/{}", parent.name, project.basename),
        None => project.basename.clone(),
    };
    refuse_duplicate(connection, &name)?;
    rewrite(connection, project, &name, &project.basename, Some(parent))
}

/// Renames a project and everything below it; with `parent` it also hangs below another one from then on.
fn rewrite(
    connection: &Connection,
    project: &Project,
    new_name: &str,
    basename: &str,
    parent: Option<Option<&Project>>,
) -> StoreResult<usize> {
    let path = match parent {
        None => project.path.clone(),
        Some(parent) => parent.map(path_below).unwrap_or_default(),
    };
    let ids = subtree(connection, &project.id)?;
    let mut update = connection.prepare_cached("UPDATE projects SET name = ?2, path = ?3 WHERE id = ?1")?;
    for id in &ids {
        let one = Project::require(connection, id)?;
        let below = one.path.iter().skip(project.path.len());
        let new_path: Vec<String> = path.iter().chain(below).cloned().collect();
        check_depth(new_path.len() + 1)?;
        let tail = one.name.strip_prefix(&project.name).unwrap_or_default();
        update.execute(params![id, format!("{new_name}{tail}"), Value::from(new_path).to_string()])?;
    }
    let parent = match parent {
        None => project.parent.clone(),
        Some(parent) => parent.map(|parent| parent.id.clone()),
    };
    connection
        .prepare_cached("UPDATE projects SET basename = ?2, parent = ?3 WHERE id = ?1")?
        .execute(params![project.id, basename, parent])?;
    Ok(ids.len())
}

/// Moves the tasks, models and children of a project into another one and removes it. Returns how many tasks and models
/// and how many projects moved.
pub(crate) fn merge(
    connection: &Connection,
    source: &Project,
    destination: Option<&Project>,
    now: Micros,
) -> StoreResult<(usize, usize)> {
    if destination.is_some_and(|destination| destination.id == source.id) {
        return Err(ApiError::same_source_and_destination("", &[("project", &source.id)]).into());
    }
    if destination.is_some_and(|destination| destination.path.contains(&source.id)) {
        return Err(ApiError::cannot_be_merged_into_its_child("", &[("project", &source.id)]).into());
    }
    let target = destination.map(|destination| destination.id.as_str());
    let mut entities = 0;
    for table in ["tasks", "models"] {
        let sql = format!("UPDATE {table} SET project = ?2, last_change = ?3 WHERE project = ?1");
        entities += connection.prepare_cached(&sql)?.execute(params![source.id, target, now])?;
    }
    let children: Vec<String> = connection
        .prepare_cached("SELECT id FROM projects WHERE parent = ?1")?
        .query_map([&source.id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut projects = 0;
    for child in children {
        projects += put_below(connection, &Project::require(connection, &child)?, destination)?;
    }
    connection.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([&source.id])?;
    if let Some(target) = target {
        touch(connection, target, now)?;
    }
    Ok((entities, projects))
}

/// A filter by project that also lets through what is in the projects below: the ids of the filter, and of all below
/// them. Operators and exclusions stay as they are.
pub(crate) fn with_children(connection: &Connection, filter: &Value) -> StoreResult<Value> {
    let given: Vec<&Value> = match filter {
        Value::Array(values) => values.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![filter],
    };
    let mut values = Vec::new();
    for value in given {
        match value.as_str() {
            Some(id) if !id.starts_with(['-', '_']) => {
                let below = subtree(connection, id)?;
                // An unknown project must still match nothing, and not everything.
                values.extend(if below.is_empty() { vec![id.to_owned()] } else { below }.into_iter().map(Value::from));
            }
            Some(_) | None => values.push(value.clone()),
        }
    }
    Ok(Value::Array(values))
}
