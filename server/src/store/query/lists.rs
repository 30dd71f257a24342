//! Filters by a list of values, with the operators that clients write into it.
//!
//! `["a", "-b"]`, `["__$all", "a", "b", "__$not", "c"]`: a value is wanted (any of them, or all of them after
//! `__$all`) or unwanted (`-` or `__$not`). What is wanted and what is unwanted are joined by the first operator
//! of the list, "and" when there is none. A null means "missing or empty".

use protocols::clearml::error::ApiError;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, Value as Json};

use super::filter::sql_value;
use super::{Expression, Kind};
use crate::store::placeholders;

/// Values of a list that are in the statement itself.
const PLAIN_VALUES: usize = 100;

fn to_json(value: &SqlValue) -> Json {
    match value {
        SqlValue::Null | SqlValue::Blob(_) => Json::Null,
        SqlValue::Integer(integer) => Json::from(*integer),
        SqlValue::Real(real) => Json::from(*real),
        SqlValue::Text(text) => Json::from(text.as_str()),
    }
}

/// Values of a list, sorted by what they ask for.
#[derive(Debug, Default)]
struct Buckets {
    any: Vec<Value>,
    all: Vec<Value>,
    none: Vec<Value>,
    join: Option<&'static str>,
}

/// The condition of a list filter on `column`.
pub(super) fn condition(name: &str, column: &Expression, kind: Kind, value: &Value) -> Result<Expression, ApiError> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    let buckets = sort(values);
    let set = Set { name, column, kind };
    let parts = vec![set.any(&buckets.any)?, set.all(&buckets.all)?, set.none(&buckets.none)?];
    Ok(Expression::join(parts, buckets.join.unwrap_or("AND")))
}

/// The condition of the newer form, `{"any": {"include": [..], "exclude": [..]}, "all": {..}, "op": "and"}`.
pub(super) fn newer_condition(
    name: &str,
    column: &Expression,
    kind: Kind,
    value: &Value,
) -> Result<Expression, ApiError> {
    let part = |group: &str, side: &str| -> Vec<Value> {
        match value.get(group).and_then(|group| group.get(side)) {
            Some(Value::Array(values)) => values.clone(),
            Some(Value::Null) | None => Vec::new(),
            Some(single) => vec![single.clone()],
        }
    };
    let set = Set { name, column, kind };
    let any = vec![set.any(&part("any", "include"))?, set.not_all(&part("any", "exclude"))?];
    let all = vec![set.all(&part("all", "include"))?, set.none(&part("all", "exclude"))?];
    let groups = vec![Expression::join(any, "OR"), Expression::join(all, "AND")];
    let operator = match value.get("op").and_then(Value::as_str) {
        Some("or") => "OR",
        Some("and") | None => "AND",
        Some(other) => return Err(ApiError::bad_field("filters", &format!("unknown operator {other:?}"))),
    };
    Ok(Expression::join(groups, operator))
}

fn sort(values: &[Value]) -> Buckets {
    let mut buckets = Buckets::default();
    let mut wants_all = false;
    let mut negated = false;
    for value in values {
        match value.as_str() {
            Some("__$not") => {
                negated = true;
                continue;
            }
            Some("__$and" | "__$all") => {
                wants_all = true;
                buckets.join.get_or_insert("AND");
                continue;
            }
            Some("__$or" | "__$any") => {
                wants_all = false;
                buckets.join.get_or_insert("OR");
                continue;
            }
            Some("__$nop") => {
                (wants_all, negated) = (false, false);
                continue;
            }
            Some(text) if text.len() > 1 && text.starts_with('-') && !negated => {
                buckets.none.push(Value::String(text[1..].to_owned()));
                continue;
            }
            Some(_) | None => {}
        }
        let bucket = match (negated, wants_all) {
            (true, _) => &mut buckets.none,
            (false, true) => &mut buckets.all,
            (false, false) => &mut buckets.any,
        };
        bucket.push(value.clone());
        negated = false;
    }
    buckets
}

/// A column as a set of values: one for a plain column, the elements of a list.
struct Set<'a> {
    name: &'a str,
    column: &'a Expression,
    kind: Kind,
}

impl Set<'_> {
    fn any(&self, wanted: &[Value]) -> Result<Expression, ApiError> {
        if wanted.is_empty() {
            return Ok(Expression::default());
        }
        let missing = wanted.iter().any(Value::is_null).then(|| self.missing());
        let values: Vec<SqlValue> = wanted
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| sql_value(self.name, self.kind, value))
            .collect::<Result<_, _>>()?;
        let holds = if values.is_empty() { Expression::default() } else { self.holds_one_of(values) };
        Ok(Expression::join(vec![holds, missing.unwrap_or_default()], "OR"))
    }

    fn all(&self, wanted: &[Value]) -> Result<Expression, ApiError> {
        let each = wanted.iter().map(|value| self.any(std::slice::from_ref(value))).collect::<Result<_, _>>()?;
        Ok(Expression::join(each, "AND"))
    }

    fn none(&self, unwanted: &[Value]) -> Result<Expression, ApiError> {
        let any = self.any(unwanted)?;
        Ok(if any.is_empty() { any } else { any.negate() })
    }

    fn not_all(&self, unwanted: &[Value]) -> Result<Expression, ApiError> {
        let all = self.all(unwanted)?;
        Ok(if all.is_empty() { all } else { all.negate() })
    }

    fn holds_one_of(&self, values: Vec<SqlValue>) -> Expression {
        let mut all = self.column.values.clone();
        let marks = if values.len() <= PLAIN_VALUES {
            let marks = placeholders(values.len());
            all.extend(values);
            marks
        } else {
            // A statement takes only so many values: they go as one.
            all.push(SqlValue::Text(Json::from_iter(values.iter().map(to_json)).to_string()));
            "SELECT value FROM json_each(?)".to_owned()
        };
        let column = &self.column.sql;
        match self.kind {
            Kind::Texts => {
                let held = format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE value IN ({marks}))");
                // Most lists are empty, and a comparison is much cheaper than a look inside.
                let is_stored = column.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
                Expression::new(if is_stored { format!("({column} != '[]' AND {held})") } else { held }, all)
            }
            Kind::Text | Kind::Integer | Kind::Boolean | Kind::Time | Kind::Json | Kind::Filled => {
                Expression::new(format!("{column} IN ({marks})"), all)
            }
        }
    }

    fn missing(&self) -> Expression {
        let column = &self.column.sql;
        let empty = if self.kind == Kind::Texts { "'[]'" } else { "''" };
        Expression::new(format!("coalesce({column}, {empty}) = {empty}"), self.column.values.clone())
    }
}
