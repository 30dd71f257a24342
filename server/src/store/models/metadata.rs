//! Metadata of models: `{key: {key, type, value}}`.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use super::Model;
use crate::store::StoreResult;
use crate::time::Micros;

/// Reads metadata in either form that clients send, a list of entries or an object of them.
///
/// # Errors
/// 400/12 when an entry has no key.
pub(crate) fn metadata_object(given: &Value) -> Result<Map<String, Value>, ApiError> {
    let entries: Vec<(Option<&str>, &Value)> = match given {
        Value::Array(entries) => entries.iter().map(|entry| (None, entry)).collect(),
        Value::Object(entries) => entries.iter().map(|(key, entry)| (Some(key.as_str()), entry)).collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(ApiError::bad_field("metadata", "must be a list or an object"));
        }
    };
    let mut metadata = Map::new();
    for (key, entry) in entries {
        let own_key = entry.get("key").and_then(Value::as_str);
        let key = own_key.or(key).filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| ApiError::bad_field("metadata", "an entry has no key"))?;
        let mut shown = json!({"key": key});
        for name in ["type", "value"] {
            match entry.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => shown[name] = text.as_str().into(),
                Some(other) => shown[name] = other.to_string().into(),
            }
        }
        metadata.insert(key.to_owned(), shown);
    }
    Ok(metadata)
}

/// Adds entries, over older ones of the same key; with `replace` nothing else is left.
pub(crate) fn add_metadata(
    connection: &Connection,
    model: &Model,
    entries: Map<String, Value>,
    replace: bool,
    user: &str,
    now: Micros,
) -> StoreResult<()> {
    let mut metadata: Map<String, Value> = if replace { Map::new() } else { serde_json::from_str(&model.metadata)? };
    metadata.extend(entries);
    write(connection, model, metadata, user, now)
}

/// Removes entries; keys that are not there do not matter.
pub(crate) fn delete_metadata(
    connection: &Connection,
    model: &Model,
    keys: &[String],
    user: &str,
    now: Micros,
) -> StoreResult<()> {
    let mut metadata: Map<String, Value> = serde_json::from_str(&model.metadata)?;
    metadata.retain(|key, _| !keys.contains(key));
    write(connection, model, metadata, user, now)
}

fn write(
    connection: &Connection,
    model: &Model,
    metadata: Map<String, Value>,
    user: &str,
    now: Micros,
) -> StoreResult<()> {
    connection
        .prepare_cached(
            "UPDATE models SET metadata = ?2, last_update = ?3, last_change = ?3, last_changed_by = ?4 WHERE id = ?1",
        )?
        .execute(params![model.id, Value::Object(metadata).to_string(), now, user])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_metadata_are_understood() {
        let expected = json!({"a.b": {"key": "a.b", "type": "int", "value": "1"}});
        for given in [json!([{"key": "a.b", "type": "int", "value": 1}]), json!({"a.b": {"type": "int", "value": "1"}})]
        {
            assert_eq!(Value::Object(metadata_object(&given).unwrap()), expected);
        }
        assert!(metadata_object(&json!([{"value": "1"}])).unwrap_err().is(400, 12));
        assert!(metadata_object(&json!("x")).unwrap_err().is(400, 12));
    }
}
