//! From the body of a request to the condition of the statement.

use protocols::clearml::error::ApiError;
use rusqlite::types::Value as SqlValue;
use serde_json::Value;

use super::paths::{self, Target};
use super::search::Search;
use super::{Entity, Expression, Field, Kind, Row, lists, pattern};
use crate::time;

/// Fields of a request that are no filters.
const CONTROL: &[&str] = &[
    "only_fields",
    "projection",
    "order_by",
    "page",
    "page_size",
    "scroll_id",
    "size",
    "refresh_scroll",
    "search_hidden",
    "allow_public",
];

/// The condition that the body asks for.
pub(super) fn from_body(entity: &Entity, body: &Row, ignored: &[&str]) -> Result<Expression, ApiError> {
    let mut conditions = Vec::new();
    for (name, value) in body {
        if value.is_null() || CONTROL.contains(&name.as_str()) || ignored.contains(&name.as_str()) {
            continue;
        }
        conditions.push(match name.as_str() {
            "filters" => newer_filters(entity, value)?,
            "_any_" | "_or_" => several(entity, name, value, "OR")?,
            "_all_" | "_and_" => several(entity, name, value, "AND")?,
            "search_text" => words(entity, value)?,
            // An unknown field is ignored, as everywhere in the API.
            _ => match paths::resolve(entity, name) {
                Some(target) => one(entity, name, &target, value)?,
                None => Expression::default(),
            },
        });
    }
    if let Some(hidden) = entity.hidden
        && !shows_hidden(entity, body)
    {
        conditions.push(Expression::plain(hidden).negate());
    }
    Ok(Expression::join(conditions, "AND"))
}

fn shows_hidden(entity: &Entity, body: &Row) -> bool {
    let asked = |field: &str| body.get(field).is_some_and(|value| !value.is_null() && *value != Value::Bool(false));
    asked("search_hidden") || entity.reveals.iter().any(|field| asked(field))
}

fn one(entity: &Entity, name: &str, target: &Target, value: &Value) -> Result<Expression, ApiError> {
    let field = target.field;
    let Some(column) = target.value(entity) else { return Ok(Expression::default()) };
    // What is inside an object has the type that its JSON has.
    let kind = if target.below.is_empty() { field.kind } else { Kind::Json };
    if field.pattern && value.is_string() {
        return pattern::condition(column, value.as_str().unwrap_or_default(), false);
    }
    if field.list {
        return lists::condition(name, &column, kind, value);
    }
    if field.range {
        return range(name, &column, kind, value);
    }
    if field.datetime {
        return datetime(name, &column, value);
    }
    if field.equal {
        let mut values = column.values.clone();
        values.push(sql_value(name, kind, value)?);
        return Ok(Expression::new(format!("{} = ?", column.sql), values));
    }
    if field.pattern {
        return Err(ApiError::bad_field(name, "must be a text"));
    }
    Ok(Expression::default())
}

/// `{"fields": [..], "pattern": ".."}` or `{"fields": [..], "datetime": [..]}` on any or all of the fields.
fn several(entity: &Entity, name: &str, value: &Value, operator: &str) -> Result<Expression, ApiError> {
    let fields = match value.get("fields") {
        Some(Value::Array(fields)) => fields.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(field)) => vec![field.as_str()],
        Some(_) | None => Vec::new(),
    };
    if fields.is_empty() {
        return Err(ApiError::bad_field(name, "must hold \"fields\" and a \"pattern\" or \"datetime\""));
    }
    let mut parts = Vec::with_capacity(fields.len());
    for path in fields {
        let target = paths::resolve(entity, path).ok_or_else(|| unknown(entity, path))?;
        let Some(column) = target.value(entity) else { continue };
        let searched = value.get("pattern").and_then(Value::as_str);
        let times = value.get("datetime").filter(|times| !times.is_null());
        parts.push(match (searched, times) {
            (Some(text), _) => {
                let text_column = Expression::new(format!("CAST({} AS TEXT)", column.sql), column.values);
                pattern::condition(text_column, text, true)?
            }
            (None, Some(times)) => datetime(path, &column, times)?,
            (None, None) => return Err(ApiError::bad_field(name, "must hold a \"pattern\" or \"datetime\"")),
        });
    }
    Ok(Expression::join(parts, operator))
}

/// A text that is searched for: see [`Search::of`].
fn words(entity: &Entity, value: &Value) -> Result<Expression, ApiError> {
    let search = Search::of(value.as_str().unwrap_or_default());
    let anywhere = |pattern: &str| {
        let fields = entity.fields.iter().filter(|field| field.pattern || field.name == "id");
        // Of what is not there nothing is found, so that what must not be found is not there either.
        let text = |field: &Field| Expression::plain(format!("coalesce({}, '')", field.sql));
        let parts = fields.map(|field| pattern::condition(text(field), pattern, true));
        Ok::<_, ApiError>(Expression::join(parts.collect::<Result<_, _>>()?, "OR"))
    };
    let mut conditions = Vec::new();
    if !search.any.is_empty() {
        conditions.push(anywhere(&at_start_of_word(&search.any))?);
    }
    for phrase in &search.all {
        conditions.push(anywhere(&regex::escape(phrase))?);
    }
    if !search.none.is_empty() {
        conditions.push(anywhere(&at_start_of_word(&search.none))?.negate());
    }
    Ok(Expression::join(conditions, "AND"))
}

fn at_start_of_word(words: &[String]) -> String {
    format!(r"(^|[\W_])({})", words.iter().map(|word| regex::escape(word)).collect::<Vec<_>>().join("|"))
}

fn newer_filters(entity: &Entity, value: &Value) -> Result<Expression, ApiError> {
    let fields = value.as_object().ok_or_else(|| ApiError::bad_field("filters", "must be an object"))?;
    let mut conditions = Vec::with_capacity(fields.len());
    for (path, value) in fields {
        let target = paths::resolve(entity, path).ok_or_else(|| unknown(entity, path))?;
        let Some(column) = target.value(entity) else { continue };
        let kind = if target.below.is_empty() { target.field.kind } else { Kind::Json };
        conditions.push(lists::newer_condition(path, &column, kind, value)?);
    }
    Ok(Expression::join(conditions, "AND"))
}

/// `[min, max]`, null meaning open; an open minimum takes rows without a value as well.
fn range(name: &str, column: &Expression, kind: Kind, value: &Value) -> Result<Expression, ApiError> {
    let Some([min, max]) = value.as_array().map(Vec::as_slice) else {
        return Err(ApiError::bad_field(name, "must be a list of two: minimum and maximum"));
    };
    let bound = |operator: &str, bound: &Value| -> Result<Expression, ApiError> {
        if bound.is_null() {
            return Ok(Expression::default());
        }
        let mut values = column.values.clone();
        values.push(sql_value(name, kind, bound)?);
        Ok(Expression::new(format!("{} {operator} ?", column.sql), values))
    };
    let mut upper = bound("<=", max)?;
    if min.is_null() && !upper.is_empty() {
        let missing = Expression::new(format!("{} IS NULL", column.sql), column.values.clone());
        upper = Expression::join(vec![upper, missing], "OR");
    }
    Ok(Expression::join(vec![bound(">=", min)?, upper], "AND"))
}

/// `">=2020-01-01"`, a list of such, or `[from, to]`.
fn datetime(name: &str, column: &Expression, value: &Value) -> Result<Expression, ApiError> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    let is_range = items.len() == 2
        && items.iter().all(|item| !item.as_str().is_some_and(|text| text.starts_with(['<', '>', '='])));
    if is_range {
        return range(name, column, Kind::Time, value);
    }
    let mut parts = Vec::with_capacity(items.len());
    for item in items {
        let text = item.as_str().ok_or_else(|| ApiError::bad_field(name, "must be a time"))?;
        let operators = [(">=", ">="), ("<=", "<="), ("==", "="), (">", ">"), ("<", "<"), ("=", "="), ("", "=")];
        let (written, operator) =
            operators.into_iter().find(|(written, _)| text.starts_with(written)).expect("the last one is empty");
        let mut values = column.values.clone();
        values.push(sql_value(name, Kind::Time, &Value::from(&text[written.len()..]))?);
        parts.push(Expression::new(format!("{} {operator} ?", column.sql), values));
    }
    Ok(Expression::join(parts, "AND"))
}

/// A value of a request as the column of that kind holds it.
pub(super) fn sql_value(name: &str, kind: Kind, value: &Value) -> Result<SqlValue, ApiError> {
    let bad = || ApiError::bad_field(name, &format!("impossible value {value}"));
    if kind == Kind::Time {
        return match value {
            Value::String(text) => time::from_iso(text).map(SqlValue::Integer).ok_or_else(bad),
            // Seconds since the epoch.
            Value::Number(number) => {
                let seconds = number.as_f64().ok_or_else(bad)?;
                Ok(SqlValue::Integer((seconds * 1e6) as i64))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(bad()),
        };
    }
    let numeric = matches!(kind, Kind::Integer | Kind::Boolean);
    match value {
        Value::String(text) if numeric => text.parse().map(SqlValue::Real).map_err(|_| bad()),
        Value::String(text) => Ok(SqlValue::Text(text.clone())),
        Value::Bool(flag) => Ok(SqlValue::Integer(i64::from(*flag))),
        Value::Number(number) if matches!(kind, Kind::Text | Kind::Texts) => Ok(SqlValue::Text(number.to_string())),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(SqlValue::Integer(integer)),
            (None, Some(real)) => Ok(SqlValue::Real(real)),
            (None, None) => Err(bad()),
        },
        Value::Null => Ok(SqlValue::Null),
        Value::Array(_) | Value::Object(_) => Err(bad()),
    }
}

/// The error for a path that is no field.
pub(super) fn unknown(entity: &Entity, path: &str) -> ApiError {
    ApiError::lookup(&format!("Cannot resolve field \"{path}\""), &[("entity", &entity.name)])
}
