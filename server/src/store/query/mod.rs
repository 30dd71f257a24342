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
mod search;
mod text;

use protocols::clearml::error::ApiError;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, ErrorCode, Row as SqlRow, Rows, Statement, params_from_iter};
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

impl Found {
    /// The answer of a `get_all`: the objects under `name`, and the scroll id.
    pub(crate) fn into_answer(self, name: &str) -> Value {
        let rows = self.rows.into_iter().map(Value::Object).collect();
        let mut answer = Map::from_iter([(name.to_owned(), Value::Array(rows))]);
        if let Some(scroll_id) = self.scroll_id {
            answer.insert("scroll_id".to_owned(), Value::String(scroll_id));
        }
        Value::Object(answer)
    }
}

/// Runs a `get_all` request.
///
/// # Errors
/// The [`protocols::clearml::error::ApiError`] that a stock server gives for a bad filter, field or scroll id.
pub(crate) fn find(connection: &Connection, entity: &Entity, body: &Row, options: &Options) -> StoreResult<Found> {
    let page = Page::from_body(body)?;
    let projection = Projection::from_body(entity, body, options.expand)?;
    let listing = listing(entity, body, options)?;
    within_budget(|| {
        let found = numbers(connection, &listing)?;
        let (mut rows, mut size) = (Vec::with_capacity(found.len()), 0);
        each_row(connection, &projection, &found, |row| {
            rows.push(projection.read(row, &mut size)?);
            check_size(size)
        })?;
        projection.finish(connection, &mut rows)?;
        Ok(Found { scroll_id: page.next_scroll_id(rows.len()), rows })
    })
}

/// [`find`] as the JSON text of [`Found::into_answer`]: for long lists, most of which is JSON in the store already.
pub(crate) fn find_text(
    connection: &Connection,
    entity: &Entity,
    body: &Row,
    options: &Options,
    name: &str,
) -> StoreResult<Vec<u8>> {
    let page = Page::from_body(body)?;
    let projection = Projection::from_body(entity, body, options.expand)?;
    let writer = text::Writer::new(&projection);
    let listing = listing(entity, body, options)?;
    within_budget(|| {
        let found = numbers(connection, &listing)?;
        let mut more = projection.more(connection, &found)?.into_iter();
        let mut text = format!("{{{}:[", Value::from(name)).into_bytes();
        let start = text.len();
        each_row(connection, &projection, &found, |row| {
            if text.len() > start {
                text.push(b',');
            }
            writer.write(row, &more.next().unwrap_or_default(), &mut text)?;
            check_size(text.len())
        })?;
        text.push(b']');
        if let Some(scroll_id) = page.next_scroll_id(found.len()) {
            text.extend_from_slice(format!(",\"scroll_id\":{}", Value::from(scroll_id)).as_bytes());
        }
        text.push(b'}');
        Ok(text)
    })
}

/// The statement that finds the numbers of the rows of a page, in order.
///
/// First which rows, then what is in them: filters and order are decided on an index or on narrow rows, and only the
/// rows of the page are read whole.
pub(crate) fn listing(entity: &Entity, body: &Row, options: &Options) -> Result<Expression, ApiError> {
    let page = Page::from_body(body)?;
    let condition = condition(entity, body, options)?;
    let order = order::from_body(entity, body)?;
    let filter = if condition.is_empty() { String::new() } else { format!(" WHERE {}", condition.sql) };
    let sql = format!("SELECT {} FROM {}{filter}{} LIMIT ? OFFSET ?", entity.row(), entity.from, order.sql);
    // The page keeps both in range.
    let limits = [page.size, page.offset].map(|number| SqlValue::Integer(number as i64));
    Ok(Expression::new(sql, [condition.values, order.values, limits.to_vec()].concat()))
}

fn numbers(connection: &Connection, listing: &Expression) -> StoreResult<Vec<i64>> {
    run(connection, listing, |cursor| {
        let mut numbers = Vec::new();
        while let Some(row) = cursor.next()? {
            numbers.push(row.get(0)?);
        }
        Ok(numbers)
    })
}

/// Reads the columns of the projection of each of these rows, in their order.
fn each_row(
    connection: &Connection,
    projection: &Projection<'_>,
    numbers: &[i64],
    mut read: impl FnMut(&SqlRow<'_>) -> StoreResult<()>,
) -> StoreResult<()> {
    let Expression { sql, values } = projection.select_by_number();
    let mut statement = connection.prepare_cached(&sql)?;
    for number in numbers {
        let number = SqlValue::Integer(*number);
        let mut cursor = statement.query(params_from_iter(values.iter().chain([&number])))?;
        if let Some(row) = cursor.next()? {
            read(row)?;
        }
    }
    Ok(())
}

fn check_size(size: usize) -> StoreResult<()> {
    if size > ANSWER_SIZE {
        let why = "the answer would be too large: ask for a smaller page, or only_fields";
        return Err(ApiError::fields_value(why, &[("limit", &ANSWER_SIZE)]).into());
    }
    Ok(())
}

/// How many rows meet the filters of a `get_all` request, whatever its page.
pub(crate) fn count(connection: &Connection, entity: &Entity, body: &Row, options: &Options) -> StoreResult<i64> {
    let condition = condition(entity, body, options)?;
    let mut sql = format!("SELECT count(*) FROM {}", entity.from);
    if !condition.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&condition.sql);
    }
    within_budget(|| {
        run(connection, &Expression::new(sql, condition.values), |cursor| {
            Ok(cursor.next()?.map(|row| row.get(0)).transpose()?.unwrap_or(0))
        })
    })
}

/// Runs a statement made of a request, which may be too large for the database.
fn run<T>(
    connection: &Connection,
    statement: &Expression,
    read: impl FnOnce(&mut Rows<'_>) -> StoreResult<T>,
) -> StoreResult<T> {
    if statement.values.len() > STATEMENT_VALUES || statement.sql.len() > STATEMENT_SIZE {
        return Err(ApiError::fields_value("the filter is too large", &[]).into());
    }
    let (mut kept, mut single);
    let prepared: &mut Statement<'_> = if statement.sql.len() <= KEPT_STATEMENT {
        kept = connection.prepare_cached(&statement.sql)?;
        &mut kept
    } else {
        single = connection.prepare(&statement.sql)?;
        &mut single
    };
    let mut cursor = prepared.query(params_from_iter(&statement.values))?;
    read(&mut cursor)
}

/// Does what a request asks for, which may be too slow.
fn within_budget<T>(work: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
    let budget = Budget::start();
    let answer = work();
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
        let id = SqlValue::Text(id.as_ref().to_owned());
        let mut cursor = statement.query(params_from_iter(values.iter().cloned().chain([id])))?;
        if let Some(row) = cursor.next()? {
            rows.push(projection.read(row, &mut 0)?);
        }
    }
    projection.finish(connection, &mut rows)?;
    Ok(rows)
}
