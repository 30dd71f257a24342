//! The order of the answer.

use protocols::clearml::error::ApiError;
use serde_json::Value;

use super::filter::unknown;
use super::paths::{self, Target};
use super::{Entity, Expression, Kind, Row};

/// Fields to order by at most.
const FIELDS: usize = 32;

/// ` ORDER BY ..` as the body asks for; rows that are equal come in the order in which they were made, in the direction
/// of the last field, so that pages do not overlap. That is also the order of an index on the fields.
pub(super) fn from_body(entity: &Entity, body: &Row) -> Result<Expression, ApiError> {
    let fields = match body.get("order_by") {
        Some(Value::String(field)) => vec![field.as_str()],
        Some(Value::Array(fields)) => fields.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    if fields.len() > FIELDS {
        return Err(ApiError::bad_field("order_by", &format!("may have {FIELDS} fields at most")));
    }
    let mut terms = Vec::new();
    let mut values = Vec::new();
    let mut direction = "";
    for (position, field) in fields.into_iter().filter(|field| !field.starts_with('@')).enumerate() {
        let (path, descending) = field.strip_prefix('-').map_or((field, false), |path| (path, true));
        let target = paths::resolve(entity, path).ok_or_else(|| unknown(entity, path))?;
        let Some(column) = target.value(entity) else { continue };
        direction = if descending { " DESC" } else { "" };
        for term in terms_of(&target, &column, descending, position == 0) {
            values.extend(column.values.iter().cloned());
            terms.push(term);
        }
    }
    if terms.is_empty() {
        return Ok(Expression::plain(format!(" ORDER BY {}", entity.row())));
    }
    terms.push(format!("{}{direction}", entity.row()));
    Ok(Expression::new(format!(" ORDER BY {}", terms.join(", ")), values))
}

fn terms_of(target: &Target, column: &Expression, descending: bool, first: bool) -> Vec<String> {
    let sql = &column.sql;
    let direction = if descending { " DESC" } else { "" };
    let mut terms = Vec::new();
    if first && !descending && !target.field.required {
        terms.push(format!("coalesce({sql}, '') = ''"));
    }
    if target.field.kind == Kind::Json {
        // Parameters are texts; those that are numbers are to be sorted as numbers.
        terms.push(format!("CAST({sql} AS REAL){direction}"));
    }
    terms.push(format!("{sql}{direction}"));
    terms
}
