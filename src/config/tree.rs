//! Values of the configuration by their dotted path.

use serde_json::{Map, Value};

/// A value that is not what its key needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` must be {expected}, not {found}")]
pub(crate) struct TypeError {
    pub(crate) key: String,
    pub(crate) expected: &'static str,
    pub(crate) found: String,
}

/// A merged configuration.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Tree(Map<String, Value>);

impl std::fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Tree {
    /// Lays `above` over this: objects merge, everything else is replaced.
    pub(crate) fn lay_over(&mut self, above: Map<String, Value>) {
        merge(&mut self.0, above);
    }

    /// Sets one value; whatever is in the way is replaced.
    pub(crate) fn set(&mut self, path: &[&str], value: Value) {
        if let Some((last, parents)) = path.split_last() {
            let mut map = &mut self.0;
            for parent in parents {
                let entry = map.entry(*parent).or_insert(Value::Null);
                if !entry.is_object() {
                    *entry = Value::Object(Map::new());
                }
                map = entry.as_object_mut().expect("it was just made an object");
            }
            map.insert((*last).to_owned(), value);
        }
    }

    /// Removes one value.
    pub(crate) fn remove(&mut self, path: &[&str]) {
        if let Some((last, parents)) = path.split_last() {
            let mut map = Some(&mut self.0);
            for parent in parents {
                map = map.and_then(|map| map.get_mut(*parent)).and_then(Value::as_object_mut);
            }
            map.map(|map| map.remove(*last));
        }
    }

    /// The value at a dotted path; `null` counts as absent.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        let mut keys = path.split('.');
        let mut value = self.0.get(keys.next()?)?;
        for key in keys {
            value = value.as_object()?.get(key)?;
        }
        Some(value).filter(|value| !value.is_null())
    }

    /// A text that is not empty. Numbers and booleans are taken as they are written.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, TypeError> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(other) => Err(type_error(path, "a text", other)),
        }
    }

    /// A truth value, in any of the spellings of ClearML.
    pub(crate) fn flag(&self, path: &str) -> Result<Option<bool>, TypeError> {
        let Some(value) = self.get(path) else { return Ok(None) };
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_i64().map(|number| number != 0),
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::String(text) => parse_flag(text),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        flag.map(Some).ok_or_else(|| type_error(path, "true or false", value))
    }

    /// A number of seconds, not negative.
    pub(crate) fn seconds(&self, path: &str) -> Result<Option<std::time::Duration>, TypeError> {
        let Some(value) = self.get(path) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let duration = number.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        duration.map(Some).ok_or_else(|| type_error(path, "a number of seconds", value))
    }

    /// A number.
    pub(crate) fn number(&self, path: &str) -> Result<Option<f64>, TypeError> {
        let Some(value) = self.get(path) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Some).ok_or_else(|| type_error(path, "a number", value))
    }

    /// A list of texts; one text is a list of one.
    pub(crate) fn texts(&self, path: &str) -> Result<Vec<String>, TypeError> {
        let Some(value) = self.get(path) else { return Ok(Vec::new()) };
        let wrong = || type_error(path, "a list of texts", value);
        match value {
            Value::String(text) if text.is_empty() => Ok(Vec::new()),
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
        }
    }

    /// The keys below a path; an error when there is something else than an object.
    pub(crate) fn object(&self, path: &str) -> Result<Option<&Map<String, Value>>, TypeError> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(type_error(path, "a section `{ .. }`", other)),
        }
    }

    /// The whole as JSON, which is valid HOCON.
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// Reads a truth value as people write it in files and variables.
pub(crate) fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Some(true),
        "false" | "no" | "off" | "0" | "n" | "f" => Some(false),
        _ => None,
    }
}

fn merge(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn type_error(path: &str, expected: &'static str, found: &Value) -> TypeError {
    // The value itself is not shown: it may be a secret.
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "this text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a section `{ .. }`",
    };
    TypeError { key: path.to_owned(), expected, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn tree(value: &Value) -> Tree {
        let mut tree = Tree::default();
        tree.lay_over(value.as_object().expect("tests give objects").clone());
        tree
    }

    #[test]
    fn objects_merge_and_lists_are_replaced() {
        let mut merged = tree(&json!({"a": {"b": 1, "l": [1, 2]}, "x": {"y": 1}}));
        merged.lay_over(json!({"a": {"c": 2, "l": [3]}, "x": 5}).as_object().unwrap().clone());
        merged.set(&["x", "z"], json!(7));
        merged.remove(&["a", "b"]);
        merged.remove(&["no", "such"]);
        assert_eq!(merged.to_json(), json!({"a": {"c": 2, "l": [3]}, "x": {"z": 7}}));
    }

    #[test]
    fn values_have_types() {
        let tree = tree(
            &json!({"t": "x", "e": "", "n": 8, "f": "True", "b": false, "s": "2.5", "neg": -1, "l": ["a"], "o": {}, "mixed": [1]}),
        );
        assert_eq!(tree.text("t"), Ok(Some("x".to_owned())));
        assert_eq!(tree.text("e"), Ok(None));
        assert_eq!(tree.text("n"), Ok(Some("8".to_owned())));
        assert!(tree.text("l").is_err());
        assert_eq!(tree.flag("f"), Ok(Some(true)));
        assert_eq!(tree.flag("b"), Ok(Some(false)));
        assert!(tree.flag("t").is_err());
        assert_eq!(tree.seconds("s"), Ok(Some(Duration::from_millis(2500))));
        assert!(tree.seconds("neg").is_err());
        assert_eq!(tree.texts("t"), Ok(vec!["x".to_owned()]));
        assert_eq!(tree.texts("l"), Ok(vec!["a".to_owned()]));
        assert!(tree.texts("mixed").is_err());
        let error = tree.object("t").expect_err("not a section").to_string();
        assert_eq!(error, "`t` must be a section `{ .. }`, not this text");
    }
}
