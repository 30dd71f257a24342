//! The generic `get_all` of the API, as one piece of code that all services share.
//!
//! A service describes its rows once, as an [`Entity`]: where they are (`from`), and their [`Field`]s, each with
//! its name in the API, the SQL that reads it, its [`Kind`], and how it may be filtered. The engine turns the
//! body of a request (patterns, lists with operators, ranges, `_any_`, `_all_`, `filters`, `only_fields`,
//! `order_by`, paging, scrolling) into one statement; nothing is filtered in memory.
//!
//! ```text
//! static TAG: Entity = Entity {
//!     name: "tag",
//!     from: "tags t LEFT JOIN users u ON u.id = t.user",
//!     fields: &[
//!         Field::text("id", "t.id").list().required(),
//!         Field::text("name", "t.name").pattern().required(),
//!         Field::time("created", "t.created").range(),
//!         Field::json("runtime", "t.runtime").equal(),          // and runtime.a.b below it
//!         Field::text("execution.queue", "t.queue").list(),     // shown inside `execution`
//!     ],
//!     ..Entity::EMPTY
//! };
//! let found = query::find(connection, &TAG, &body, &Options { expand: true, ..Options::default() })?;
//! let one = query::get(connection, &TAG, "id", &[])?;
//! ```
//!
//! Rules of the output: a NULL field is left out; a field below an object (`only_fields: ["runtime.a"]`) that is
//! not there leaves its empty parent (`runtime: {}`); `id` is always there.

mod budget;
mod entity;
mod expression;
mod filter;
mod lists;
mod order;
mod page;
mod paths;
mod pattern;
mod project;
mod python;

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, ErrorCode, Rows, Statement, params_from_iter};
use serde_json::{Map, Value};

pub(crate) use budget::watch_time;
pub(crate) use entity::{Entity, Field, Kind, Reference};
pub(crate) use expression::Expression;
pub(crate) use paths::unescape_key;
pub(crate) use pattern::register_functions;

use crate::store::{StoreError, StoreResult};
use budget::Budget;
use page::Page;
use project::Projection;

/// Bytes of stored values in one answer at most.
const ANSWER_SIZE: usize = 256 << 20;

/// Values and bytes of a statement at most; SQLite itself takes a few more.
const STATEMENT_VALUES: usize = 30_000;
const STATEMENT_SIZE: usize = 900_000;

/// Bytes of a statement that is kept prepared; a larger one is made once, and would only fill the memory.
const KEPT_STATEMENT: usize = 16 << 10;

/// One object of an answer.
pub(crate) type Row = Map<String, Value>;

/// What a service asks for beyond the body.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The `_ex` form: fields that name another object become `{"id": ..}`, with the members asked for.
    pub(crate) expand: bool,
    /// Conditions on top of those in the body.
    pub(crate) conditions: Vec<Expression>,
    /// Fields of the body that the service handles itself, and the engine must not read as filters.
    pub(crate) ignored: &'static [&'static str],
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The objects of this page.
    pub(crate) rows: Vec<Row>,
    /// To be answered as `scroll_id` when there is one: the caller scrolls.
    pub(crate) scroll_id: Option<String>,
}

/// Runs a `get_all` request.
///
/// # Errors
/// The [`protocols::clearml::error::ApiError`] that a stock server gives for a bad filter, field or scroll id.
pub(crate) fn find(connection: &Connection, entity: &Entity, body: &Row, options: &Options) -> StoreResult<Found> {
    let page = Page::from_body(body)?;
    let projection = Projection::from_body(entity, body, options.expand)?;
    let condition = condition(entity, body, options)?;
    let order = order::from_body(entity, body)?;

    let mut sql = projection.select();
    let mut values = projection.values();
    if !condition.is_empty() {
        sql.sql.push_str(" WHERE ");
        sql.sql.push_str(&condition.sql);
        values.extend(condition.values);
    }
    sql.sql.push_str(&order.sql);
    values.extend(order.values);
    sql.sql.push_str(&format!(" LIMIT {} OFFSET {}", page.size, page.offset));

    sql.values = values;
    let rows = within_budget(connection, &sql, |cursor| {
        let (mut rows, mut size) = (Vec::new(), 0);
        while let Some(row) = cursor.next()? {
            rows.push(projection.read(row, &mut size)?);
            if size > ANSWER_SIZE {
                let why = "the answer would be too large: ask for a smaller page, or only_fields";
                return Err(ApiError::fields_value(why, &[("limit", &ANSWER_SIZE)]).into());
            }
        }
        Ok(rows)
    });
    let mut rows = rows?;
    projection.finish(connection, &mut rows)?;
    Ok(Found { scroll_id: page.next_scroll_id(rows.len()), rows })
}

/// How many rows meet the filters of a `get_all` request, whatever its page.
pub(crate) fn count(connection: &Connection, entity: &Entity, body: &Row, options: &Options) -> StoreResult<i64> {
    let condition = condition(entity, body, options)?;
    let mut sql = format!("SELECT count(*) FROM {}", entity.from);
    if !condition.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&condition.sql);
    }
    within_budget(connection, &Expression::new(sql, condition.values), |cursor| {
        Ok(cursor.next()?.map(|row| row.get(0)).transpose()?.unwrap_or(0))
    })
}

/// Runs a statement made of a request, which may be too large for the database or too slow.
fn within_budget<T>(
    connection: &Connection,
    statement: &Expression,
    read: impl FnOnce(&mut Rows<'_>) -> StoreResult<T>,
) -> StoreResult<T> {
    if statement.values.len() > STATEMENT_VALUES || statement.sql.len() > STATEMENT_SIZE {
        return Err(ApiError::fields_value("the filter is too large", &[]).into());
    }
    let budget = Budget::start();
    let (mut kept, mut single);
    let prepared: &mut Statement<'_> = if statement.sql.len() <= KEPT_STATEMENT {
        kept = connection.prepare_cached(&statement.sql)?;
        &mut kept
    } else {
        single = connection.prepare(&statement.sql)?;
        &mut single
    };
    let answer = prepared.query(params_from_iter(&statement.values)).map_err(StoreError::from);
    let answer = answer.and_then(|mut cursor| read(&mut cursor));
    drop(budget);
    match answer {
        Err(StoreError::Sql(error)) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            let why = "the search takes too long: narrow it, for example by project, id or status";
            Err(ApiError::fields_value(why, &[]).into())
        }
        answer => answer,
    }
}

fn condition(entity: &Entity, body: &Row, options: &Options) -> Result<Expression, ApiError> {
    let mut condition = filter::from_body(entity, body, options.ignored)?;
    for extra in &options.conditions {
        condition.and(extra.clone());
    }
    Ok(condition)
}

/// What a found object shows at a dotted path.
pub(crate) fn value_at<'a>(row: &'a Row, path: &str) -> Option<&'a Value> {
    let parts = paths::split(path);
    let (first, below) = parts.split_first()?;
    below.iter().try_fold(row.get(first)?, |value, part| value.get(part))
}

/// Reads the object `id`, all fields or those asked for (dotted paths, as in `only_fields`).
pub(crate) fn get(connection: &Connection, entity: &Entity, id: &str, only: &[&str]) -> StoreResult<Option<Row>> {
    Ok(get_many(connection, entity, &[id], only)?.pop())
}

/// Reads the objects of `ids`, in no particular order; those that do not exist are left out.
pub(crate) fn get_many<Id: AsRef<str>>(
    connection: &Connection,
    entity: &Entity,
    ids: &[Id],
    only: &[&str],
) -> StoreResult<Vec<Row>> {
    let projection = Projection::new(entity, only, false)?;
    let mut sql = projection.select();
    let values = projection.values();
    sql.sql.push_str(&format!(" WHERE {} = ?", entity.id()));
    let mut statement = connection.prepare_cached(&sql.sql)?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let id = rusqlite::types::Value::Text(id.as_ref().to_owned());
        let mut cursor = statement.query(params_from_iter(values.iter().cloned().chain([id])))?;
        if let Some(row) = cursor.next()? {
            rows.push(projection.read(row, &mut 0)?);
        }
    }
    projection.finish(connection, &mut rows)?;
    Ok(rows)
}
