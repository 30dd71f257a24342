//! Small pieces that every table's code needs.

use serde_json::Value;

use super::StoreResult;

/// `?,?,?` for `count` values.
pub(crate) fn placeholders(count: usize) -> String {
    let mut text = "?,".repeat(count);
    text.pop();
    text
}

/// The JSON value of a column; NULL is `Value::Null`.
pub(crate) fn parse_json(text: Option<&str>) -> StoreResult<Value> {
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or(Value::Null))
}
